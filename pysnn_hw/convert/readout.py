# SPDX-License-Identifier: BSD-2-Clause
"""How the class is read (methods.md 2.7): spikes of the last layer, their time, or samples.

The membrane potential needs nothing; the others are appended to a network that has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np

from pysnn_hw.convert.calibrate import Calibration, thresholds
from pysnn_hw.convert.encoding import SEED
from pysnn_hw.convert.float_sim import BATCH, FloatResult, simulate_float
from pysnn_hw.convert.sample import Sample
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.check import MAX_SPIKE, NOISE_VALUES, WEIGHT_RANGE
from pysnn_hw.ir.snn import (
    PLAIN,
    Array,
    FixedNetwork,
    Neuron,
    Population,
    Projection,
    Readout,
    SnnNetwork,
)

MAX_CANDIDATES = 256
"""Margins that `with_early_exit` tries."""
LARGEST = WEIGHT_RANGE[1]

Net = TypeVar("Net", bound=SnnNetwork)


def count_readout(
    net: SnnNetwork,
    images: Array,
    *,
    calibration: Calibration,
    spike_max: int,
    percentile: float = 99.9,
    tau: float = 0.5,
    neuron: Neuron = PLAIN,
) -> SnnNetwork:
    """``net`` whose scores are how much each class fires.

    What was the readout becomes a fire population with one threshold for all classes, calibrated
    like that of any layer on the positive scores of ``images``. Negative scores are all alike
    then, and at few timesteps ties are common: `readout.Readout` breaks them to the lowest class.

    Parameters
    ----------
    net
        Of real numbers, read by its potentials.
    images
        Raw integers (N, C, H, W).
    calibration, spike_max, percentile, tau, neuron
        As for the other layers.
    """
    last = net.populations[-1]
    scores = np.concatenate([run.scores for run in _runs(net, images)]) / net.timesteps
    positive = np.maximum(scores, 0).reshape(1, -1)
    theta = thresholds(
        Sample(positive, positive.max(axis=1)),
        calibration,
        timesteps=net.timesteps,
        spike_max=spike_max,
        per_channel=False,
        percentile=percentile,
        tau=tau,
    )
    firing = replace(
        last, kind="fire", threshold=theta, v_init=tau * theta, spike_max=spike_max, neuron=neuron
    )
    counted = replace(net, populations=(*net.populations[:-1], firing))
    return _counting(counted, f"{last.name}_count")


def first_spike_readout(net: SnnNetwork) -> SnnNetwork:
    """A ``net`` of `count_readout` whose scores are how early each class fires first.

    A latch behind each class keeps firing once it has started: with t counted from 0, the score is
    T - t. Its membrane must hold a spike for every step left, which one synapse gives up to
    T = 127, and two in a row beyond that.
    """
    source = net.populations[-2]
    populations, projections = list(net.populations[:-1]), list(net.projections[:-1])
    gains = [net.timesteps] if net.timesteps <= LARGEST else [LARGEST, LARGEST]
    for k, gain in enumerate(gains):
        name = f"{source.name}_latch{k or ''}"
        spike_max = 1 if k == len(gains) - 1 else min(LARGEST, MAX_SPIKE)
        weight = np.full(source.channels, float(gain))
        origin = populations[-1].name
        projections.append(Projection(f"{origin}_to_{name}", origin, name, "identity", weight))
        latch = Population(
            name, "fire", source.shape, np.zeros(1), np.ones(1), np.zeros(1), spike_max
        )
        populations.append(latch)
    latched = replace(net, populations=tuple(populations), projections=tuple(projections))
    return _counting(latched, net.populations[-1].name)


def _counting(net: SnnNetwork, name: str) -> SnnNetwork:
    """``net``, whose last population fires, with a readout that counts its spikes."""
    last = net.populations[-1]
    zero = np.zeros(1)
    counter = Population(name, "readout", last.shape, zero, np.empty(0), zero, 0)
    ones = np.ones(last.channels)
    projection = Projection(f"{last.name}_to_{name}", last.name, name, "identity", ones)
    return replace(
        net,
        populations=(*net.populations, counter),
        projections=(*net.projections, projection),
        readout=Readout("count"),
    )


def sampled_readout(net: SnnNetwork, seed: int = SEED) -> SnnNetwork:
    """``net`` that votes in every step for a class drawn from the softmax of its potentials.

    The largest of potential plus Gumbel noise is such a draw; the noise has 256 quantiles.
    """
    quantiles = (np.arange(NOISE_VALUES) + 0.5) / NOISE_VALUES
    noise = -np.log(-np.log(quantiles))
    return replace(net, readout=Readout("sampled", seed=seed, noise=tuple(noise.tolist())))


def with_early_exit(net: Net, images: Array, agreement: float) -> Net:
    """``net`` that stops once the best score is far enough above the second.

    The margin is the smallest one from which on at least the share ``agreement`` of ``images``
    get the class that they have after all timesteps.

    Raises
    ------
    ModelError
        If there is nothing to stop early, or no margin between scores.
    """
    if net.timesteps == 1 or net.readout.mode == "sampled" or net.populations[-1].size < 2:
        raise ModelError(
            "early_exit", "needs more than one timestep and scores that grow", "leave it out"
        )
    open_net = replace(net, readout=replace(net.readout, margin=0))
    parts = [run.history for run in _runs(open_net, images) if run.history is not None]
    found = exit_margin(np.concatenate(parts), agreement, whole=isinstance(net, FixedNetwork))
    return replace(net, readout=replace(net.readout, margin=found))


def exit_margin(history: Array, agreement: float, *, whole: bool = False) -> float:
    """The margin of `with_early_exit` for scores after each step, (N, T, classes)."""
    best = np.partition(history, -2, axis=2)[..., -2:]
    lead = best[..., 1] - best[..., 0]
    classes = history.argmax(2)
    right = classes == classes[:, -1:]

    def agrees(margin: float) -> bool:
        clear = lead >= margin
        clear[:, -1] = True
        return bool(right[np.arange(len(right)), clear.argmax(1)].mean() >= agreement)

    # Only just above the lead of a wrong class does a margin begin to keep it out.
    wrong = np.unique(lead[~right])
    if len(wrong) > MAX_CANDIDATES:
        wrong = wrong[np.linspace(0, len(wrong) - 1, MAX_CANDIDATES).astype(int)]
    candidates = np.floor(wrong) + 1 if whole else np.nextafter(wrong.astype(lead.dtype), np.inf)
    smallest = 1.0 if whole else max(float(lead.max()) * 1e-6, float(np.finfo(lead.dtype).tiny))
    margin = float(candidates[-1]) if len(candidates) else smallest
    for candidate in (*candidates[::-1], smallest):
        if not agrees(candidate):
            break
        margin = max(float(candidate), smallest)
    return int(margin) if whole else margin


def _runs(net: SnnNetwork, images: Array) -> Iterator[FloatResult]:
    for first in range(0, len(images), BATCH):
        yield simulate_float(net, images[first : first + BATCH], history=True)
