# SPDX-License-Identifier: BSD-2-Clause
"""Units of a membrane: a factor on all that flows into a population changes no spike (INV-8)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pysnn_hw.ir.snn import Array, SnnNetwork


def scale_channels(net: SnnNetwork, name: str, factor: Array) -> SnnNetwork:
    """A float ``net`` whose fire population ``name`` counts in other units per channel.

    Weights, bias, threshold and initial membrane are all multiplied by ``factor``, positive, (C,)
    or (1,). Where weights are divided by their largest, m, the threshold kappa becomes
    ``kappa / m``: with ``kappa * m`` counts would be off by ``m ** 2``.
    """
    column = factor.reshape(-1, 1, 1)
    populations = tuple(
        replace(
            p,
            bias=p.bias * factor,
            threshold=p.threshold * factor,
            v_init=p.v_init * (column if p.v_init.ndim == 3 else factor),
        )
        if p.name == name
        else p
        for p in net.populations
    )
    projections = tuple(
        replace(p, weight=p.weight * np.reshape(factor, (-1, *(1,) * (p.weight.ndim - 1))))
        if p.target == name
        else p
        for p in net.projections
    )
    return replace(net, populations=populations, projections=projections)
