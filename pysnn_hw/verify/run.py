# SPDX-License-Identifier: BSD-2-Clause
"""Everything that `pysnn-hw verify` checks of one network and schedule."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pysnn_hw.golden import simulate
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.plan.schedule import Schedule
from pysnn_hw.progress import Progress, silent
from pysnn_hw.verify.cosim import cosim
from pysnn_hw.verify.dataset import HarnessResult, run_dataset
from pysnn_hw.verify.design import TOP, Design
from pysnn_hw.verify.harness import Pressure
from pysnn_hw.verify.lint import lint
from pysnn_hw.verify.verilator import find_verilator

_PRESSURE = Pressure(offer=0.5, take=0.05, pause=0.3, seed=7)


@dataclass(frozen=True)
class Check:
    """One thing that was verified.

    Attributes
    ----------
    name
        What it is.
    complaint
        The first thing found wrong; empty if nothing is.
    seconds
        How long it took.
    """

    name: str
    complaint: str
    seconds: float


@dataclass(frozen=True)
class VerifyReport:
    """Answer of `verify`.

    Attributes
    ----------
    checks
        In the order in which they ran.
    spikes_compared, membranes_compared
        Values of the harness runs that were compared with golden, zeros included.
    mismatches
        Words that differed, were missing or too many in the harness runs.
    images
        Images of the harness runs.
    first_mismatch
        Population, timestep, image, coordinates, expected and got; empty if there is none.
    wave
        FST waveform around it, if any.
    """

    checks: tuple[Check, ...] = ()
    spikes_compared: int = 0
    membranes_compared: int = 0
    mismatches: int = 0
    images: int = 0
    first_mismatch: str = ""
    wave: Path | None = None

    @property
    def tests(self) -> int:
        """Number of checks."""
        return len(self.checks)

    @property
    def failures(self) -> int:
        """Number of checks that failed."""
        return sum(bool(check.complaint) for check in self.checks)


@dataclass
class _Recorder:
    progress: Progress
    total: int
    checks: list[Check] = field(default_factory=list)

    def add(self, name: str, seconds: float, complaint: str) -> None:
        self.checks.append(Check(name, complaint, seconds))
        self.progress("verify", len(self.checks), self.total)


def verify(
    net: FixedNetwork,
    schedule: Schedule,
    images: Array,
    folder: Path,
    *,
    cosim_images: int = 2,
    pressure_images: int = 20,
    progress: Progress = silent,
) -> VerifyReport:
    """Lint, cocotb, and the C++ harness with and without back-pressure, all against golden.

    Parameters
    ----------
    net, schedule
        What to build.
    images
        Raw integers (N, C, H, W) for the harness; the first ones also go through cocotb and
        through the harness under random back-pressure.
    folder
        Where Verilog, executables and a waveform go.
    cosim_images, pressure_images
        How many of the images those two take.
    progress
        Told how far the work is.

    Raises
    ------
    ToolError
        If Verilator, cocotb or the C++ compiler is missing or fails.
    NetworkError, DataError, PlanError
        If the network, the images or the schedule are unusable.
    """
    tool = find_verilator()
    folder.mkdir(parents=True, exist_ok=True)
    design = Design(net, schedule)
    verilog = folder / f"{TOP}.v"
    record = _Recorder(progress, total=7)

    start = time.perf_counter()
    design.write_verilog(verilog)
    warnings = lint(tool, verilog, top=TOP)
    record.add("lint", time.perf_counter() - start, warnings[0] if warnings else "")

    start = time.perf_counter()
    few = images[:cosim_images]
    outcomes = cosim(tool, design, few, simulate(net, few, trace=True), folder)
    seconds = (time.perf_counter() - start) / len(outcomes)
    for outcome in outcomes:
        record.add(f"cocotb: {outcome.name}", seconds, outcome.complaint)

    def through_harness(name: str, run: Callable[[], HarnessResult]) -> HarnessResult:
        start = time.perf_counter()
        result = run()
        complaint = "" if not result.mismatches else _complaint(result)
        record.add(name, time.perf_counter() - start, complaint)
        return result

    runs = [
        through_harness(
            "harness: random back-pressure",
            lambda: run_dataset(
                net, schedule, images[:pressure_images], folder=folder, pressure=_PRESSURE
            ),
        ),
        through_harness(
            f"harness: {len(images)} images",
            lambda: run_dataset(net, schedule, images, folder=folder, progress=progress),
        ),
    ]
    bad = next((run for run in runs if run.mismatches), None)
    return VerifyReport(
        checks=tuple(record.checks),
        spikes_compared=sum(run.spikes_compared for run in runs),
        membranes_compared=sum(run.membranes_compared for run in runs),
        mismatches=sum(run.mismatches for run in runs),
        images=sum(len(run.classes) for run in runs),
        first_mismatch="" if bad is None else _complaint(bad),
        wave=None if bad is None else bad.wave,
    )


def _complaint(result: HarnessResult) -> str:
    if result.first is None:
        return f"{result.mismatches} transfers too many"
    return f"{result.first}" + ("; then nothing moved any more" if result.stalled else "")
