# SPDX-License-Identifier: BSD-2-Clause
"""The verb that searches for a design on a board and builds it: explore."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pysnn_hw.cli import options, search
from pysnn_hw.cli.console import answer, table, working
from pysnn_hw.config import ExploreOptions, Goal, SearchOptions

if TYPE_CHECKING:
    from pysnn_hw.api.design_search import BuiltDesign, DesignExploration

_BUILD = "Building"
_PERCENT = 100
_MOST_ROWS = 20
"""Rows of the front that are printed; the page has all."""


def explore(
    model: options.Model,
    data: options.Data,
    output: options.Folder,
    board: Annotated[
        list[str],
        typer.Option(help="A board of `pysnn-hw boards`, or a .toml file; several: any of them."),
    ],
    min_rate: Annotated[
        float | None,
        typer.Option(help="Least images per second.", min=0, rich_help_panel=search.BOUNDS),
    ] = None,
    max_latency: Annotated[
        float | None,
        typer.Option(
            help="Most microseconds from an image's first pixel to its last score.",
            min=0,
            rich_help_panel=search.BOUNDS,
        ),
    ] = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option(
            help="Least percentage of images classified correctly.",
            min=0,
            max=100,
            rich_help_panel=search.BOUNDS,
        ),
    ] = None,
    objective: Annotated[
        Goal,
        typer.Option(
            help="What the design is best in: accuracy, images per second, latency, or size.",
            rich_help_panel=search.BOUNDS,
        ),
    ] = "accuracy",
    build: Annotated[
        bool,
        typer.Option(
            "--build",
            help="Build it, and go on with the next if what was built misses a bound.",
            rich_help_panel=_BUILD,
        ),
    ] = False,
    max_builds: Annotated[
        int, typer.Option(help="Designs to build at most.", min=1, rich_help_panel=_BUILD)
    ] = 6,
    simulate: Annotated[
        int,
        typer.Option(
            help="Test images to measure the cycles of a built design on.",
            min=1,
            rich_help_panel=_BUILD,
        ),
    ] = 200,
    max_timesteps: search.MaxTimesteps = 8,
    max_levels: search.MaxLevels = 6,
    max_weight_bits: search.MaxWeightBits = 8,
    methods: search.Methods = "",
    allow_training: search.AllowTraining = False,
    trials: search.Trials = 40,
    timeout: search.Timeout = None,
    study: search.Study = None,
    workers: search.Workers = 1,
    images: search.Images = 1000,
    final_images: search.FinalImages = None,
    finalists: search.Finalists = 8,
    validation_share: Annotated[
        float,
        typer.Option(
            help="Share of the test images that the choice rests on.",
            min=0,
            max=1,
            rich_help_panel=search.EFFORT,
        ),
    ] = 0.5,
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
    """Find the best design for a board within bounds, and build it.

    Every candidate conversion is measured in the golden simulator and planned for the board. With
    --build the best is placed and routed and simulated cycle by cycle; if it misses a bound, the
    next best is taken. What was done is kept: run it again and it goes on.

    Example: `pysnn-hw explore model.onnx --data mnist --board icebreaker --min-rate 500 --build
    -o design`
    """
    from pysnn_hw.api import explore as call

    wanted = ExploreOptions(
        boards=tuple(board),
        objective=objective,
        min_images_per_s=min_rate,
        max_latency_us=max_latency,
        min_accuracy=None if min_accuracy is None else min_accuracy / _PERCENT,
        build=build,
        max_builds=max_builds,
        simulated_images=simulate,
        validation_share=validation_share,
        search=SearchOptions(
            max_timesteps=max_timesteps,
            max_levels=max_levels,
            max_weight_bits=max_weight_bits,
            methods=options.names(methods),
            allow_training=allow_training,
            trials=trials,
            timeout=timeout,
            images=images,
            final_images=final_images,
            finalists=finalists,
            calibration_images=calibration_images,
            training_images=training_images,
            workers=workers,
            seed=seed,
        ),
    )
    source = options.source(scale, mean, std, input_shape, input_threshold)
    with working() as progress:
        result = call(model, data, output, wanted, source=source, study=study, progress=progress)
    answer(result, as_text=_designs, json=json)


def _designs(result: DesignExploration) -> Iterator[Table | str]:
    columns = ("candidate", "board", "plan", "%", "images/s", "latency, us", "LUT", "BRAM", "DSP")
    rows = table("Designs that no other beats, as predicted", *columns, left=3)
    for d in result.front[:_MOST_ROWS]:
        mark = " *" if d == result.chosen else "" if d.keeps_bounds else " (misses a bound)"
        rows.add_row(
            d.name + mark,
            *(d.board, d.plan_objective),
            f"{_PERCENT * d.accuracy:.2f}",
            *(f"{value:,.0f}" for value in (d.images_per_s, d.latency_us, d.lut)),
            *(str(d.bram), str(d.dsp)),
        )
    yield rows
    if result.builds:
        yield _builds(result.builds)
    if result.chosen is not None:
        yield f"* chosen: {result.chosen.name} on {result.chosen.board}"
    yield from result.reasons
    if result.built is not None:
        yield f"bitstream: {result.built.flash_image or result.built.bitstream}"
    yield f"{result.network} and {result.schedule} written"
    yield f"all {len(result.designs)} designs are on {result.page}"


def _builds(builds: tuple[BuiltDesign, ...]) -> Table:
    figures = ("%", "MHz", "cycles", "images/s", "expected", "LUT", "BRAM")
    rows = table("What was built", "candidate", "board", "plan", *figures, left=3)
    for b in builds:
        where = (b.design.name, b.design.board, b.design.plan_objective)
        accuracy = f"{_PERCENT * b.design.accuracy:.2f}"
        if b.problem or b.lut is None or b.bram is None:
            rows.add_row(*where, accuracy, "does not build")
            continue
        rows.add_row(
            *(*where, accuracy, f"{b.clock_mhz or 0:.1f}"),
            *(f"{v or 0:,.0f}" for v in (b.cycles_per_image, b.images_per_s)),
            f"{b.design.images_per_s:,.0f}",
            *(f"{b.lut['used']:,}", str(b.bram["used"])),
        )
    return rows
