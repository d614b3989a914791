# SPDX-License-Identifier: BSD-2-Clause
"""Calibrated offset spikes: start a threshold off where a spike was off (methods.md 6.4).

A first run of a few timesteps leaves a negative membrane where a neuron has fired too often, and
more than a threshold where it has fired too little. In the run that counts such a neuron starts a
threshold lower or higher.
"""

from __future__ import annotations

from dataclasses import replace

from pysnn_hw.ir.snn import Probe, SnnNetwork


def cos_network(net: SnnNetwork, steps: int) -> SnnNetwork:
    """A rate-coded ``net`` with a probe of ``steps`` timesteps that shifts initial membranes."""
    return replace(net, probe=Probe(steps, "shift"))
