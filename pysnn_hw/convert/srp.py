# SPDX-License-Identifier: BSD-2-Clause
"""Residual membrane potential: silence what fired too early (methods.md 6.3).

A neuron whose input is below zero on average may fire all the same, on a positive part that comes
first. Its membrane is negative then. A first run of a few timesteps finds these neurons, and in
the run that counts they stay silent.
"""

from __future__ import annotations

from dataclasses import replace

from pysnn_hw.ir.snn import Probe, SnnNetwork


def srp_network(net: SnnNetwork, steps: int) -> SnnNetwork:
    """A rate-coded ``net`` with a probe of ``steps`` timesteps that masks neurons."""
    return replace(net, probe=Probe(steps, "mask"))
