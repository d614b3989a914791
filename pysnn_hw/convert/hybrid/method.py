# SPDX-License-Identifier: BSD-2-Clause
"""The second half of method ``hybrid``: a converted network goes on learning, through time."""

from __future__ import annotations

from dataclasses import replace

from pysnn_hw.convert.hybrid.balance import with_neuron
from pysnn_hw.convert.hybrid.learning import finetune
from pysnn_hw.convert.hybrid.training import HybridTraining
from pysnn_hw.ir.check import check_network
from pysnn_hw.ir.snn import Array, Neuron, SnnNetwork
from pysnn_hw.progress import Progress, silent


def trained_through_time(
    net: SnnNetwork,
    images: Array,
    targets: Array,
    training: HybridTraining | None = None,
    *,
    progress: Progress = silent,
) -> SnnNetwork:
    """``net`` with strict, leaking neurons after `finetune`, with the story in its provenance.

    Parameters
    ----------
    net
        Of binary spikes and soft reset, converted by any means.
    images, targets, progress
        As `finetune` takes them.
    training
        By default `HybridTraining()`.

    Raises
    ------
    PysnnError
        Of `finetune`.
    """
    chosen = training or HybridTraining()
    net = with_neuron(net, Neuron(strict=True, leak=chosen.leak))
    check_network(net)
    found = finetune(net, images, targets, chosen, progress=progress)
    told = {"training": chosen.to_json(), "held_out_accuracy": list(found.history)}
    return replace(found.network, provenance=told)
