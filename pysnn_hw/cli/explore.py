# SPDX-License-Identifier: BSD-2-Clause
"""Verbs that try many conversions: auto."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pysnn_hw.cli import options
from pysnn_hw.cli.console import answer, table, working
from pysnn_hw.config import Price, SearchOptions

if TYPE_CHECKING:
    from pysnn_hw.api.exploration import Exploration, ExploredPoint

_BOUNDS, _EFFORT = "Bounds", "Effort"


def auto(
    model: options.Model,
    data: options.Data,
    output: options.Folder,
    max_cycles: Annotated[
        float | None,
        typer.Option(help="Most predicted cycles per image.", min=1, rich_help_panel=_BOUNDS),
    ] = None,
    max_sops: Annotated[
        float | None,
        typer.Option(help="Most synaptic operations per image.", min=1, rich_help_panel=_BOUNDS),
    ] = None,
    max_timesteps: Annotated[
        int, typer.Option(help="Largest T.", min=1, max=4096, rich_help_panel=_BOUNDS)
    ] = 8,
    max_levels: Annotated[
        int, typer.Option(help="Most bits n of a spike.", min=1, max=8, rich_help_panel=_BOUNDS)
    ] = 6,
    max_weight_bits: Annotated[
        int, typer.Option(help="Most bits of a weight.", min=3, max=8, rich_help_panel=_BOUNDS)
    ] = 8,
    tolerance: Annotated[
        float,
        typer.Option(
            help="Points of accuracy that may be lost; the cheapest point within them is chosen.",
            rich_help_panel=_BOUNDS,
        ),
    ] = 0.5,
    cheapest: Annotated[
        Price, typer.Option(help="What the choice is cheapest in.", rich_help_panel=_BOUNDS)
    ] = "sops",
    board: options.OptionalBoard = None,
    methods: Annotated[
        str,
        typer.Option(
            metavar="A,B,C", help="Only these methods; by default all.", rich_help_panel=_EFFORT
        ),
    ] = "",
    allow_training: Annotated[
        bool,
        typer.Option(help="Also methods that train the weights.", rich_help_panel=_EFFORT),
    ] = False,
    trials: Annotated[
        int, typer.Option(help="Candidates to try.", min=1, rich_help_panel=_EFFORT)
    ] = 40,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds that all may take.", min=1, rich_help_panel=_EFFORT),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="File or database URL of the record; by default study.db in the output folder.",
            rich_help_panel=_EFFORT,
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Processes side by side.", min=1, rich_help_panel=_EFFORT)
    ] = 1,
    images: Annotated[
        int,
        typer.Option(
            help="Test images that a candidate sees at most.", min=1, rich_help_panel=_EFFORT
        ),
    ] = 1000,
    final_images: Annotated[
        int | None,
        typer.Option(
            help="Test images of the last measurement; by default all.",
            min=1,
            rich_help_panel=_EFFORT,
        ),
    ] = None,
    finalists: Annotated[
        int,
        typer.Option(help="Points to measure on those.", min=1, rich_help_panel=_EFFORT),
    ] = 8,
    calibration_images: Annotated[
        int,
        typer.Option(help="Training images for thresholds.", min=1, rich_help_panel=_EFFORT),
    ] = 1000,
    training_images: Annotated[
        int,
        typer.Option(
            help="Training images for methods that train.", min=1, rich_help_panel=_EFFORT
        ),
    ] = 16000,
    seed: Annotated[int, typer.Option(help="Of the search.", min=0, rich_help_panel=_EFFORT)] = 0,
    scale: options.Scale = 255.0,
    mean: options.Mean = "",
    std: options.Std = "",
    input_shape: options.InputShape = "",
    json: options.Json = False,
) -> None:
    """Find the conversion that costs least: try methods, T, n, weight bits and calibrations.

    Every candidate is measured in the golden simulator, the best of them on all test images. What
    was measured is kept: run it again and it goes on.

    Example: `pysnn-hw auto model.onnx --data mnist --tolerance 0.3 --trials 30 -o search`
    """
    from pysnn_hw.api import auto as call

    source = options.source(scale, mean, std, input_shape)
    wanted = SearchOptions(
        max_cycles=max_cycles,
        max_sops=max_sops,
        max_timesteps=max_timesteps,
        max_levels=max_levels,
        max_weight_bits=max_weight_bits,
        methods=options.names(methods),
        allow_training=allow_training,
        tolerance=tolerance,
        cheapest=cheapest,
        board=board,
        trials=trials,
        timeout=timeout,
        images=images,
        final_images=final_images,
        finalists=finalists,
        calibration_images=calibration_images,
        training_images=training_images,
        workers=workers,
        seed=seed,
    )
    with working() as progress:
        result = call(
            model, data, output, source=source, options=wanted, study=study, progress=progress
        )
    answer(result, as_text=_exploration, json=json)


def _exploration(result: Exploration) -> Iterator[Table | str]:
    columns = ("candidate", "images", "%", "loss, points", "SOPs", "cycles", "energy, uJ")
    rows = table("Points that no other beats", *columns)
    for point in result.front:
        mark = " *" if point.trial == result.chosen.trial else ""
        rows.add_row(_name(point) + mark, *_figures(point))
    yield rows
    yield f"* chosen: {_name(result.chosen)}"
    yield from result.reasons
    yield f"{result.network} written; {len(result.points)} candidates are on {result.page}"


def _name(point: ExploredPoint) -> str:
    start = "" if point.tau == 0.5 else f" tau={point.tau:g}"
    corrected = "" if point.bias_correction else " uncorrected"
    return (
        f"{point.method} T={point.timesteps} n={point.levels} {point.weight_bits} bit "
        f"{point.thresholds}{start}{corrected}"
    )


def _figures(point: ExploredPoint) -> tuple[str, ...]:
    return (
        f"{point.images:,}",
        f"{100 * (point.accuracy or 0):.2f}",
        f"{point.loss or 0:.2f}",
        f"{point.sops_per_image or 0:,.0f}",
        f"{point.cycles or 0:,.0f}",
        f"{point.energy_uj or 0:.2f}",
    )
