# SPDX-License-Identifier: BSD-2-Clause
"""A design on the pins of a board: Verilog, constraints and a script for Vivado."""

from pathlib import Path

from pysnn_hw.build.platforms import platform_of
from pysnn_hw.build.stage import write
from pysnn_hw.build.top import BoardTop, linked
from pysnn_hw.build.vivado.sources import Sources, part_of
from pysnn_hw.build.vivado.templates import fill
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.clock import best_pll
from pysnn_hw.plan.board import Board

__all__ = ["write_pin_sources"]

TOP = "top"


def write_pin_sources(accelerator: Accelerator, board: Board, folder: Path) -> Sources:
    """Writes an accelerator behind the link of its board.

    The clock is set to the board's ``target_hz`` here: whether timing closes at it is known only
    to Vivado, and the script ends with an error if it does not.

    Raises
    ------
    BoardError
        If the board has no pins.
    """
    platform = platform_of(board)
    pll = best_pll(board.clock.pll, board.clock.hz, board.clock.target_hz)
    top = BoardTop(linked(accelerator, board), board, pll)
    # Without source locations, so that the folder of a checkout is nowhere in the products.
    plan = platform.build(top, name=TOP, do_build=False, emit_src=False)
    verilog, constraints, script = (folder / f"{TOP}.{end}" for end in ("v", "xdc", "tcl"))
    write(verilog, plan.files[f"{TOP}.v"])
    pins = "".join(f"{line.strip()}\n" for line in _text(plan.files[f"{TOP}.xdc"]).splitlines())
    board_ns, sync_ns = 1e9 / board.clock.hz, 1e9 / pll.output_hz
    crossings = fill(
        "vivado_crossings.xdc.j2",
        oscillator=f"{board.clock.resource}_0__io",
        period_ns=f"{min(board_ns, float(sync_ns)):.3f}",
    )
    write(constraints, pins + crossings)
    values = {"top": TOP, "part": part_of(board), "clock_mhz": f"{pll.output_mhz:g}"}
    write(script, fill("vivado_pins.tcl.j2", board=board.title, name=board.name, **values))
    return Sources(TOP, verilog, script, (verilog, constraints, script), pll.output_mhz)


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode()
