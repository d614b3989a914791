# SPDX-License-Identifier: BSD-2-Clause
"""Brings images and labels of any accepted dtype and layout to raw integers (N, C, H, W)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pysnn_hw.errors import DataError

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.integer[Any]]

MAX_BYTES = 3 * 2**28
"""Largest data set, as stored and again as converted: both together stay well within 2 GiB."""

MAX_IMAGES = 2**24
MAX_IMAGE_VALUES = 2**24
MAX_CLASSES = 2**16
"""Bounds far above any real data set, so that a stray number cannot exhaust the memory."""

EVENT_AXES = 5
"""Number of axes of events, (N, T, C, H, W)."""

_CHUNK_VALUES = 2**22
_PIXEL_DTYPES: tuple[np.dtype[np.integer[Any]], ...] = (np.dtype(np.uint8), np.dtype(np.int32))


def images_to_integers(images: Mapping[str, Array], where: str) -> dict[str, IntArray]:
    """Convert the image arrays of one source.

    Parameters
    ----------
    images
        Arrays (N, H, W) or (N, H, W, C) of integers or floats, by field name; or events
        (N, T, C, H, W), whose values are whole and stay as they are.
    where
        File or folder, for messages.

    Returns
    -------
    dict
        The same names; uint8 where the values fit, int32 otherwise; (N, C, H, W), or events
        (N, T, C, H, W), contiguous.

    Raises
    ------
    DataError
        If an array has the wrong shape or dtype, or values that are no pixels.
    """
    for name, x in images.items():
        _check_images(x, f"{where}: {name}")
    floats = {k: x for k, x in images.items() if x.dtype.kind == "f" and x.ndim < EVENT_AXES}
    unit = bool(floats) and all(_in_unit_interval(x) for x in floats.values())
    factors = {name: 255.0 if unit and name in floats else 1.0 for name in images}
    dtypes = {
        name: _pixel_dtype(x, factors[name], f"{where}: {name}") for name, x in images.items()
    }
    check_bytes(sum(x.size * dtypes[name].itemsize for name, x in images.items()), where)
    return {
        name: _convert(x, factors[name], dtypes[name], f"{where}: {name}")
        for name, x in images.items()
    }


def labels_to_integers(labels: Array, where: str) -> IntArray:
    """Check class indices (N,) of any integer dtype and widen them to int64.

    Raises
    ------
    DataError
        If they are not one-dimensional integers in 0..65535.
    """
    if labels.ndim != 1:
        raise DataError(where, f"labels must have one axis (N,), not shape {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise DataError(where, f"labels must be integers, not {labels.dtype}")
    if labels.size > MAX_IMAGES:
        raise DataError(where, f"{labels.size} labels, more than {MAX_IMAGES}")
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < MAX_CLASSES:
        problem = f"labels run from {labels.min()} to {labels.max()}"
        raise DataError(where, problem, f"they must be class indices in 0..{MAX_CLASSES - 1}")
    return labels.astype(np.int64)


def check_bytes(total: int, where: str) -> None:
    """Refuse arrays of ``total`` bytes when they are too many.

    Raises
    ------
    DataError
        If ``total`` exceeds `MAX_BYTES`.
    """
    if total > MAX_BYTES:
        problem = f"takes {total / 2**30:.2g} GiB, more than {MAX_BYTES / 2**30:g} GiB"
        raise DataError(where, problem, "store uint8 pixels, or fewer or smaller images")


def _check_images(x: Array, where: str) -> None:
    if x.dtype.kind not in "iuf" or x.dtype.itemsize > 8:
        raise DataError(where, f"images must be integers or floats, not {x.dtype}")
    if x.ndim not in (3, 4, EVENT_AXES):
        problem = f"images must be (N, H, W) or (N, H, W, C), not shape {x.shape}"
        raise DataError(where, problem, "events are (N, T, C, H, W)")
    if x.size == 0:
        raise DataError(where, f"holds no pixels (shape {x.shape})")
    if math.prod(x.shape[1:]) > MAX_IMAGE_VALUES:
        raise DataError(where, f"images of more than {MAX_IMAGE_VALUES} values (shape {x.shape})")
    if x.ndim == 4 and x.shape[1] <= 4 < x.shape[3]:
        problem = f"shape {x.shape} looks like (N, C, H, W)"
        raise DataError(where, problem, "store it as (N, H, W, C)")
    if x.dtype.kind == "f" and not all(bool(np.isfinite(part).all()) for _, part in _chunks(x)):
        raise DataError(where, "contains NaN or infinite values")


def _chunks(x: Array) -> Iterator[tuple[int, Array]]:
    """Slices of a few images and where each starts, so that temporaries stay small."""
    images = max(1, _CHUNK_VALUES // math.prod(x.shape[1:]))
    for start in range(0, len(x), images):
        yield start, x[start : start + images]


def _in_unit_interval(x: Array) -> bool:
    return float(x.min()) >= 0 and float(x.max()) <= 1


def _pixel_dtype(x: Array, factor: float, where: str) -> np.dtype[np.integer[Any]]:
    """The dtype that holds all of ``x * factor``."""
    low, high = (round(float(v) * factor) for v in (x.min(), x.max()))
    for dtype in _PIXEL_DTYPES:
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    raise DataError(where, f"pixels run from {x.min():g} to {x.max():g}, beyond 32 bits")


def _convert(x: Array, factor: float, dtype: np.dtype[np.integer[Any]], where: str) -> IntArray:
    channels = x.shape[3] if x.ndim == 4 else 1
    events = x.ndim == EVENT_AXES
    shape = x.shape if events else (len(x), channels, *x.shape[1:3])
    out: IntArray = np.empty(shape, dtype)
    for start, part in _chunks(x):
        pixels = np.rint(part * factor) if x.dtype.kind == "f" else part
        if factor == 1.0 and not np.array_equal(pixels, part):
            problem = f"floats run from {x.min():g} to {x.max():g} and are not all integers"
            hint = "store raw pixels 0..255 or values in 0..1"
            raise DataError(where, problem, "store whole values" if events else hint)
        if events:
            out[start : start + len(part)] = pixels
            continue
        nhwc = pixels.reshape(*pixels.shape[:3], channels)
        out[start : start + len(part)] = nhwc.transpose(0, 3, 1, 2)
    return out
