# SPDX-License-Identifier: BSD-2-Clause
"""What a network does on images, as sums that can be added up as more images are looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pysnn_hw.golden import simulate
from pysnn_hw.ir.snn import Array, FixedNetwork


@dataclass(frozen=True)
class Tally:
    """Counts over images.

    Attributes
    ----------
    images, correct, original_correct, agreeing
        Images looked at; those classified correctly by the spiking and by the trained network, and
        those that both classify alike.
    sops
        Synaptic operations, by projection.
    spikes
        Non-zero spikes of all populations.
    """

    images: int
    correct: int
    original_correct: int
    agreeing: int
    sops: Mapping[str, int]
    spikes: int

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.images + other.images,
            self.correct + other.correct,
            self.original_correct + other.original_correct,
            self.agreeing + other.agreeing,
            {name: count + other.sops[name] for name, count in self.sops.items()},
            self.spikes + other.spikes,
        )

    @property
    def accuracy(self) -> float:
        """Fraction classified correctly."""
        return self.correct / self.images

    @property
    def original_accuracy(self) -> float:
        """The same of the trained network, on the same images."""
        return self.original_correct / self.images

    @property
    def loss(self) -> float:
        """Accuracy lost, in points of percent; negative if the spiking network is better."""
        return 100 * (self.original_correct - self.correct) / self.images

    @property
    def loss_error(self) -> float:
        """Standard error of `loss`, in points: only images that the two tell apart decide it."""
        return 100 * math.sqrt(max(self.images - self.agreeing, 1)) / self.images

    @property
    def sops_per_image(self) -> float:
        """Synaptic operations per image, all projections."""
        return sum(self.sops.values()) / self.images

    @property
    def spikes_per_image(self) -> float:
        """Non-zero spikes per image."""
        return self.spikes / self.images

    def to_json(self) -> dict[str, Any]:
        """A JSON document."""
        return asdict(self)

    @staticmethod
    def from_json(document: dict[str, Any]) -> Tally:
        """Inverse of `to_json`."""
        return Tally(**document)


def tally(
    net: FixedNetwork,
    images: Array,
    labels: Array,
    original: Array,
    *,
    threads: int | None = None,
) -> Tally:
    """Run ``images`` through the golden simulator.

    Parameters
    ----------
    net
        The network.
    images, labels
        Raw integers (N, C, H, W), N >= 1, and classes (N,).
    original
        Classes that the trained network finds, (N,).
    threads
        Of the simulator; None for one per processor.
    """
    found = simulate(net, images, threads=threads)
    return Tally(
        images=len(images),
        correct=int(np.count_nonzero(found.classes == labels)),
        original_correct=int(np.count_nonzero(original == labels)),
        agreeing=int(np.count_nonzero(found.classes == original)),
        sops={name: int(counts.sum()) for name, counts in found.sops.items()},
        spikes=sum(int(counts.sum()) for counts in found.spikes.values()),
    )
