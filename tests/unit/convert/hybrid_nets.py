# SPDX-License-Identifier: BSD-2-Clause
"""Small networks of strict binary neurons, and what torch computes inside them."""

from itertools import pairwise

import numpy as np
import torch

from pysnn_hw.convert.hybrid.training import HybridTraining
from pysnn_hw.convert.hybrid.unrolled import Unrolled
from pysnn_hw.ir.snn import INPUT, Input, Neuron, Population, Projection, SnnNetwork

IDLE = HybridTraining()


def dense(weights, thresholds, *, timesteps, start=0.0, leak=0) -> SnnNetwork:
    """Layers ``h0``, ``h1``, .. and the readout ``out``; one weight matrix for each."""
    neuron = Neuron(strict=True, leak=leak)
    names = [f"h{k}" for k in range(len(thresholds))] + ["out"]
    populations, projections, source = [], [], INPUT
    for name, weight, theta in zip(names, weights, [*thresholds, None], strict=True):
        shape, zero = (len(weight), 1, 1), np.zeros(1)
        if theta is None:
            populations.append(Population(name, "readout", shape, zero, np.empty(0), zero, 0))
        else:
            v_init = np.array([start * theta])
            populations.append(
                Population(name, "fire", shape, zero, np.array([theta]), v_init, 1, neuron=neuron)
            )
        projections.append(Projection(f"to_{name}", source, name, "linear", weight))
        source = name
    inputs = weights[0].shape[1]
    return SnnNetwork(
        timesteps, Input((inputs, 1, 1), (0,) * inputs), tuple(populations), tuple(projections)
    )


def random_dense(seed=0, *, sizes=(6, 8, 7, 3), timesteps=5, leak=0) -> SnnNetwork:
    """Two layers that fire now and then, in float."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0.15, 1, (b, a)) / a**0.5 for a, b in pairwise(sizes)]
    weights[0] /= 100
    return dense(weights, [0.9] * (len(sizes) - 2), timesteps=timesteps, leak=leak)


def images_of(net: SnnNetwork, count=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(net.input.minimum, net.input.maximum + 1, (count, *net.input.shape))


def as_input(net: SnnNetwork, images) -> torch.Tensor:
    zero = np.reshape(net.input.zero_point, (-1, 1, 1))
    return torch.from_numpy((images.astype(np.int64) - zero).astype(np.float32))


def run(net: SnnNetwork, images, training=IDLE):
    """Spikes (T, N, C, H, W) and final membranes by population."""
    model = Unrolled(net, training)
    sent = {INPUT: as_input(net, images)[None]}
    names = [p.name for p in net.populations]
    with torch.no_grad():
        state = model._advance(range(net.timesteps), sent, {}, model._start(len(images)), names)
    spikes = {k: v.numpy() for k, v in sent.items() if k != INPUT}
    return spikes, {k: v.numpy() for k, (v, _) in state.items()}
