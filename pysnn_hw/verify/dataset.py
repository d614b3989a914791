# SPDX-License-Identifier: BSD-2-Clause
"""Whole data sets through the Verilated accelerator, every word compared with golden."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pysnn_hw.golden import Result, simulate_batches
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.plan.board import Device
from pysnn_hw.plan.schedule import Schedule
from pysnn_hw.progress import Progress, silent
from pysnn_hw.verify.compare import Mismatch, first_mismatch
from pysnn_hw.verify.design import Design, classes_of
from pysnn_hw.verify.harness import (
    NO_PRESSURE,
    RUN_FAST,
    TRACED,
    Pressure,
    Run,
    build_harness,
    run_harness,
    write_vectors,
)
from pysnn_hw.verify.netlist import NetlistDesign
from pysnn_hw.verify.verilator import Profile, find_verilator

_BATCH_BYTES = 48 << 20  # expected words on disk per process
_WAVE_BEFORE, _WAVE_AFTER = 2000, 100  # cycles kept around a mismatch


@dataclass(frozen=True, eq=False)
class HarnessResult:
    """What the hardware computed, when, and where it differs from golden.

    Attributes
    ----------
    scores, classes
        int64 (N, classes) and (N,).
    started, finished
        int64 (N,): cycle in which each image's first integer was taken and its last score left,
        counted from the start of its run.
    run
        int64 (N,): images of one run followed each other in one simulation.
    cores
        Names of the populations that ``held`` and ``issued`` speak of.
    held, issued
        int64 (cores,): cycles in which a core accumulated while a queue held an event, and those of
        them in which an accumulate step started.
    cycles
        Simulated cycles in all.
    spikes_compared, membranes_compared
        Values compared, zeros included.
    mismatches
        Words that differ, are missing or are too many.
    first
        The first of them.
    stalled
        Whether a run ended because nothing moved any more.
    wave
        FST waveform of the cycles around ``first``.
    """

    scores: Array
    classes: Array
    started: Array
    finished: Array
    run: Array
    cores: tuple[str, ...]
    held: Array
    issued: Array
    cycles: int
    spikes_compared: int
    membranes_compared: int
    mismatches: int
    first: Mismatch | None
    stalled: bool
    wave: Path | None

    @property
    def latency(self) -> Array:
        """Cycles from an image's first integer to its last score, int64 (N,)."""
        return self.finished - self.started

    @property
    def intervals(self) -> Array:
        """Cycles from one result to the next within a run; of the first image if it is alone."""
        steps = np.diff(self.finished)[np.diff(self.run) == 0]
        return steps if len(steps) else self.latency

    @property
    def utilisation(self) -> dict[str, float]:
        """Per core: accumulate steps started per cycle in which a queue held an event."""
        return {
            name: float(issued / held) if held else 1.0
            for name, issued, held in zip(self.cores, self.issued, self.held, strict=True)
        }


@dataclass(frozen=True, eq=False)
class _Chunk:
    first: int
    golden: Result
    vectors: Path
    run: Run


