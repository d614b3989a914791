# SPDX-License-Identifier: BSD-2-Clause
"""Boards: what there is, how a bitstream gets there, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pysnn_hw import host
from pysnn_hw.api.planning import sample_activity
from pysnn_hw.data import Dataset, load_dataset
from pysnn_hw.errors import BoardError
from pysnn_hw.host import Inference, open_link
from pysnn_hw.ir.file import load
from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.plan import Schedule, plan
from pysnn_hw.plan.board import Board, list_boards, load_board
from pysnn_hw.progress import Progress, silent

VIRTUAL = "virtual"
"""Name of the board that exists as a simulation only."""


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


@dataclass(frozen=True)
class Flashed:
    """Answer of `flash`: what was written where, and the command that did it."""

    bitstream: Path
    board: str
    command: str


@dataclass(frozen=True)
class ImageResult:
    """What the device said of one image, and how long that took it (cycles) and us (ms)."""

    label: int
    winner: int
    scores: tuple[int, ...]
    cycles: int
    latency_ms: float


@dataclass(frozen=True)
class DeviceRun:
    """Answer of `run`."""

    images: int
    accuracy: float
    median_cycles: float
    median_latency_ms: float
    results: tuple[ImageResult, ...]


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


def flash(
    bitstream: str | Path, board: str, *, volatile: bool = False, progress: Progress = silent
) -> Flashed:
    """Write a bitstream to a board with openFPGALoader or iceprog.

    Parameters
    ----------
    bitstream
        As `build` wrote it.
    board
        A name of `boards`, or a ``.toml`` file.
    volatile
        Load the FPGA only; it forgets when the power goes.
    progress
        Told how far the work is.

    Raises
    ------
    ToolError
        If there is no programmer (with the way to get one), or it fails.
    """
    target = load_board(board)
    progress(f"flash {target.name}", 0, 1)
    command = host.flash(Path(bitstream), target, volatile=volatile)
    progress(f"flash {target.name}", 1, 1)
    return Flashed(Path(bitstream), target.name, command)


def run(
    network: str | Path,
    images: str | Path,
    *,
    port: str | None = None,
    board: str | None = None,
    limit: int | None = 10,
    layout: str | None = None,
    progress: Progress = silent,
) -> DeviceRun:
    """Classify test images on a device: one behind a serial port, or the virtual board.

    Parameters
    ----------
    network
        The ``.snn`` file that the device was built from.
    images
        As `pysnn_hw.data.load_dataset` takes it.
    port
        The serial port of a device.
    board
        ``virtual``: the Verilated design behind a pseudo-terminal, in place of a port.
    limit
        Only the first so many images.
    layout
        Board whose plan the virtual board follows; by default one lane per core.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        If file, images or device are unusable, or the device runs another network.
    """
    if board not in (None, VIRTUAL):
        raise BoardError(f"board {board!r}", "is reached through its serial port", "give --port")
    net = load(Path(network))
    dataset = load_dataset(images)
    schedule = None if layout is None else _layout(net, dataset, layout)
    sent, labels = dataset.x_test[:limit], dataset.y_test[:limit]
    progress("open the link", 0, 1)
    results: list[Inference] = []
    with open_link(net, port=port, virtual=board == VIRTUAL, schedule=schedule) as link:
        progress("open the link", 1, 1)
        for image in sent:
            results.append(link.infer(image))
            progress("images", len(results), len(sent))
    return _device_run(net, results, labels.tolist())


def _layout(net: FixedNetwork, dataset: Dataset, board: str) -> Schedule:
    return plan(net, load_board(board), sample_activity(net, dataset)).schedule


def _device_run(
    net: FixedNetwork, results: Sequence[Inference], labels: Sequence[int]
) -> DeviceRun:
    def winner(result: Inference) -> int:
        """The device's winner, but -1 where spikes are counted and none came."""
        nothing = net.readout.mode == "count" and int(result.scores.max()) <= 0
        return -1 if nothing else result.klass

    rows = tuple(
        ImageResult(label, winner(r), tuple(r.scores.tolist()), r.cycles, 1e3 * r.latency_s)
        for r, label in zip(results, labels, strict=True)
    )
    return DeviceRun(
        images=len(rows),
        accuracy=float(np.mean([row.winner == row.label for row in rows])),
        median_cycles=float(np.median([row.cycles for row in rows])),
        median_latency_ms=float(np.median([row.latency_ms for row in rows])),
        results=rows,
    )
