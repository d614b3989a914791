# SPDX-License-Identifier: BSD-2-Clause
"""Recordings of event cameras as frames: how many events per pixel and timestep."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from pysnn_hw.data.arrays import MAX_BYTES, Array, IntArray
from pysnn_hw.errors import DataError


def frames(
    times: Array,
    channels: Array,
    rows: Array,
    columns: Array,
    offsets: Array,
    *,
    step: int,
    shape: tuple[int, int, int, int],
) -> IntArray:
    """Count the events of N recordings in timesteps.

    Parameters
    ----------
    times, channels, rows, columns
        One integer per event; the times of a recording count from its start, in any unit.
    offsets
        (N + 1,): recording i is the events ``offsets[i] : offsets[i + 1]``.
    step
        Length of a timestep in the unit of ``times``.
    shape
        (T, C, H, W) of one recording; events after T steps are dropped.

    Returns
    -------
    array
        uint8 (N, T, C, H, W); more than 255 events in one place count as 255.

    Raises
    ------
    DataError
        If the arrays do not suit each other or lie outside ``shape``.
    """
    events = {"times": times, "channels": channels, "rows": rows, "columns": columns}
    for name, values in events.items():
        if values.shape != times.shape or values.ndim != 1 or values.dtype.kind not in "iu":
            raise DataError(name, "is not one integer per event")
    ends = np.asarray(offsets)
    if ends.ndim != 1 or len(ends) < 2 or ends.dtype.kind not in "iu":
        raise DataError("offsets", "is not one integer per recording, and one more")
    if ends[0] < 0 or ends[-1] > len(times) or (np.diff(ends.astype(np.int64)) < 0).any():
        raise DataError("offsets", f"do not rise within 0..{len(times)}")
    if step < 1 or min(shape) < 1:
        raise DataError("step", f"{step} or shape {shape} is not positive")
    size = math.prod(shape)
    if size * (len(ends) - 1) > MAX_BYTES:
        raise DataError("frames", f"{size * (len(ends) - 1)} bytes are more than {MAX_BYTES}")
    for (name, values), limit in zip(list(events.items())[1:], shape[1:], strict=True):
        if values.size and not 0 <= values.min() <= values.max() < limit:
            raise DataError(
                name, f"run from {values.min()} to {values.max()}, outside 0..{limit - 1}"
            )
    if times.size and times.min() < 0:
        raise DataError("times", "are negative")
    out = np.zeros((len(ends) - 1, size), np.uint8)
    for index, (start, stop) in enumerate(pairwise(ends)):
        part = slice(int(start), int(stop))
        when = times[part].astype(np.int64) // step
        inside = when < shape[0]
        where = np.stack([when, channels[part], rows[part], columns[part]])[:, inside]
        count = np.bincount(np.ravel_multi_index(tuple(where.astype(np.int64)), shape))
        out[index, : len(count)] = np.minimum(count, 255)
    return out.reshape(-1, *shape)
