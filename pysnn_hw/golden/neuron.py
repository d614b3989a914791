# SPDX-License-Identifier: BSD-2-Clause
"""The neuron: integrate, fire, subtract, clamp."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pysnn_hw.ir.snn import PLAIN, Array, Neuron


def fire(
    u: npt.ArrayLike,
    threshold: npt.ArrayLike,
    spike_max: int,
    v_min: int | None = None,
    v_max: int | None = None,
    neuron: Neuron = PLAIN,
    emitted: npt.ArrayLike = 0,
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
    neuron
        How it fires; its leak is not applied here, see `leaked`.
    emitted
        Sum of the spikes before, for polarity ``memory``.

    Returns
    -------
    spikes, membranes
        int64, of the broadcast shape, as `pysnn_hw.ir.snn.Neuron` has it.
    """
    charge, theta = np.asarray(u, np.int64), np.asarray(threshold, np.int64)
    lowest: npt.ArrayLike = 0
    if neuron.polarity == "signed":
        lowest = -spike_max
    elif neuron.polarity == "memory":
        lowest = -np.minimum(spike_max, np.asarray(emitted, np.int64))
    spikes = np.clip((charge - neuron.strict) // theta, lowest, spike_max)
    if neuron.reset == "hard":
        remains = np.where(spikes != 0, 0, charge)
    else:
        remains = charge - spikes * theta
    if v_min is not None or v_max is not None:
        remains = np.clip(remains, v_min, v_max)
    return spikes, remains


def leaked(v: npt.ArrayLike, neuron: Neuron) -> Array:
    """The membranes that the next step starts from, int64."""
    membrane = np.asarray(v, np.int64)
    return membrane - (membrane >> neuron.leak) if neuron.leak else membrane


def integrate_fire(
    current: npt.ArrayLike,
    *,
    threshold: npt.ArrayLike,
    spike_max: int,
    v_init: npt.ArrayLike = 0,
    v_min: int | None = None,
    v_max: int | None = None,
    neuron: Neuron = PLAIN,
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
        emitted = spikes[:t].sum(axis=0)
        u = leaked(v, neuron) + step
        spikes[t], v = fire(u, threshold, spike_max, v_min, v_max, neuron, emitted)
    return spikes, v
