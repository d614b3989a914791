# SPDX-License-Identifier: BSD-2-Clause
"""Verbs that try many conversions: auto, compare."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pysnn_hw.cli import options, search
from pysnn_hw.cli.console import answer, table, working
from pysnn_hw.config import CompareOptions, Price, SearchOptions

if TYPE_CHECKING:
    from pysnn_hw.api.comparison import Compared
    from pysnn_hw.api.exploration import Exploration, ExploredPoint


def auto(
    model: options.Model,
    data: options.Data,
    output: options.Folder,
    max_cycles: Annotated[
        float | None,
        typer.Option(help="Most predicted cycles per image.", min=1, rich_help_panel=search.BOUNDS),
    ] = None,
    max_sops: Annotated[
        float | None,
        typer.Option(
            help="Most synaptic operations per image.", min=1, rich_help_panel=search.BOUNDS
        ),
    ] = None,
    max_timesteps: search.MaxTimesteps = 8,
    max_levels: search.MaxLevels = 6,
    max_weight_bits: search.MaxWeightBits = 8,
    tolerance: Annotated[
        float,
        typer.Option(
            help="Points of accuracy that may be lost; the cheapest point within them is chosen.",
            rich_help_panel=search.BOUNDS,
        ),
    ] = 0.5,
    cheapest: Annotated[
        Price, typer.Option(help="What the choice is cheapest in.", rich_help_panel=search.BOUNDS)
    ] = "sops",
    board: options.OptionalBoard = None,
    methods: search.Methods = "",
    allow_training: search.AllowTraining = False,
    trials: search.Trials = 40,
    timeout: search.Timeout = None,
    study: search.Study = None,
    workers: search.Workers = 1,
    images: search.Images = 1000,
    final_images: search.FinalImages = None,
    finalists: search.Finalists = 8,
    calibration_images: search.CalibrationImages = 1000,
    training_images: search.TrainingImages = 16000,
    seed: search.Seed = 0,
    scale: options.Scale = 255.0,
    mean: options.Mean = "",
    std: options.Std = "",
    input_shape: options.InputShape = "",
    input_threshold: options.InputThreshold = None,
    json: options.Json = False,
) -> None:
    """Find the conversion that costs least: try methods, T, n, weight bits and calibrations.

    Every candidate is measured in the golden simulator, the best of them on all test images. What
    was measured is kept: run it again and it goes on.

    Example: `pysnn-hw auto model.onnx --data mnist --tolerance 0.3 --trials 30 -o search`
    """
    from pysnn_hw.api import auto as call

    source = options.source(scale, mean, std, input_shape, input_threshold)
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
        rows.add_row(point.name + mark, *_figures(point))
    yield rows
    yield f"* chosen: {result.chosen.name}; cycles: {result.chosen.cycles_from}"
    yield from result.reasons
    yield f"{result.network} written; {len(result.points)} candidates are on {result.page}"


def _figures(point: ExploredPoint) -> tuple[str, ...]:
    return (
        f"{point.images:,}",
        f"{100 * (point.accuracy or 0):.2f}",
        f"{point.loss or 0:.2f}",
        f"{point.sops_per_image or 0:,.0f}",
        f"{point.cycles or 0:,.0f}",
        f"{point.energy_uj or 0:.2f}",
    )


def compare(
    model: options.Model,
    data: options.Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="Page to write, .html.")],
    methods: Annotated[
        str, typer.Option(metavar="A,B,C", help="By default all that need no training.")
    ] = "",
    timesteps: Annotated[
        str, typer.Option(metavar="T,T,T", help="Numbers of timesteps.")
    ] = "1,2,4,8",
    levels: Annotated[str, typer.Option(metavar="N,N,N", help="Bits of a spike.")] = "1,2,3,4",
    weight_bits: Annotated[int, typer.Option(help="Bits of a weight.", min=2, max=8)] = 8,
    detail: Annotated[
        str,
        typer.Option(
            metavar="T,N", help="Where to look at layers; by default where methods differ most."
        ),
    ] = "",
    limit: Annotated[int, typer.Option(help="Test images to measure on.", min=1)] = 1000,
    detail_images: Annotated[
        int, typer.Option(help="Those of them to look at layers on.", min=1)
    ] = 100,
    calibration_images: Annotated[
        int, typer.Option(help="Training images for thresholds.", min=1)
    ] = 1000,
    training_images: Annotated[
        int, typer.Option(help="Training images for methods that train.", min=1)
    ] = 16000,
    scale: options.Scale = 255.0,
    mean: options.Mean = "",
    std: options.Std = "",
    input_shape: options.InputShape = "",
    input_threshold: options.InputThreshold = None,
    json: options.Json = False,
) -> None:
    """Set conversion methods side by side on one page: accuracy, operations, energy, layers.

    Every method is converted at every T and n. What was measured is kept beside the page: run it
    again, or with more methods, and it goes on.

    Example: `pysnn-hw compare model.onnx --data mnist --timesteps 1,4 --limit 500 -o compare.html`
    """
    from pysnn_hw.api import compare as call

    place = options.whole_numbers(detail, "--detail")
    if place and len(place) != 2:
        raise typer.BadParameter(f"--detail takes T,N such as 4,2, not {detail!r}")
    wanted = CompareOptions(
        methods=options.names(methods),
        timesteps=options.whole_numbers(timesteps, "--timesteps"),
        levels=options.whole_numbers(levels, "--levels"),
        weight_bits=weight_bits,
        detail=(place[0], place[1]) if place else None,
        limit=limit,
        detail_images=detail_images,
        calibration_images=calibration_images,
        training_images=training_images,
    )
    source = options.source(scale, mean, std, input_shape, input_threshold)
    with working() as progress:
        result = call(model, data, output, source=source, options=wanted, progress=progress)
    answer(result, as_text=_compared, json=json)


def _compared(result: Compared) -> Iterator[Table | str]:
    columns = ("method", "T", "n", "%", "loss, points", "SOPs", "energy, uJ")
    rows = table("Conversion methods", *columns)
    for p in result.points:
        knobs = (p.candidate.method, str(p.candidate.timesteps), str(p.candidate.levels))
        if p.problem:
            rows.add_row(*knobs, "not possible")
            continue
        rows.add_row(
            *knobs,
            f"{100 * p.accuracy:.2f}",
            f"{100 * (p.original_accuracy - p.accuracy):.2f}",
            f"{p.sops:,.0f}",
            f"{p.energy_pj / 1e6:.3f}",
        )
    yield rows
    for text in dict.fromkeys(
        f"{p.candidate.method}: {p.problem}" for p in result.points if p.problem
    ):
        yield f"not possible: {text}"
    yield f"{result.page} written"
