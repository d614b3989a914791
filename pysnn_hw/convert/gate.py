# SPDX-License-Identifier: BSD-2-Clause
"""Max pooling by a gate instead of a running maximum (methods.md 2.6), to compare with others."""

from __future__ import annotations

from dataclasses import replace

from pysnn_hw.errors import ModelError
from pysnn_hw.ir.snn import INPUT, Projection, SnnNetwork


def with_gates(net: SnnNetwork) -> SnnNetwork:
    """``net`` whose max pooling lets through the spikes of the input that has sent most so far.

    The sum of what it lets through may exceed the largest count; a running maximum is exact. At
    T = 1 they are the same. Pooling of the input itself stays as it is.

    Raises
    ------
    ModelError
        If spikes can be negative.
    """

    def gated(p: Projection) -> Projection:
        if p.pool is None or p.pool.mode != "max" or p.source == INPUT:
            return p
        if net.population(p.source).spike_min < 0:
            raise ModelError(
                "max_pool", "a gate takes spikes that are never negative", "use running"
            )
        return replace(p, pool=replace(p.pool, mode="gate"))

    return replace(net, projections=tuple(gated(p) for p in net.projections))
