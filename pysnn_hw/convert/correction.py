# SPDX-License-Identifier: BSD-2-Clause
"""Bias correction: what each channel loses on average goes into its bias (methods.md 6.5 b).

Rounding to spikes and clipping at the largest spike shift the mean activation of a channel, and the
next layer turns the shift of all its inputs into a constant current. A bias undoes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from pysnn_hw.convert.float_sim import BATCH, simulate_float
from pysnn_hw.ir.ann import AnnGraph, evaluate
from pysnn_hw.ir.snn import Array, FixedNetwork, SnnNetwork

ROUNDS = 4
"""All populations are corrected at once, so what the ones before have changed takes some rounds."""

MAX_IMAGES, MIN_IMAGES, STEP_IMAGES = 256, 32, 2048


def correction_images(timesteps: int) -> int:
    """How many images are enough: fewer over many timesteps, as their rounding is finer."""
    return max(MIN_IMAGES, min(MAX_IMAGES, STEP_IMAGES // timesteps))


Net = TypeVar("Net", bound=SnnNetwork)


def mean_activations(graph: AnnGraph, x: Array, names: Collection[str]) -> dict[str, Array]:
    """Mean output per channel, float64 (C,), of the nodes ``names`` on model inputs ``x``."""
    sums: dict[str, Array] = {}
    for first in range(0, len(x), BATCH):
        _, kept = evaluate(graph, x[first : first + BATCH], keep=names)
        for name, values in kept.items():
            flat = values.reshape(len(values), values.shape[1], -1)
            sums[name] = sums.get(name, 0.0) + flat.mean(2, dtype=np.float64).sum(0)
    return {name: values / len(x) for name, values in sums.items()}


def mean_responses(net: SnnNetwork, images: Array) -> dict[str, Array]:
    """What each channel stands for per timestep, on average over raw ``images``: float64 (C,).

    Rate times threshold of a fire population, score of the readout; in the network's own units.
    """
    sums: dict[str, Array] = {}
    readout = net.populations[-1].name
    for first in range(0, len(images), BATCH):
        found = simulate_float(net, images[first : first + BATCH])
        for name, counts in found.counts.items():
            theta = net.population(name).per_channel("threshold")
            mean = counts.mean((2, 3), dtype=np.float64).sum(0) * theta
            sums[name] = sums.get(name, 0.0) + mean
        sums[readout] = sums.get(readout, 0.0) + found.scores.sum(0, dtype=np.float64)
    return {name: values / (len(images) * net.timesteps) for name, values in sums.items()}


def correct_biases(
    net: Net,
    targets: Mapping[str, Array],
    images: Array,
    *,
    units: Mapping[str, Array] | None = None,
    rounds: int = ROUNDS,
) -> Net:
    """``net`` with biases that bring `mean_responses` close to ``targets``.

    Parameters
    ----------
    net
        Of real numbers, or of integers: then biases stay whole.
    targets
        By population, (C,).
    images
        Raw integers (N, C, H, W).
    units
        By population, what 1 in the network stands for in the targets, (C,) or (1,); by default 1.
    rounds
        How often. The best of all rounds is returned, which may be the first: the network itself.
    """
    best, least = net, np.inf
    for left in range(rounds, -1, -1):
        means = mean_responses(net, images)
        missing = {
            name: target / (1.0 if units is None else units[name]) - means[name]
            for name, target in targets.items()
        }
        error = sum(_share(missing[name], means[name]) for name in targets)
        if error < least:
            best, least = net, error
        if left:
            net = _shifted(net, missing)
    return best


def _share(missing: Array, mean: Array) -> float:
    return float(np.abs(missing).mean() / max(np.abs(mean + missing).mean(), 1e-12))


def _shifted(net: Net, by: Mapping[str, Array]) -> Net:
    def shifted(name: str, bias: Array) -> Array:
        if isinstance(net, FixedNetwork):
            return np.asarray(bias + np.rint(by[name]).astype(np.int64))
        return np.asarray(bias + by[name])

    populations = tuple(
        replace(p, bias=shifted(p.name, p.bias)) if p.name in by else p for p in net.populations
    )
    return replace(net, populations=populations)
