# SPDX-License-Identifier: BSD-2-Clause
"""The neuron: integrate, fire, subtract, clamp."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pysnn_hw.ir.snn import Array


def fire(
    u: npt.ArrayLike,
    threshold: npt.ArrayLike,
    spike_max: int,
    v_min: int | None = None,
    v_max: int | None = None,
) -> tuple[Array, Array]:
    """Turn charged membranes ``u`` into spike values and the membranes that remain.

    Parameters
    ----------
    u, threshold
        Integers of shapes that broadcast; thresholds are positive.
    spike_max
        Largest spike value, at least 1.
    v_min, v_max
        Clamp of the remaining membrane; None for no limit.

    Returns
    -------
    spikes, membranes
        int64, of the broadcast shape: ``clip(floor(u / threshold), 0, spike_max)`` and
        ``clip(u - spikes * threshold, v_min, v_max)``.
    """
    charge, theta = np.asarray(u, np.int64), np.asarray(threshold, np.int64)
    spikes = np.clip(charge // theta, 0, spike_max)
    remains = charge - spikes * theta
    if v_min is not None or v_max is not None:
        remains = np.clip(remains, v_min, v_max)
    return spikes, remains


def integrate_fire(
    current: npt.ArrayLike,
    *,
    threshold: npt.ArrayLike,
    spike_max: int,
    v_init: npt.ArrayLike = 0,
    v_min: int | None = None,
    v_max: int | None = None,
) -> tuple[Array, Array]:
    """Run neurons over ``current``, integers of shape (T, ...).

    Returns
    -------
    spikes, membranes
        int64: spikes of every step, (T, ...), and membranes after the last, (...).
    """
    currents = np.asarray(current, np.int64)
    v = np.broadcast_to(np.asarray(v_init, np.int64), currents.shape[1:])
    spikes = np.empty_like(currents)
    for t, step in enumerate(currents):
        spikes[t], v = fire(v + step, threshold, spike_max, v_min, v_max)
    return spikes, v
