# SPDX-License-Identifier: BSD-2-Clause
"""One method at one T and n, looked at closely enough to see where accuracy goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pysnn_hw.convert import PopulationLoss, loss_report
from pysnn_hw.errors import DataError, PysnnError
from pysnn_hw.explore.candidate import Candidate
from pysnn_hw.explore.energy import dense_pj, spiking_pj
from pysnn_hw.explore.subject import Subject
from pysnn_hw.golden import simulate
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.progress import Progress, silent

RATE_BINS = 20
"""Bins of the histogram of spike rates between 0 and 1; rates of exactly 0 are counted apart."""
RATE_IMAGES = 32
"""Images of that histogram."""


@dataclass(frozen=True)
class Examined:
    """What a candidate is, or why there is none.

    Attributes
    ----------
    candidate
        The method, T, n and weight bits.
    problem
        Why there is no such network; empty if there is one, otherwise the rest is 0 or empty.
    images, accuracy, original_accuracy
        Test images, and the fractions of them that it and the trained network classify correctly.
    sops, spikes
        Per image.
    energy_pj, original_energy_pj
        By the energy model, per image.
    macs
        Of the network run densely.
    layers
        Each fire population beside the activation that it stands for.
    rates
        Fractions of neurons and images with a spike rate of 0, then by `RATE_BINS` bins up to 1. A
        rate of 1 is the largest spike in every timestep.
    """

    candidate: Candidate
    problem: str = ""
    images: int = 0
    accuracy: float = 0.0
    original_accuracy: float = 0.0
    sops: float = 0.0
    spikes: float = 0.0
    energy_pj: float = 0.0
    original_energy_pj: float = 0.0
    macs: int = 0
    layers: tuple[PopulationLoss, ...] = ()
    rates: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON document."""
        return asdict(self)

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Examined:
        """Inverse of `to_json`."""
        fields = dict(document)
        fields["candidate"] = Candidate.from_json(fields["candidate"])
        fields["layers"] = tuple(PopulationLoss(**layer) for layer in fields["layers"])
        fields["rates"] = tuple(fields["rates"])
        return Examined(**fields)


def examine(
    subject: Subject,
    candidate: Candidate,
    *,
    images: int,
    detail_images: int,
    progress: Progress = silent,
) -> Examined:
    """Convert ``candidate`` and look at it.

    Parameters
    ----------
    subject
        What is converted.
    candidate
        By which method, at which T and n.
    images
        Test images that the accuracy is measured on.
    detail_images
        Those of them that layers are looked at on.
    progress
        Told how far a training is.
    """
    try:
        net = subject.network(candidate, progress)
    except DataError:
        raise
    except PysnnError as e:
        return Examined(candidate, str(e))
    total = subject.tally(net, 0, images)
    some = slice(0, min(images, detail_images))
    report = loss_report(
        subject.graph,
        subject.spiking(candidate),
        net,
        subject.images[some],
        subject.labels[some],
        subject.preprocessing,
        compared=detail_images,
    )
    return Examined(
        candidate,
        images=total.images,
        accuracy=total.accuracy,
        original_accuracy=total.original_accuracy,
        sops=total.sops_per_image,
        spikes=total.spikes_per_image,
        energy_pj=spiking_pj(net, {k: v / total.images for k, v in total.sops.items()}),
        original_energy_pj=dense_pj(net),
        macs=net.dense_macs,
        layers=report.populations,
        rates=spike_rates(net, subject.images[:RATE_IMAGES]),
    )


def spike_rates(net: FixedNetwork, images: Array) -> tuple[float, ...]:
    """Histogram of the spike rates of all neurons, see `Examined.rates`."""
    trace = simulate(net, images, trace=True).trace
    if trace is None:
        raise DataError("images", "the simulator kept no trace")
    counts = np.zeros(1 + RATE_BINS, np.int64)
    for name, spikes in trace.spikes.items():
        most = net.timesteps * net.population(name).spike_max
        # What a probe run fired before the steps that count is no part of the rate.
        total = np.abs(spikes[:, -net.timesteps :].sum(axis=1, dtype=np.int64))
        counts[0] += np.count_nonzero(total == 0)
        rates = np.minimum(total[total > 0] / most, 1.0)
        # Upper ends belong to their bin: a rate of 1 to the last one.
        counts[1:] += np.histogram(1 - rates, RATE_BINS, (0, 1))[0][::-1]
    return tuple(float(share) for share in counts / max(counts.sum(), 1))
