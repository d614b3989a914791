# SPDX-License-Identifier: BSD-2-Clause
"""Energy as papers on spiking networks count it: operations times a price each.

It is a derived figure, for comparison with published ones; it says nothing about memories, clocks
or a board. Prices are those of 45 nm CMOS, 32-bit floating point, that the papers share.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pysnn_hw.ir.snn import INPUT, SnnNetwork

ACCUMULATE_PJ = 0.9
"""One accumulate, in picojoules."""
MAC_PJ = 4.6
"""One multiply-accumulate, in picojoules."""


def sop_pj(levels: int) -> float:
    """Price of one synaptic operation with a spike of ``levels`` bits.

    A spike of n bits costs n accumulates, one per bit of its value, and never more than one
    multiply-accumulate. For binary spikes that is the accumulate of the papers.
    """
    return min(levels * ACCUMULATE_PJ, MAC_PJ)


def spiking_pj(net: SnnNetwork, sops: Mapping[str, float]) -> float:
    """Energy per image of a spiking network, in picojoules.

    Parameters
    ----------
    net
        The network.
    sops
        Synaptic operations per image, by projection.

    Notes
    -----
    The input's pixels are integers, so its projections cost multiply-accumulates. Each neuron with
    a bias costs one accumulate per timestep.
    """
    spent = ACCUMULATE_PJ * _biased(net) * net.total_steps
    for p in net.projections:
        lo, hi = net.value_range(p)
        price = MAC_PJ if p.source == INPUT else sop_pj(max(hi, -lo).bit_length())
        spent += price * sops[p.name]
    return float(spent)


def dense_pj(net: SnnNetwork) -> float:
    """Energy per image of the trained network behind ``net``, run densely, in picojoules.

    Multiply-accumulates of all layers with weights, one accumulate per neuron for biases and for
    each residual addition.
    """
    spent = ACCUMULATE_PJ * _biased(net)
    for p in net.projections:
        price = ACCUMULATE_PJ if p.kind == "identity" else MAC_PJ
        spent += price * p.as_conv(net.shape_of(p.source)).macs
    return float(spent)


def _biased(net: SnnNetwork) -> int:
    """Neurons whose bias is not zero."""
    return sum(
        int(np.count_nonzero(p.per_channel("bias"))) * p.size // p.channels for p in net.populations
    )
