# SPDX-License-Identifier: BSD-2-Clause
"""Choose the quantisation step of each output channel of a population.

All projections into a population share the step of the channel, because they add into one
membrane: an integer weight q stands for ``q * step``, a membrane of 1 for ``step``.
"""

from __future__ import annotations

import numpy as np

from pysnn_hw.convert.rounding import round_nearest
from pysnn_hw.ir.snn import Array

CANDIDATES = 48
TIGHTEST_CLIP = 0.3
MAX_RESOLUTION = 4.0
"""No threshold becomes a larger integer than this many times its population's median one.

Errors count relative to the threshold, so a channel of small weights gains nothing from a finer
step, and its wide membrane would widen the memory of all channels.
"""


def channel_steps(
    weights: Array,
    thresholds: Array,
    weight_bits: int,
    least: Array,
    importance: Array | None = None,
) -> Array:
    """Step per channel, float64 (C,), such that each threshold is a whole number of steps.

    Parameters
    ----------
    weights
        (C, K): every weight into each channel that must fit ``weight_bits``.
    thresholds
        (C,), positive.
    weight_bits
        2..8.
    least
        (C,): steps may not be finer than this (but for rounding to whole thresholds).
    importance
        (C, K): factor of each weight's squared error; by default all count alike.

    Notes
    -----
    Of the steps ``threshold / k`` with whole k, the one with the least squared error of the rounded
    and clipped weights is taken; the search spans clip levels from the largest weight down to
    `TIGHTEST_CLIP` of it.
    """
    largest = 2 ** (weight_bits - 1) - 1
    unclipped = np.maximum(np.abs(weights).max(axis=1, initial=0.0) / largest, least)
    alive = unclipped > 0
    coarsest = thresholds / np.where(alive, unclipped, thresholds / largest)
    limit = MAX_RESOLUTION * np.median(coarsest[alive] if alive.any() else coarsest)
    coarsest = np.minimum(coarsest, limit)
    finest = np.minimum(coarsest / TIGHTEST_CLIP, limit)
    finest = np.where(least > 0, np.minimum(finest, thresholds / _positive(least)), finest)
    wholes = np.maximum(1, np.floor(np.geomspace(coarsest, finest, CANDIDATES) * (1 + 1e-12)))
    return _best(weights, thresholds / wholes, largest, importance)


def shared_step(
    weights: Array, weight_bits: int, least: float = 0.0, importance: Array | None = None
) -> Array:
    """One step for all channels of a readout, float64 (1,): scores must be comparable.

    Parameters as in `channel_steps`, but a single ``least``.
    """
    largest = 2 ** (weight_bits - 1) - 1
    row = weights.reshape(1, -1)
    importance = None if importance is None else importance.reshape(1, -1)
    top = np.abs(row).max(initial=0.0)
    if top == 0:
        return np.array([least if least > 0 else 1.0])
    steps = np.geomspace(1, TIGHTEST_CLIP, CANDIDATES)[:, None] * top / largest
    steps = np.maximum(steps, least)
    return _best(row, steps, largest, importance)


def _positive(values: Array) -> Array:
    return np.where(values > 0, values, 1.0)


def _best(weights: Array, steps: Array, largest: int, importance: Array | None) -> Array:
    """Of candidates (G, C), the step of each channel with the least squared error."""
    errors = np.stack([_error(weights, s[:, None], largest, importance) for s in steps])
    best: Array = np.take_along_axis(steps, errors.argmin(axis=0)[None], axis=0)[0]
    return best


def _error(weights: Array, step: Array, largest: int, importance: Array | None) -> Array:
    squares = (weights - round_nearest(weights / step, largest) * step) ** 2
    return np.asarray((squares if importance is None else squares * importance).sum(axis=1))
