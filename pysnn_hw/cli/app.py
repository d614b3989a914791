# SPDX-License-Identifier: BSD-2-Clause
"""Assembles the typer application; the verbs live in their own modules."""

from __future__ import annotations

from typing import Annotated

import typer

from pysnn_hw import __version__
from pysnn_hw.cli import design, device, exchange, explore, flow, hardware, network

_OVERVIEW = """From a trained network to a verified spiking accelerator and its bitstream.

Start with `pysnn-hw demo`, or with your own model:
`pysnn-hw check MODEL --board ulx3s-85f`, then
`pysnn-hw compile MODEL --data DATA --board ulx3s-85f -o out`."""

app = typer.Typer(
    help=_OVERVIEW,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"pysnn-hw {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of any error (at any place).")
    ] = False,
) -> None:
    """Options that stand before the verb."""


_WHOLE, _STEPS, _BOARD = "The whole way", "Step by step", "Boards and tools"

app.command(rich_help_panel=_WHOLE)(flow.demo)
app.command("compile", rich_help_panel=_WHOLE)(flow.compile_)
app.command(rich_help_panel=_WHOLE)(flow.check)
app.command(rich_help_panel=_WHOLE)(design.explore)
app.command(rich_help_panel=_WHOLE)(explore.auto)
app.command(rich_help_panel=_WHOLE)(explore.compare)
app.command(rich_help_panel=_STEPS)(network.convert)
app.command("import-nir", rich_help_panel=_STEPS)(exchange.import_nir)
app.command("export-nir", rich_help_panel=_STEPS)(exchange.export_nir)
app.command(rich_help_panel=_STEPS)(network.simulate)
app.command(rich_help_panel=_STEPS)(hardware.plan)
app.command(rich_help_panel=_STEPS)(hardware.generate)
app.command(rich_help_panel=_STEPS)(hardware.verify)
app.command(rich_help_panel=_STEPS)(hardware.build)
app.command(rich_help_panel=_BOARD)(network.inspect)
app.command(rich_help_panel=_BOARD)(device.boards)
app.command(rich_help_panel=_BOARD)(device.run)
app.command(rich_help_panel=_BOARD)(device.flash)
