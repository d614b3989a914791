# SPDX-License-Identifier: BSD-2-Clause
"""Signed neurons with memory: rate coding in which a spike can be taken back (methods.md 6.7).

An input that arrives unevenly over the timesteps makes a plain neuron fire too early, and what it
has fired is gone. A signed neuron emits a negative spike when its membrane falls below zero, while
it has positive ones to take back: once drained, its count is that of its whole input, in whatever
order it came. At T = 1 there is nothing to take back, and both neurons are the same.
"""

from __future__ import annotations

from dataclasses import replace

from pysnn_hw.errors import ModelError
from pysnn_hw.ir.check import MAX_SPIKE
from pysnn_hw.ir.snn import SnnNetwork

MAX_SIGNED_LEVELS = (MAX_SPIKE // 2).bit_length()


def signed_network(net: SnnNetwork) -> SnnNetwork:
    """A rate-coded ``net`` whose fire populations are signed neurons with memory.

    Raises
    ------
    ModelError
        If the spikes have too many bits for a sign beside them.
    """
    if net.timesteps == 1:
        return net
    if max(p.spike_max for p in net.populations) > MAX_SPIKE // 2:
        raise ModelError("levels", f"must be 1..{MAX_SIGNED_LEVELS} bits for signed neurons")
    populations = tuple(
        replace(p, neuron=replace(p.neuron, polarity="memory")) if p.kind == "fire" else p
        for p in net.populations
    )
    return replace(net, populations=populations)