def run_dataset(
    net: FixedNetwork,
    schedule: Schedule,
    images: Array,
    *,
    device: Device | None = None,
    folder: Path | None = None,
    pressure: Pressure = NO_PRESSURE,
    profile: Profile = RUN_FAST,
    jobs: int = 2,
    patience: int = 2_000_000,
    progress: Progress = silent,
) -> HarnessResult:
    """Run images on the accelerator and compare every word with golden.

    The images are split over ``jobs`` processes. After the first run with a mismatch no further one
    starts, so the result may cover fewer images than were given.

    Parameters
    ----------
    net, schedule
        What to build.
    images
        Raw integers (N, C, H, W), or (N, T, C, H, W) for an input of events.
    device
        Simulate the netlist that is synthesised for it, not the generated Verilog.
    folder
        Where the executable (kept for the next time) and a waveform go; None for a temporary
        folder, without a waveform.
    pressure
        Random gaps at the input and back-pressure at the output.
    profile
        How the model is compiled.
    jobs
        Processes that simulate at the same time.
    patience
        Cycles without progress after which a run counts as stalled.
    progress
        Told how far the work is.

    Raises
    ------
    ToolError
        If Verilator or the C++ compiler is missing or fails.
    NetworkError, DataError, PlanError
        If the network, the images or the schedule are unusable.
    """
    with _work_folder(folder) as work:
        design = NetlistDesign(net, schedule, device) if device else Design(net, schedule)
        tool = find_verilator()
        progress("compile the accelerator", 0, 1)
        executable = build_harness(tool, design, work, profile=profile)
        progress("compile the accelerator", 1, 1)

        def simulate(first: int, golden: Result, part: Array) -> _Chunk:
            vectors = work / f"images_{first}.bin"
            write_vectors(design, part, golden, vectors)
            run = run_harness(
                design, executable, vectors, len(part), pressure=pressure, patience=patience
            )
            if not run.mismatches:
                vectors.unlink()
                vectors.with_suffix(".json").unlink()
            bare = replace(golden, trace=golden.trace if run.mismatches else None)
            return _Chunk(first, bare, vectors, run)

        chunks: list[_Chunk] = []
        pending: set[Future[_Chunk]] = set()
        size = _batch(design, len(images), jobs)
        with ThreadPoolExecutor(jobs) as pool:
            first = 0
            for golden in simulate_batches(net, images, trace=True, batch=size):
                part = images[first : first + size]
                pending.add(pool.submit(simulate, first, golden, part))
                first += len(part)
                if len(pending) > jobs:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    chunks += [future.result() for future in done]
                    progress("simulate the accelerator", _images(chunks), len(images))
                if any(chunk.run.mismatches for chunk in chunks):
                    break
            chunks += [future.result() for future in pending]
        progress("simulate the accelerator", _images(chunks), len(images))
        chunks.sort(key=lambda chunk: chunk.first)

        first_bad = next((chunk for chunk in chunks if chunk.run.mismatches), None)
        mismatch, wave = None, None
        if first_bad is not None:
            run = first_bad.run
            mismatch = first_mismatch(design, first_bad.golden, run.checks, first_bad.first)
            if mismatch is not None and folder is not None:
                traced = build_harness(tool, design, work, profile=TRACED)
                wave = _wave(design, traced, first_bad, mismatch, pressure, patience)
        return _gather(design, chunks, mismatch, wave)


def _images(chunks: list[_Chunk]) -> int:
    return sum(len(chunk.golden.classes) for chunk in chunks)


@contextmanager
def _work_folder(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with TemporaryDirectory(prefix="pysnn_hw_") as name:
        yield Path(name)


def _batch(design: Design, images: int, jobs: int) -> int:
    """Images per run: as many as the vector file may hold, few enough to keep all jobs busy."""
    steps = design.net.total_steps
    words = sum(p.words * (steps * p.spike_words + p.membrane_words) for p in design.probes)
    return max(1, min(_BATCH_BYTES // (4 * words + 1), -(-images // jobs)))


def _wave(
    design: Design,
    traced: Path,
    chunk: _Chunk,
    mismatch: Mismatch,
    pressure: Pressure,
    patience: int,
) -> Path:
    """Repeat the run up to the mismatch and keep the cycles around it."""
    path = traced.parents[1] / "first_mismatch.fst"
    cycle = mismatch.cycle if mismatch.what != "missing" else chunk.run.cycles - patience
    window = (path, max(0, cycle - _WAVE_BEFORE), cycle + _WAVE_AFTER)
    images = len(chunk.golden.classes)
    run_harness(
        design, traced, chunk.vectors, images, pressure=pressure, patience=patience, wave=window
    )
    return path


def _gather(
    design: Design, chunks: list[_Chunk], first: Mismatch | None, wave: Path | None
) -> HarnessResult:
    def join(parts: list[Array]) -> Array:
        return np.concatenate(parts)

    decoded = [design.scores(chunk.run.output) for chunk in chunks]
    scores, winner = (join(list(parts)) for parts in zip(*decoded, strict=True))
    seen = [
        (check["stream"], check["population"], min(check["seen"], check["items"]))
        for chunk in chunks
        for check in chunk.run.checks
    ]
    lanes = {probe.population: probe.lanes for probe in design.probes}
    return HarnessResult(
        scores=scores,
        classes=classes_of(design.net, scores, winner),
        started=join([chunk.run.started for chunk in chunks]),
        finished=join([chunk.run.finished for chunk in chunks]),
        run=join([np.full(len(c.run.started), k, np.int64) for k, c in enumerate(chunks)]),
        cores=tuple(p.name for p in design.net.populations),
        held=np.sum([chunk.run.held for chunk in chunks], axis=0),
        issued=np.sum([chunk.run.issued for chunk in chunks], axis=0),
        cycles=sum(chunk.run.cycles for chunk in chunks),
        spikes_compared=sum(n * lanes[k] for what, k, n in seen if what == "spikes"),
        membranes_compared=sum(n * lanes[k] for what, k, n in seen if what == "membranes"),
        mismatches=sum(chunk.run.mismatches for chunk in chunks),
        first=first,
        stalled=any(chunk.run.stalled for chunk in chunks),
        wave=wave,
    )
