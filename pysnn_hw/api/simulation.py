# SPDX-License-Identifier: BSD-2-Clause
"""A network file on a data set: in the golden simulator, or in the Verilated accelerator."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pysnn_hw.data import load_dataset
from pysnn_hw.golden import Result
from pysnn_hw.golden import simulate as simulate_golden
from pysnn_hw.ir.file import load
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.progress import Progress, silent


@dataclass(frozen=True)
class Cycles:
    """Clock cycles from one result to the next, over the images of a run."""

    median: float
    max: int


@dataclass(frozen=True)
class Simulation:
    """Answer of `simulate`.

    Attributes
    ----------
    images, accuracy
        How many test images were run, and the fraction classified correctly.
    images_per_s
        Of the simulator on this machine, without its start-up.
    sops_per_image, spikes_per_image
        Means over the images, all populations together.
    spikes, sops
        Means per image, by population and by projection.
    dense_macs
        Multiply-accumulates of the same network run densely.
    """

    images: int
    accuracy: float
    images_per_s: float
    sops_per_image: float
    spikes_per_image: float
    spikes: Mapping[str, float]
    sops: Mapping[str, float]
    dense_macs: int


def simulate(
    network: str | Path,
    data: str | Path,
    *,
    limit: int | None = None,
    progress: Progress = silent,
) -> Simulation:
    """Simulate the test images of ``data``.

    Parameters
    ----------
    network
        A ``.snn`` file.
    data
        As `pysnn_hw.data.load_dataset` takes it.
    limit
        Only the first so many images.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        If the file, the data set or the pair of them is unusable.
    """
    net = load(Path(network))
    dataset = load_dataset(data)
    images, labels = dataset.x_test[:limit], dataset.y_test[:limit]
    result, seconds = run_golden(net, images, progress)
    return summary(net, result, labels, seconds)


def run_golden(net: FixedNetwork, images: Array, progress: Progress) -> tuple[Result, float]:
    """Result of ``images`` and the seconds it took, compilation of the kernels apart."""
    simulate_golden(net, images[:1])
    start = time.perf_counter()
    result = simulate_golden(
        net, images, progress=lambda done, total: progress("golden simulation", done, total)
    )
    return result, time.perf_counter() - start


def summary(net: FixedNetwork, result: Result, labels: Array, seconds: float) -> Simulation:
    """The figures of a golden run."""
    spikes = {name: float(np.mean(count)) for name, count in result.spikes.items()}
    sops = {name: float(np.mean(count)) for name, count in result.sops.items()}
    return Simulation(
        images=len(labels),
        accuracy=float(np.mean(result.classes == labels)),
        images_per_s=len(labels) / seconds,
        sops_per_image=sum(sops.values()),
        spikes_per_image=sum(spikes.values()),
        spikes=spikes,
        sops=sops,
        dense_macs=net.dense_macs,
    )
