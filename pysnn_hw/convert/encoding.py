# SPDX-License-Identifier: BSD-2-Clause
"""Random spikes in place of a constant input (methods.md 2.4)."""

from __future__ import annotations

from dataclasses import replace

from pysnn_hw.ir.snn import INPUT, SnnNetwork

SEED = 0x9E3779B9


def with_bernoulli_input(net: SnnNetwork, seed: int = SEED) -> SnnNetwork:
    """``net`` whose pixels send a unit event with a probability in proportion to their size.

    An event stands for `Input.peak` raw units, which goes into the weights: currents are the same
    on average, but noisy, so that it takes more timesteps to the same accuracy.
    """
    entry = replace(net.input, encoding="bernoulli", seed=seed)
    projections = tuple(
        replace(p, weight=p.weight * entry.peak) if p.source == INPUT else p
        for p in net.projections
    )
    return replace(net, input=entry, projections=projections)
