# SPDX-License-Identifier: BSD-2-Clause
"""Threshold balancing: each threshold is the largest current of one timestep (methods.md 4.3).

Layer by layer, with the thresholds before it set, a network runs on training images; the largest
weighted input that any neuron of the layer gets in any single step becomes its threshold: the
current of a step, neither the membrane nor an activation. Such a maximum is far above what neurons
usually get, hence the factor that all thresholds are scaled by at the end.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pysnn_hw.convert.encoding import with_bernoulli_input
from pysnn_hw.convert.float_sim import BATCH
from pysnn_hw.convert.hybrid.training import HybridTraining
from pysnn_hw.convert.hybrid.unrolled import Unrolled
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.convert.rate import rate_network
from pysnn_hw.convert.skeleton import Skeleton
from pysnn_hw.errors import DataError
from pysnn_hw.ir.snn import INPUT, Array, Neuron, SnnNetwork
from pysnn_hw.progress import Progress, silent


def balanced_network(
    skeleton: Skeleton,
    preprocessing: Preprocessing,
    images: Array,
    *,
    timesteps: int,
    tau: float,
    seed: int | None = None,
    training: HybridTraining,
    progress: Progress = silent,
) -> SnnNetwork:
    """The spiking network of ``skeleton`` with balanced thresholds, strict and with the leak.

    Parameters
    ----------
    skeleton, preprocessing
        What the prepared graph was lowered to, and how raw integers become its input.
    images
        Raw training images (N, C, H, W); the first `HybridTraining.balance_images` are looked at.
    timesteps
        Of the network that comes out.
    tau
        v(0) as a share of the threshold.
    seed
        Of random input spikes (`with_bernoulli_input`), on which thresholds are balanced then, too;
        None: the input is constant.
    training
        Images and steps to balance on, scaling, leak.
    progress
        Told after each layer.

    Raises
    ------
    ModelError
        Of `Unrolled`.
    DataError
        If a current is NaN or infinite.

    Notes
    -----
    Currents are in units of the activations that they stand for, so that biases and sums of
    branches hold; a chain without biases comes out as with the unscaled weights of the paper.
    """
    names = [layer.name for layer in skeleton.layers if layer.kind == "fire"]
    thresholds: dict[str, Array] = {name: np.ones(1) for name in names}

    def network(share: float) -> SnnNetwork:
        net = rate_network(
            skeleton, thresholds, preprocessing, timesteps=timesteps, spike_max=1, tau=share
        )
        return net if seed is None else with_bernoulli_input(net, seed)

    for done, name in enumerate(names):
        progress("balance thresholds", done, len(names))
        largest = largest_current(network(0.0), name, images[: training.balance_images], training)
        if not np.isfinite(largest):
            raise DataError(name, "gets a current that is NaN or infinite")
        # A layer that is never driven stays silent whatever its threshold is.
        thresholds[name] = np.array([largest if largest > 0 else 1.0])
    progress("balance thresholds", len(names), len(names))
    net = with_neuron(network(tau), Neuron(strict=True, leak=training.leak))
    return scaled(net, training.scaling)


def largest_current(net: SnnNetwork, name: str, images: Array, training: HybridTraining) -> float:
    """Largest current into any neuron of population ``name`` in any one timestep of any image.

    All membranes start at 0 and nothing leaks.
    """
    import torch

    unrolled = Unrolled(with_neuron(net, Neuron(strict=True)), training)
    rng = torch.Generator().manual_seed(training.seed)
    found = -np.inf
    with torch.inference_mode():
        for first in range(0, len(images), BATCH):
            x = net.input.values(images[first : first + BATCH])
            batch = torch.from_numpy(x.astype(np.float32))
            found = max(found, unrolled.strongest(batch, rng, name, training.balance_steps))
    return found


def scaled(net: SnnNetwork, factor: float) -> SnnNetwork:
    """``net`` with all thresholds times ``factor``, weights as they are: neurons fire more often.

    Spikes then stand for less, layer by layer: currents grow by ``1 / factor`` with each. Biases,
    and branches that are shorter than the one they meet, are raised with them; a chain without
    biases changes in its thresholds alone.
    """
    gains = {INPUT: 1.0}
    entry: dict[str, float] = {}
    for p in net.populations:
        entry[p.name] = max(gains[q.source] for q in net.into(p.name))
        gains[p.name] = entry[p.name] / factor
    populations = tuple(
        replace(
            p,
            bias=p.bias * entry[p.name],
            threshold=p.threshold * factor,
            v_init=p.v_init * factor,
        )
        for p in net.populations
    )
    projections = tuple(
        replace(q, weight=q.weight * (entry[q.target] / gains[q.source])) for q in net.projections
    )
    return replace(net, populations=populations, projections=projections)


def with_neuron(net: SnnNetwork, neuron: Neuron) -> SnnNetwork:
    """``net`` whose fire populations all are of ``neuron``."""
    populations = tuple(
        replace(p, neuron=neuron) if p.kind == "fire" else p for p in net.populations
    )
    return replace(net, populations=populations)
