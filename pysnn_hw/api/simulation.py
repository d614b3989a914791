# SPDX-License-Identifier: BSD-2-Clause
"""A network file on a data set: in the golden simulator, or in the Verilated accelerator."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from filelock import FileLock

from pysnn_hw.api.planning import chosen_schedule
from pysnn_hw.config import Backend
from pysnn_hw.data import load_dataset
from pysnn_hw.golden import Result
from pysnn_hw.golden import simulate as simulate_golden
from pysnn_hw.ir.file import load
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.plan import Schedule, load_board
from pysnn_hw.progress import Progress, silent
from pysnn_hw.verify import HarnessResult, run_dataset
from pysnn_hw.verify.verilator import cache_dir

DEFAULT_BOARD = "ulx3s-85f"
"""Whose schedule the Verilated accelerator follows if no board is named."""


@dataclass(frozen=True)
class Cycles:
    """Clock cycles, over the images of a run."""

    median: float
    mean: float
    max: int

    @staticmethod
    def of(values: Array) -> Cycles:
        """Of int64 (N,), N >= 1."""
        return Cycles(float(np.median(values)), float(values.mean()), int(values.max()))


@dataclass(frozen=True)
class Simulation:
    """Answer of `simulate`. The last entries are None (or empty) for the golden simulator.

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
    board
        Whose schedule the accelerator follows.
    cycles_per_image
        From one result to the next, images sent back to back.
    latency_cycles
        From the first integer of an image to its last score, with other images around it.
    mismatches, first_mismatch
        Words (spikes, membranes, scores) that differ from golden, and the first of them.
    utilisation
        By population: accumulate steps begun per cycle in which the core's queue held an event.
    """

    backend: Backend
    images: int
    accuracy: float
    images_per_s: float
    sops_per_image: float
    spikes_per_image: float
    spikes: Mapping[str, float]
    sops: Mapping[str, float]
    dense_macs: int
    board: str | None = None
    cycles_per_image: Cycles | None = None
    latency_cycles: Cycles | None = None
    mismatches: int | None = None
    first_mismatch: str = ""
    spikes_compared: int | None = None
    utilisation: Mapping[str, float] | None = None


def simulate(
    network: str | Path,
    data: str | Path,
    *,
    backend: Backend = "golden",
    limit: int | None = None,
    board: str | None = None,
    schedule: str | Path | None = None,
    progress: Progress = silent,
) -> Simulation:
    """Simulate the test images of ``data``.

    Parameters
    ----------
    network
        A ``.snn`` file.
    data
        As `pysnn_hw.data.load_dataset` takes it.
    backend
        ``golden``: the bit-exact integer model. ``verilator``: the generated accelerator, cycle by
        cycle, every spike and membrane compared with golden.
    limit
        Only the first so many images.
    board
        Whose plan the Verilated accelerator follows.
    schedule
        A ``schedule.json`` that it follows instead.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        If the file, the data set or the pair of them is unusable, or a tool is missing.
    """
    net = load(Path(network))
    dataset = load_dataset(data)
    images, labels = dataset.x_test[:limit], dataset.y_test[:limit]
    result, seconds = run_golden(net, images, progress)
    answer = summary(net, result, labels, seconds)
    if backend == "golden":
        return answer
    target = load_board(board or DEFAULT_BOARD)
    chosen = chosen_schedule(net, target, dataset, schedule, progress)
    folder = harness_folder(net, chosen, images.shape[1:])
    with FileLock(folder.with_suffix(".lock")):
        found, seconds = run_verilated(net, chosen, images, folder, progress)
    return verilated_summary(answer, found, labels, seconds, target.name)


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
        backend="golden",
        images=len(labels),
        accuracy=float(np.mean(result.classes == labels)),
        images_per_s=len(labels) / seconds,
        sops_per_image=sum(sops.values()),
        spikes_per_image=sum(spikes.values()),
        spikes=spikes,
        sops=sops,
        dense_macs=net.dense_macs,
    )


def run_verilated(
    net: FixedNetwork, schedule: Schedule, images: Array, folder: Path, progress: Progress
) -> tuple[HarnessResult, float]:
    """What the accelerator made of ``images``, and the seconds it took once it was compiled."""
    start = time.perf_counter()

    def note(what: str, done: int, total: int) -> None:
        nonlocal start
        if done == 0 or what != "simulate the accelerator":
            start = time.perf_counter()
        progress(what, done, total)

    found = run_dataset(net, schedule, images, folder=folder, progress=note)
    return found, time.perf_counter() - start


def verilated_summary(
    golden: Simulation, found: HarnessResult, labels: Array, seconds: float, board: str
) -> Simulation:
    """The figures of a run of the accelerator; activity is that of the same images in golden."""
    done = len(found.classes)
    return replace(
        golden,
        backend="verilator",
        images=done,
        accuracy=float(np.mean(found.classes == labels[:done])),
        images_per_s=done / seconds,
        board=board,
        cycles_per_image=Cycles.of(found.intervals),
        latency_cycles=Cycles.of(found.latency),
        mismatches=found.mismatches,
        first_mismatch="" if found.first is None else str(found.first),
        spikes_compared=found.spikes_compared,
        utilisation=found.utilisation,
    )


def harness_folder(net: FixedNetwork, schedule: Schedule, shape: tuple[int, ...]) -> Path:
    """Where the compiled accelerator of a schedule is kept for the next time."""
    names = [p.name for p in net.populations]
    key = json.dumps([names, list(shape), schedule.to_json()], sort_keys=True)
    folder = cache_dir() / "simulate" / hashlib.sha256(key.encode()).hexdigest()[:20]
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder
