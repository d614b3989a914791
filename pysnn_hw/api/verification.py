# SPDX-License-Identifier: BSD-2-Clause
"""The generated accelerator against golden."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pysnn_hw import verify as checks
from pysnn_hw.api.planning import chosen_schedule
from pysnn_hw.api.sample import images_for
from pysnn_hw.api.simulation import DEFAULT_BOARD
from pysnn_hw.ir.file import load
from pysnn_hw.plan import load_board
from pysnn_hw.progress import Progress, silent
from pysnn_hw.verify import Check, VerifyReport


@dataclass(frozen=True)
class Verification:
    """Answer of `verify`.

    Attributes
    ----------
    tests, failures
        Checks made (lint, each cocotb test, each run of the harness), and those that failed.
    spikes_compared, membranes_compared
        Values held against golden one by one, zeros included.
    mismatches
        Words that differ, are missing or too many.
    images
        Images through the harness, those under back-pressure included.
    first_mismatch, wave
        Where hardware and golden part ways, and the waveform around it; empty if nowhere.
    folder
        Verilog, testbench executables and waveform.
    """

    board: str
    tests: int
    failures: int
    spikes_compared: int
    membranes_compared: int
    mismatches: int
    images: int
    first_mismatch: str
    wave: Path | None
    folder: Path
    checks: tuple[Check, ...]


def verify(
    network: str | Path,
    *,
    board: str | None = None,
    data: str | Path | None = None,
    schedule: str | Path | None = None,
    images: int = 100,
    output: str | Path | None = None,
    progress: Progress = silent,
) -> Verification:
    """Hold the accelerator that `plan` lays out against golden, spike by spike.

    Parameters
    ----------
    network
        A ``.snn`` file.
    board
        Whose plan the accelerator follows.
    data
        Test images; by default the bundled ones if they fit, otherwise random ones.
    schedule
        A ``schedule.json`` to follow instead of planning anew.
    images
        How many go through the C++ harness.
    output
        Folder of Verilog, executables and waveform; by default beside the network file.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        If file, board or data set are unusable, or a tool is missing.
    """
    net, target = load(Path(network)), load_board(board or DEFAULT_BOARD)
    dataset = images_for(net, data)
    chosen = chosen_schedule(net, target, dataset, schedule, progress)
    folder = Path(output) if output is not None else Path(network).with_suffix(".verify")
    report = checks.verify(net, chosen, dataset.x_test[:images], folder, progress=progress)
    return verification(report, target.name, folder)


def verification(report: VerifyReport, board: str, folder: Path) -> Verification:
    """The figures of a report."""
    return Verification(
        board=board,
        tests=report.tests,
        failures=report.failures,
        spikes_compared=report.spikes_compared,
        membranes_compared=report.membranes_compared,
        mismatches=report.mismatches,
        images=report.images,
        first_mismatch=report.first_mismatch,
        wave=report.wave,
        folder=folder,
        checks=report.checks,
    )
