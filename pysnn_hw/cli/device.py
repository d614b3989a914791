# SPDX-License-Identifier: BSD-2-Clause
"""Verbs about boards: boards, flash, run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pysnn_hw.cli import options
from pysnn_hw.cli.console import answer, table, working

if TYPE_CHECKING:
    from pysnn_hw.api.devices import Boards, DeviceRun, Flashed


def boards(json: options.Json = False) -> None:
    """List the boards and what each has to give.

    Example: `pysnn-hw boards`
    """
    from pysnn_hw.api import boards as call

    answer(call(), as_text=_boards, json=json)


def _boards(found: Boards) -> Iterator[Table | str]:
    columns = ("board", "", "chip", "LUT", "FF", "block RAM", "kbit", "SPRAM kbit", "DSP")
    rows = table("", *columns, left=3)
    for b in found.boards:
        numbers = (b.lut, b.ff, b.bram, b.bram_kbit, b.spram_kbit, b.dsp)
        rows.add_row(b.name, b.title, b.device, *(f"{n:,}" for n in numbers))
    yield rows


def flash(
    bitstream: Annotated[
        Path, typer.Argument(metavar="BITSTREAM", help="A .bit or .bin file, as build wrote it.")
    ],
    board: options.Board,
    volatile: Annotated[
        bool, typer.Option("--volatile", help="Load the FPGA only, until the power goes.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Write a bitstream to a board on USB, with openFPGALoader or iceprog.

    Example: `pysnn-hw flash out/ulx3s-85f/top.bit --board ulx3s-85f`
    """
    from pysnn_hw.api import flash as call

    with working() as progress:
        result = call(bitstream, board, volatile=volatile, progress=progress)
    answer(result, as_text=_flashed, json=json)


def _flashed(result: Flashed) -> Iterator[str]:
    yield f"{result.bitstream} is on {result.board} ({result.command})"


def run(
    network: options.Network,
    images: Annotated[
        str, typer.Argument(metavar="IMAGES", help="mnist, an .npz file or an image folder.")
    ],
    port: Annotated[str | None, typer.Option(help="Serial port of the device.")] = None,
    board: Annotated[
        str | None, typer.Option(help="virtual: simulate the device instead of a port.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="Lay the virtual device out as for this board.")
    ] = None,
    limit: options.Limit = 10,
    json: options.Json = False,
) -> None:
    """Send test images to a device, or to the virtual one, and show what it answers.

    Example: `pysnn-hw run network.snn mnist --board virtual --limit 10`
    """
    from pysnn_hw.api import run as call

    with working() as progress:
        result = call(
            *(network, images),
            port=port,
            board=board,
            limit=limit,
            layout=layout,
            progress=progress,
        )
    answer(result, as_text=_run, json=json)


def _run(result: DeviceRun) -> Iterator[Table | str]:
    rows = table("", "image", "label", "class", "score", "cycles", "ms", left=0)
    for k, row in enumerate(result.results):
        numbers = (row.label, row.winner, row.scores[row.winner], row.cycles)
        rows.add_row(str(k), *(f"{n:,}" for n in numbers), f"{row.latency_ms:.1f}")
    yield rows
    yield (
        f"{100 * result.accuracy:.2f} % of {result.images:,} images, median "
        f"{result.median_cycles:,.0f} cycles and {result.median_latency_ms:.1f} ms on the link"
    )
