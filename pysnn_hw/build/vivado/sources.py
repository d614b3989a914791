# SPDX-License-Identifier: BSD-2-Clause
"""What Vivado is given."""

from dataclasses import dataclass
from pathlib import Path

from pysnn_hw.plan.board import Board

__all__ = ["Sources", "part_of"]


@dataclass(frozen=True)
class Sources:
    """The files of a project.

    Attributes
    ----------
    top
        Top module of ``verilog``.
    verilog
        The design.
    script
        What Vivado runs.
    files
        All files that were written.
    clock_mhz
        What the accelerator's clock is set to.
    """

    top: str
    verilog: Path
    script: Path
    files: tuple[Path, ...]
    clock_mhz: float


def part_of(board: Board) -> str:
    """The device as Vivado spells it, for the 7 series."""
    device = board.device
    return f"{device.name}{device.package}-{device.speed}"
