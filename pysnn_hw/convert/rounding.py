# SPDX-License-Identifier: BSD-2-Clause
"""Round weights to whole steps: each to the nearest, or so that errors cancel on real inputs."""

from __future__ import annotations

import numpy as np

from pysnn_hw.convert.moments import Moments
from pysnn_hw.ir.snn import Array

DAMPING = 0.01
"""Added to the diagonal of the second moments, as a share of its mean: keeps them invertible."""


def round_nearest(weights: Array, limit: int) -> Array:
    """Weights in units of their step to integers in ``-limit .. limit``, float64."""
    return np.clip(np.rint(weights), -limit, limit)


def round_with_feedback(weights: Array, limit: int, moments: Moments) -> Array:
    """Round one weight after the other, moving each error onto the weights still to come.

    The squared error of the current, ``(w - q)^T E[x x^T] (w - q)``, is what counts, not that of
    the weights: the inputs are correlated, so that later weights can undo what earlier ones lost.
    The best continuous answer of the remaining weights to one rounding error is a row of the
    Cholesky factor of the inverse second moments. Inputs of most energy go first.

    Parameters
    ----------
    weights
        (C_out, K) in units of their step; output channels in order of their groups.
    limit
        Integers stay within ``-limit .. limit``.
    moments
        Of the inputs, with all pairs.

    Returns
    -------
    Array
        Float64 (C_out, K), whole numbers.
    """
    groups = len(moments.mean)
    by_group = weights.reshape(groups, -1, weights.shape[1])
    rounded = [_feedback(w, limit, s) for w, s in zip(by_group, moments.second, strict=True)]
    return np.concatenate(rounded)


def _feedback(weights: Array, limit: int, second: Array) -> Array:
    energy = np.diag(second)
    if not energy.any():
        return round_nearest(weights, limit)
    order = np.argsort(-energy, kind="stable")
    damped = second[np.ix_(order, order)] + DAMPING * energy.mean() * np.eye(len(order))
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    rest, result = weights[:, order].astype(np.float64), np.empty(weights.shape)
    for k, column in enumerate(order):
        rounded = round_nearest(rest[:, k], limit)
        result[:, column] = rounded
        error = (rest[:, k] - rounded) / factor[k, k]
        rest[:, k:] -= error[:, None] * factor[k, k:]
    return result
