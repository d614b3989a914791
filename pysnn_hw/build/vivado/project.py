# SPDX-License-Identifier: BSD-2-Clause
"""A folder that Vivado makes a bitstream of."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pysnn_hw.build.families import VENDOR_FAMILIES
from pysnn_hw.build.stage import write
from pysnn_hw.build.toolchain import Progress
from pysnn_hw.build.vivado.core import write_core_sources
from pysnn_hw.build.vivado.estimate import Estimate, estimate
from pysnn_hw.build.vivado.pins import write_pin_sources
from pysnn_hw.build.vivado.sources import Sources
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.plan.board import Board

__all__ = ["VivadoProject", "write_project"]

NOTE = (
    "cells after synthesis by yosys, an estimate: nothing was placed or routed, there is no "
    "bitstream, and whether timing closes only Vivado can tell"
)


@dataclass(frozen=True)
class VivadoProject:
    """Sources for Vivado, and what yosys makes of them.

    Attributes
    ----------
    sources
        What was written.
    estimate
        Resources, see `Estimate`.
    report
        ``utilisation.json``: the estimate, and what it is worth.
    """

    sources: Sources
    estimate: Estimate
    report: Path


def write_project(
    accelerator: Accelerator, board: Board, out_dir: Path, *, progress: Progress | None = None
) -> VivadoProject:
    """Writes all that Vivado needs for an accelerator on a board.

    On a board with pins it is a complete design with the UART link; beside a processor it is a
    core with AXI ports, packaged for Vivado's catalogue, a block design around it, and a driver.

    Parameters
    ----------
    accelerator
        The accelerator.
    board
        Of a family in `VENDOR_FAMILIES`.
    out_dir
        Folder of all products, created if needed.
    progress
        Called with what happens.

    Raises
    ------
    BoardError
        If the board is of another family.
    PlanError
        If yosys needs more than the device has.
    ToolError
        If yosys is missing or fails.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    write_sources = write_core_sources if board.processor else write_pin_sources
    sources = write_sources(accelerator, board, out_dir)
    found = estimate(sources.verilog, board, out_dir, top=sources.top, progress=progress)
    report = out_dir / "utilisation.json"
    resources = {name: asdict(getattr(found, name)) for name in ("lut", "ff", "bram", "dsp")}
    document = {
        "tool": f"yosys {found.version}, {VENDOR_FAMILIES[board.device.family].synth}",
        "what": NOTE,
        **resources,
        "cells": found.cells,
    }
    write(report, json.dumps(document, indent=2) + "\n")
    return VivadoProject(sources, found, report)
