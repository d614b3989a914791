# SPDX-License-Identifier: BSD-2-Clause
"""Boards: what there is."""

from __future__ import annotations

from dataclasses import dataclass

from pysnn_hw.plan.board import Board, list_boards, load_board


@dataclass(frozen=True)
class BoardSummary:
    """One board and its budget; memories in kbit, the clock of its oscillator in MHz."""

    name: str
    title: str
    family: str
    device: str
    lut: int
    ff: int
    bram: int
    bram_kbit: int
    spram_kbit: int
    dsp: int
    oscillator_mhz: float


@dataclass(frozen=True)
class Boards:
    """Answer of `boards`."""

    boards: tuple[BoardSummary, ...]


def boards() -> Boards:
    """The boards that come with the package."""
    return Boards(tuple(_summary(load_board(name)) for name in list_boards()))


def _summary(board: Board) -> BoardSummary:
    budget = board.budget
    return BoardSummary(
        name=board.name,
        title=board.title,
        family=board.device.family,
        device=board.device.name,
        lut=budget.luts,
        ff=budget.ffs,
        bram=budget.bram.count,
        bram_kbit=budget.bram.count * budget.bram.bits // 1024,
        spram_kbit=0 if budget.spram is None else budget.spram.count * budget.spram.bits // 1024,
        dsp=budget.dsps,
        oscillator_mhz=board.clock.hz / 1e6,
    )
