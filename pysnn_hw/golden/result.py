# SPDX-License-Identifier: BSD-2-Clause
"""What a golden simulation returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pysnn_hw.ir.snn import Array, FixedNetwork


def spike_dtype(net: FixedNetwork) -> npt.DTypeLike:
    """The 8-bit type that holds every spike value of ``net``."""
    return np.int8 if any(p.spike_min < 0 for p in net.populations) else np.uint8


@dataclass(frozen=True, eq=False)
class Trace:
    """Everything that every neuron did.

    Attributes
    ----------
    spikes
        Per fire population, `spike_dtype` (N, steps, C, H, W): spike values before any pooling,
        those of a probe first.
    membranes
        Per population (readout included), int64 (N, C, H, W): membrane potential after the last
        step.
    """

    spikes: Mapping[str, Array]
    membranes: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Result:
    """Scores, classes and activity of N images.

    Attributes
    ----------
    scores
        int64 (N, classes): final membranes of the readout, or votes.
    classes
        int64 (N,): index of the largest score, ties to the lowest index; -1 where a readout counts
        spikes and there were none.
    spikes
        Per fire population, int64 (N,): non-zero spikes over all steps.
    sops
        Per projection, int64 (N,): weights accumulated into membranes. An event counts once for
        each tap that lands in the map and each output channel of its group; zero values are no
        events, pooling comes first, and the constant input counts once per image because hardware
        computes its current once. Steps after an early exit count like all others.
    steps
        int64 (N,): timesteps that the scores are of, T without early exit.
    trace
        Present if asked for.
    """

    scores: Array
    classes: Array
    spikes: Mapping[str, Array]
    sops: Mapping[str, Array]
    steps: Array
    trace: Trace | None = None


def classes_of(net: FixedNetwork, scores: Array) -> Array:
    """Class of each row of ``scores``, int64 (N,)."""
    classes: Array = scores.argmax(axis=1)
    if net.readout.mode == "count":
        classes = np.where(scores.max(axis=1) > 0, classes, -1)
    return classes


def concatenate(parts: Sequence[Result]) -> Result:
    """Join the results of consecutive batches (at least one) along the image axis."""
    if len(parts) == 1:
        return parts[0]

    def join(maps: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        return {name: np.concatenate([m[name] for m in maps]) for name in maps[0]}

    traces = [part.trace for part in parts if part.trace is not None]
    return Result(
        scores=np.concatenate([part.scores for part in parts]),
        classes=np.concatenate([part.classes for part in parts]),
        spikes=join([part.spikes for part in parts]),
        sops=join([part.sops for part in parts]),
        steps=np.concatenate([part.steps for part in parts]),
        trace=Trace(join([t.spikes for t in traces]), join([t.membranes for t in traces]))
        if traces
        else None,
    )
