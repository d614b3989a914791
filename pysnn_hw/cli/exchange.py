# SPDX-License-Identifier: BSD-2-Clause
"""Verbs about spiking networks of other tools: import-nir, export-nir."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from pysnn_hw.cli import options
from pysnn_hw.cli.console import answer, table, working
from pysnn_hw.config import Reset

if TYPE_CHECKING:
    from pysnn_hw.api.exchange import Export, Import

_MEANING = "What the graph does not say"


def _open(text: str, *names: str, **limits: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=_MEANING, **limits)


def import_nir(
    graph: Annotated[Path, typer.Argument(metavar="GRAPH.nir", help="A NIR graph.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Network file to write.")],
    reset: Annotated[
        Reset | None, _open("soft: subtract the threshold. hard: go to v_reset.")
    ] = None,
    strict: Annotated[
        bool | None,
        _open("Neurons fire above the threshold, or already at it.", "--strict/--not-strict"),
    ] = None,
    dt: Annotated[
        float | None, _open("Seconds per timestep; 1 if the neurons count in timesteps.")
    ] = None,
    timesteps: Annotated[
        int | None, _open("Timesteps T; by default as many as the data have.", min=1, max=4096)
    ] = None,
    encoding: Annotated[
        Literal["events", "constant"],
        _open("events: a value for every timestep. constant: one for all."),
    ] = "events",
    minimum: Annotated[int, _open("Smallest input value, or that of the data.", max=0)] = 0,
    maximum: Annotated[
        int | None, _open("Largest input value; by default that of the data, or 1.", min=1)
    ] = None,
    scale: Annotated[float, _open("The graph sees value / SCALE.")] = 1.0,
    approximate_leak: Annotated[
        bool, _open("Take the nearest power of two where no leak is exact.", "--approximate-leak")
    ] = False,
    weight_bits: Annotated[
        int, typer.Option(min=2, max=8, help="Bits of one weight, where it has to be rounded.")
    ] = 8,
    data: Annotated[
        str | None, typer.Option(help="Test images: an .npz whose x_test is (N, T, C, H, W).")
    ] = None,
    limit: options.Limit = None,
    json: options.Json = False,
) -> None:
    """Turn a spiking network from another tool (a NIR graph) into a network file.

    Example: `pysnn-hw import-nir graph.nir --reset soft --strict --dt 1 --data test.npz -o n.snn`
    """
    from pysnn_hw.api import import_nir as call
    from pysnn_hw.api.exchange import NirOptions

    meaning = NirOptions(
        timesteps=timesteps,
        reset=reset,
        strict=strict,
        dt=dt,
        approximate_leak=approximate_leak,
        encoding=encoding,
        minimum=minimum,
        maximum=maximum,
        scale=scale,
    )
    with working() as progress:
        result = call(
            graph,
            output,
            options=meaning,
            weight_bits=weight_bits,
            data=data,
            limit=limit,
            progress=progress,
        )
    answer(result, as_text=_import, json=json)


def _import(result: Import) -> Iterator[Table | str]:
    rows = table("", "", "")
    rows.add_row("timesteps", f"{result.timesteps}")
    rows.add_row("neurons", f"{result.neurons:,}")
    rows.add_row("weights", f"{result.weights:,}")
    rows.add_row("integers", "exact" if result.exact else "rounded")
    if result.accuracy is not None:
        rows.add_row("accuracy", f"{100 * result.accuracy:.2f} % of {result.images:,} images")
    yield rows
    yield from (f"warning: {text}" for text in result.warnings)
    yield f"{result.output} written"


def export_nir(
    network: options.Network,
    output: Annotated[Path, typer.Option("-o", "--output", help="Graph to write.")],
    dt: Annotated[
        float, typer.Option(help="Seconds per timestep; 1: time constants count in timesteps.")
    ] = 1.0,
    pooling: Annotated[
        Literal["sum", "average"], typer.Option(help="Write SumPool2d or AvgPool2d nodes.")
    ] = "sum",
    extensions: Annotated[
        bool,
        typer.Option("--extensions", help="Also keep, in the metadata, what NIR cannot say."),
    ] = False,
    json: options.Json = False,
) -> None:
    """Write a network file as a NIR graph, for other tools and for import-nir.

    Example: `pysnn-hw export-nir network.snn -o graph.nir`
    """
    from pysnn_hw.api import export_nir as call

    result = call(network, output, dt=dt, pooling=pooling, extensions=extensions)
    answer(result, as_text=_export, json=json)


def _export(result: Export) -> Iterator[str]:
    yield from (f"only in the metadata: {note}" for note in result.notes)
    yield f"{result.output} written, {result.nodes} nodes"
