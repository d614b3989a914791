# SPDX-License-Identifier: BSD-2-Clause
"""What yosys makes of a design for a device whose bitstreams it cannot make."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pysnn_hw.build.families import VENDOR_FAMILIES
from pysnn_hw.build.reports import Usage, count_cells
from pysnn_hw.build.stage import run_stage
from pysnn_hw.build.toolchain import Progress, find_yosys
from pysnn_hw.errors import PlanError
from pysnn_hw.plan.board import Board

__all__ = ["Estimate", "estimate", "usage_of"]

_INTERESTING = r"^\d+\.\d+\. (Executing \w+ pass.*)\.$"


@dataclass(frozen=True)
class Estimate:
    """Resources after synthesis by yosys: not placed, not routed, and no word about the clock.

    Attributes
    ----------
    lut, ff, bram, dsp
        Used, and what the board has.
    cells
        Number of cells of each type.
    version
        Of yosys.
    log
        What it said.
    """

    lut: Usage
    ff: Usage
    bram: Usage
    dsp: Usage
    cells: Mapping[str, int]
    version: str
    log: Path


def estimate(
    verilog: Path, board: Board, folder: Path, *, top: str, progress: Progress | None = None
) -> Estimate:
    """Synthesises a file of Verilog with yosys and counts the cells.

    Parameters
    ----------
    verilog
        The design, somewhere in ``folder``. An unchanged one is not synthesised again.
    board
        Of one of `VENDOR_FAMILIES`.
    folder
        Where netlist and log are put.
    top
        Its top module.
    progress
        Called with what happens.

    Raises
    ------
    PlanError
        If the design takes more of something than the board has.
    ToolError
        If yosys is missing or fails.
    """
    yosys = find_yosys()
    netlist, draft = (folder / f"{verilog.stem}.{end}" for end in ("json", "part.json"))
    source = verilog.relative_to(folder).as_posix()
    renamed = "" if top == "top" else f"rename {top} top; "
    # Memories of which nobody cares what a colliding read gives say so in the Verilog itself.
    script = (
        f"read_verilog {source}; hierarchy -top {top}; {renamed}"
        f"{VENDOR_FAMILIES[board.device.family].synth}; write_json {draft.name}"
    )
    stage = folder / f"{verilog.stem}.yosys"
    run_stage(
        yosys,
        ["-p", script],
        stem=stage,
        inputs=[verilog],
        products={draft: netlist},
        progress=progress,
        interesting=_INTERESTING,
    )
    counted = count_cells(json.loads(netlist.read_text(encoding="utf-8")))
    # What begins with $ is yosys's own bookkeeping.
    cells = {cell: count for cell, count in counted.items() if not cell.startswith("$")}
    found = usage_of(cells, board)
    for name, usage in found.items():
        if usage.used > usage.available:
            raise PlanError(
                f"board {board.name}",
                f"yosys needs {usage.used} {name.upper()} of {usage.available} for the design",
                "use fewer weight bits or levels, or a larger board",
            )
    return Estimate(
        **found, cells=dict(sorted(cells.items())), version=yosys.version, log=Path(f"{stage}.log")
    )


def usage_of(cells: Mapping[str, int], board: Board) -> dict[str, Usage]:
    """Used and available of each resource, from the cells of a netlist."""
    family, budget = VENDOR_FAMILIES[board.device.family], board.budget
    available = {
        "lut": budget.luts,
        "ff": budget.ffs,
        "bram": budget.bram.count,
        "dsp": budget.dsps,
    }
    return {
        name: Usage(
            sum(each * cells.get(cell, 0) for cell, each in getattr(family, name).items()), most
        )
        for name, most in available.items()
    }
