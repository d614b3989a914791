# SPDX-License-Identifier: BSD-2-Clause
"""Verbs about the whole way from a model to a board."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from pysnn_hw.cli import options
from pysnn_hw.cli.console import answer, table, working
from pysnn_hw.config import ConvertOptions

if TYPE_CHECKING:
    from pysnn_hw.api.checking import Check

NOT_POSSIBLE = 2


def check(
    model: options.Model,
    board: options.Board,
    data: options.OptionalData = None,
    timesteps: options.Timesteps = 1,
    levels: options.Levels = 4,
    weight_bits: options.WeightBits = 8,
    calibration: options.CalibrationChoice = "mse",
    scale: options.Scale = 255.0,
    mean: options.Mean = "",
    std: options.Std = "",
    input_shape: options.InputShape = "",
    json: options.Json = False,
) -> None:
    """Say whether a model can run on a board, what it needs there and how accurate it will be.

    Names every unsupported layer. Exit status 0 if all is well, 2 if not.

    Example: `pysnn-hw check model.onnx --board icebreaker --data mnist --levels 2`
    """
    from pysnn_hw.api import check as call

    source = options.source(scale, mean, std, input_shape)
    knobs = ConvertOptions(timesteps, levels, weight_bits, calibration)
    with working() as progress:
        result = call(model, board, data=data, source=source, options=knobs, progress=progress)
    answer(result, as_text=_check, json=json)
    if not result.ok:
        raise typer.Exit(NOT_POSSIBLE)


def _check(result: Check) -> Iterator[Table | str]:
    if result.unsupported:
        rows = table("Not supported", "layer", "operation", "why", "what to do", left=4)
        for node in result.unsupported:
            rows.add_row(node.node, node.op, node.problem, node.remedy)
        yield rows
        return
    columns = ("layer", "C x H x W", "SOP/cycle", "LUT", "block RAM", "DSP", "SPRAM", "cycles")
    rows = table("What each layer needs", *columns, left=2)
    for layer in result.layers:
        numbers = (layer.lanes, layer.lut, layer.bram, layer.dsp, layer.spram)
        rows.add_row(
            layer.name,
            " x ".join(map(str, layer.shape)),
            *(f"{n:,}" for n in (*numbers, round(layer.predicted_cycles))),
        )
    yield rows
    if result.accuracy is not None:
        found = result.accuracy
        yield (
            f"accuracy on {found.images:,} test images: original {100 * found.ann_accuracy:.2f} %, "
            f"spiking in integers {100 * found.fixed_accuracy:.2f} %"
        )
    if result.plan is not None:
        yield (
            f"{result.plan.board}: {result.plan.cycles_per_image:,.0f} cycles per image, "
            f"{result.plan.lut:,} LUT, {result.plan.bram} block RAM, {result.plan.dsp} DSP"
        )
        yield from (f"does not fit: {text}" for text in result.plan.shortfalls)
        if result.ok:
            yield "fits"
