# SPDX-License-Identifier: BSD-2-Clause
"""From a network file to a bitstream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pysnn_hw.api.planning import chosen_schedule, sample_activity
from pysnn_hw.api.sample import images_for
from pysnn_hw.build import BuildResult, build_accelerator
from pysnn_hw.build.families import VENDOR_FAMILIES
from pysnn_hw.build.reports import Usage
from pysnn_hw.build.vivado import VivadoProject, write_project
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.ir.file import load
from pysnn_hw.plan import Board, evaluate, load_board
from pysnn_hw.progress import Progress, silent

TOOL_STARTS = re.compile(r"^\S+ \d+\.\S+$")


@dataclass(frozen=True)
class Build:
    """Answer of `build`.

    Attributes
    ----------
    bitstream
        What configures the chip.
    flash_image
        Bitstream and the contents of memories that are loaded at power-up: the file to flash,
        where there are such memories.
    fmax_mhz, clock_mhz
        What timing closes at, and what the board's clock is set to.
    lut, ff, bram, dsp, spram
        Used and available, as place and route counts them.
    cycles_per_image, images_per_s
        Predicted interval between images, and clock / that.
    versions
        Of the tools.
    """

    board: str
    bitstream: Path
    flash_image: Path | None
    fmax_mhz: float
    clock_mhz: float
    lut: Usage
    ff: Usage
    bram: Usage
    dsp: Usage
    spram: Usage
    cycles_per_image: float
    images_per_s: float
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Project:
    """Answer of `build` for a board whose bitstreams only the vendor's tool makes.

    Attributes
    ----------
    tool
        The vendor's tool.
    script
        What it is to run.
    files
        All that was written for it.
    clock_mhz
        What the clock is set to; only the vendor's tool can tell whether timing closes.
    lut, ff, bram, dsp
        Cells after synthesis by yosys, and available: an estimate, nothing was placed or routed.
    report
        The estimate as a file.
    cycles_per_image, images_per_s
        Predicted interval between images, and clock / that, if timing closes.
    versions
        Of the tools that ran.
    """

    board: str
    tool: str
    script: Path
    files: tuple[Path, ...]
    clock_mhz: float
    lut: Usage
    ff: Usage
    bram: Usage
    dsp: Usage
    report: Path
    cycles_per_image: float
    images_per_s: float
    versions: Mapping[str, str]


def build(
    network: str | Path,
    output: str | Path,
    *,
    board: str,
    data: str | Path | None = None,
    schedule: str | Path | None = None,
    progress: Progress = silent,
) -> Build | Project:
    """Synthesise, place and route the accelerator with its host link; write the bitstream.

    Where only the vendor's tool makes bitstreams, write a project for it instead, and what yosys
    makes of the design.

    Parameters
    ----------
    network
        A ``.snn`` file.
    output
        Folder of all products.
    board
        A name of `boards`, or a ``.toml`` file.
    data
        As for `plan`.
    schedule
        A ``schedule.json`` to follow instead of planning anew.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        If file, board or data set are unusable, the design does not fit, or a tool fails.
    """
    net, target = load(Path(network)), load_board(board)
    dataset = images_for(net, data)
    chosen = chosen_schedule(net, target, dataset, schedule, progress)
    predicted = evaluate(net, chosen, target, sample_activity(net, dataset))

    def told(line: str) -> None:
        # A tool's name and version begin its work; what it says in between is in its log.
        if TOOL_STARTS.match(line):
            progress(f"{target.name}: {line}", 0, 0)

    what = f"build {target.name}"
    progress(what, 0, 0)
    accelerator, cycles = Accelerator(net, chosen), predicted.cycles_per_image
    if target.device.family in VENDOR_FAMILIES:
        project = write_project(accelerator, target, Path(output), progress=told)
        progress(what, 1, 1)
        return _project(project, target, cycles)
    result = build_accelerator(accelerator, target, Path(output), progress=told)
    progress(what, 1, 1)
    return _answer(result, target.name, cycles)


def _project(made: VivadoProject, board: Board, cycles: float) -> Project:
    found, clock_mhz = made.estimate, made.sources.clock_mhz
    return Project(
        board=board.name,
        tool=VENDOR_FAMILIES[board.device.family].tool,
        script=made.sources.script,
        files=made.sources.files,
        clock_mhz=clock_mhz,
        lut=found.lut,
        ff=found.ff,
        bram=found.bram,
        dsp=found.dsp,
        report=made.report,
        cycles_per_image=cycles,
        images_per_s=1e6 * clock_mhz / cycles,
        versions={"yosys": found.version},
    )


def _answer(result: BuildResult, board: str, cycles: float) -> Build:
    return Build(
        board=board,
        bitstream=result.bitstream,
        flash_image=result.flash_image,
        fmax_mhz=result.fmax_mhz,
        clock_mhz=result.clock_mhz,
        lut=result.lut,
        ff=result.ff,
        bram=result.bram,
        dsp=result.dsp,
        spram=result.spram,
        cycles_per_image=cycles,
        images_per_s=1e6 * result.clock_mhz / cycles,
        versions=result.versions,
    )
