# SPDX-License-Identifier: BSD-2-Clause
"""Choose thresholds from sampled activations.

A population of threshold theta stands for activations ``0, theta / T, .. hi * theta``: the spike
values of T timesteps add up to at most ``hi * T``. ``clip = hi * theta`` is the largest activation
that it can express; the calibrations differ in how they pick it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from pysnn_hw.convert.sample import Sample
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.snn import Array

Calibration = Literal["max", "percentile", "mse", "clip"]
CALIBRATIONS: tuple[Calibration, ...] = get_args(Calibration)

FEW = 8
"""A channel with fewer active samples takes its layer's value: it says too little of itself."""


def thresholds(
    sample: Sample,
    calibration: Calibration,
    *,
    timesteps: int,
    spike_max: int,
    per_channel: bool = True,
    percentile: float = 99.9,
    tau: float = 0.5,
    ceiling: float | None = None,
) -> Array:
    """Thresholds of one layer, float64 (C,) or (1,), in units of its activation.

    Parameters
    ----------
    sample
        Of the layer's activations.
    calibration
        ``max``: clip at the largest activation. ``percentile``: at that percentile of the non-zero
        activations. ``mse``: where ``(a - q(a))**2`` is least on average, q being the activation as
        the spikes of ``timesteps`` steps express it. ``clip``: where the activation function itself
        clips, which is exact for networks that were trained with the levels of spikes (qcfs).
    timesteps, spike_max
        T and the largest spike value.
    per_channel
        One threshold per channel instead of one for the layer.
    percentile
        Used by that calibration only.
    tau
        v(0) as a share of the threshold.
    ceiling
        The activation function's own upper clip; no population reaches beyond it.

    Raises
    ------
    ModelError
        If the calibration is unknown, or ``clip`` where nothing clips.

    Notes
    -----
    A channel with next to no non-zero sample takes the layer's value, a dead layer threshold 1.
    """
    if calibration == "clip":
        if ceiling is None:
            raise ModelError(
                "calibration", "clip is for activations with an upper clip", "use mse or max"
            )
        return np.array([ceiling / spike_max])
    layer = _flatten(sample)
    choose = _chooser(calibration, timesteps, spike_max, percentile, tau)
    whole = choose(layer)
    if not whole > 0:
        return np.ones(1)
    found = whole
    if per_channel:
        known = (sample.values > 0).sum(1) >= FEW
        found = np.where(known, choose(sample), whole)
        found = np.where(found > 0, found, whole)
    if ceiling is not None:
        found = np.minimum(found, ceiling / spike_max)
    return found


def _flatten(sample: Sample) -> Sample:
    return Sample(sample.values.reshape(1, -1), sample.maximum.max(keepdims=True))


def _chooser(
    calibration: Calibration, timesteps: int, spike_max: int, percentile: float, tau: float
) -> Callable[[Sample], Array]:
    match calibration:
        case "max":
            return lambda sample: sample.maximum.astype(np.float64) / spike_max
        case "percentile":
            return lambda sample: nonzero_percentile(sample.values, percentile) / spike_max
        case "mse":
            return lambda sample: mse_threshold(sample, timesteps, spike_max, tau=tau)
    raise ModelError("calibration", f"{calibration!r} is unknown", f"use {', '.join(CALIBRATIONS)}")


def nonzero_percentile(values: Array, percentile: float) -> Array:
    """The percentile (0..100, linear between ranks) of the non-zero values of each row of (C, S).

    Rows without a non-zero value give 0.
    """
    rows = [row[row != 0] for row in values]
    return np.array([np.percentile(row, percentile) if row.size else 0.0 for row in rows])


def quantise(
    values: Array, theta: Array, timesteps: int, spike_max: int, tau: float = 0.5
) -> Array:
    """``values`` as the spikes of a neuron with v(0) = tau * theta express them; broadcasts."""
    step = theta / timesteps
    counts = np.asarray(values / step)
    counts += tau
    np.floor(counts, out=counts)
    np.clip(counts, 0, spike_max * timesteps, out=counts)
    counts *= step
    return counts


def mse_threshold(
    sample: Sample,
    timesteps: int,
    spike_max: int,
    *,
    tau: float = 0.5,
    grid: int = 64,
    refinements: int = 2,
) -> Array:
    """Threshold of each row of ``sample`` with the least mean squared error of `quantise`.

    A geometric grid over clip levels from 1 down to 0.03 of the largest activation, then finer
    grids around the best point. Rows of zeros give 0.
    """
    top = sample.maximum.astype(np.float64) / spike_max
    best = np.ones(len(top))
    factors = np.geomspace(1.0, 0.03, grid)
    ratio = factors[0] / factors[1]
    for _ in range(refinements + 1):
        candidates = np.minimum(best * factors[:, None], 1.0)
        errors = np.stack(
            [_error(sample.values, c * top, timesteps, spike_max, tau) for c in candidates]
        )
        best = np.take_along_axis(candidates, errors.argmin(0)[None], axis=0)[0]
        factors = np.geomspace(ratio, 1 / ratio, 17)
        ratio = factors[0] / factors[1]
    return best * top


def _error(values: Array, theta: Array, timesteps: int, spike_max: int, tau: float) -> Array:
    safe = np.where(theta > 0, theta, 1.0).astype(np.float32)[:, None]
    difference = quantise(values, safe, timesteps, spike_max, tau)
    difference -= values
    return np.asarray(np.einsum("cs,cs->c", difference, difference, dtype=np.float64))
