# SPDX-License-Identifier: BSD-2-Clause
"""Both halves of method ``hybrid``: balanced thresholds, then training through time."""

from __future__ import annotations

from dataclasses import replace

from pysnn_hw.convert.encoding import with_bernoulli_input
from pysnn_hw.convert.hybrid.balance import balanced_network
from pysnn_hw.convert.hybrid.learning import finetune
from pysnn_hw.convert.hybrid.training import HybridTraining
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.convert.skeleton import Skeleton
from pysnn_hw.ir.check import check_network
from pysnn_hw.ir.snn import Array, SnnNetwork
from pysnn_hw.progress import Progress, silent


def hybrid_network(
    skeleton: Skeleton,
    preprocessing: Preprocessing,
    images: Array,
    targets: Array,
    *,
    timesteps: int,
    tau: float,
    seed: int | None = None,
    training: HybridTraining,
    progress: Progress = silent,
) -> SnnNetwork:
    """The network of `balanced_network` after `finetune`, with the story in its provenance.

    Parameters
    ----------
    skeleton, preprocessing, timesteps, tau
        As `balanced_network` takes them.
    images, targets
        As `finetune` takes them.
    seed
        Of random input spikes (`with_bernoulli_input`); None: the input is constant.
    training
        Options of both.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        Of both.
    """
    net = balanced_network(
        skeleton,
        preprocessing,
        images,
        timesteps=timesteps,
        tau=tau,
        training=training,
        progress=progress,
    )
    if seed is not None:
        net = with_bernoulli_input(net, seed)
    check_network(net)
    found = finetune(net, images, targets, training, progress=progress)
    told = {"training": training.to_json(), "held_out_accuracy": list(found.history)}
    return replace(found.network, provenance=told)
