# SPDX-License-Identifier: BSD-2-Clause
"""Verbs about the whole way from a model to a board."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pysnn_hw.cli import options
from pysnn_hw.cli.console import answer, table, working
from pysnn_hw.config import CompileOptions, ConvertOptions

if TYPE_CHECKING:
    from pysnn_hw.api.checking import Check
    from pysnn_hw.api.compilation import Compilation, Compiled, CompiledBoard

NOT_POSSIBLE = 2


@options.with_conversion
def check(
    model: options.Model,
    board: options.Board,
    conversion: ConvertOptions,
    data: options.OptionalData = None,
    scale: options.Scale = 255.0,
    mean: options.Mean = "",
    std: options.Std = "",
    input_shape: options.InputShape = "",
    input_threshold: options.InputThreshold = None,
    json: options.Json = False,
) -> None:
    """Say whether a model can run on a board, what it needs there and how accurate it will be.

    Names every unsupported layer. Exit status 0 if all is well, 2 if not.

    Example: `pysnn-hw check model.onnx --board icebreaker --data mnist --levels 2`
    """
    from pysnn_hw.api import check as call

    source = options.source(scale, mean, std, input_shape, input_threshold)
    with working() as progress:
        result = call(model, board, data=data, source=source, options=conversion, progress=progress)
    answer(result, as_text=_check, json=json)
    if not result.ok:
        raise typer.Exit(NOT_POSSIBLE)


@options.with_conversion
def compile_(
    model: options.Model,
    data: options.Data,
    board: Annotated[
        list[str], typer.Option(help="A board of `pysnn-hw boards`, or a .toml file; repeatable.")
    ],
    output: options.Folder,
    conversion: ConvertOptions,
    scale: options.Scale = 255.0,
    mean: options.Mean = "",
    std: options.Std = "",
    input_shape: options.InputShape = "",
    input_threshold: options.InputThreshold = None,
    simulate: options.SimulatedImages = 1000,
    json: options.Json = False,
) -> None:
    """Take a model all the way: network file, verified Verilog, bitstreams, report.

    Run it again after a change and only what depends on it is redone. The folder stands alone:
    `make` in it repeats the verification without this package.

    Example: `pysnn-hw compile model.onnx --data data.npz --board ulx3s-85f -o out`
    """
    from pysnn_hw.api import compile as call

    source = options.source(scale, mean, std, input_shape, input_threshold)
    wanted = CompileOptions(model, data, tuple(board), source, conversion, simulate)
    with working() as progress:
        result = call(wanted, output, progress=progress)
    answer(result, as_text=_compilation, json=json)


def demo(
    output: options.Folder = Path("demo"),
    simulate: options.SimulatedImages = 1000,
    json: options.Json = False,
) -> None:
    """Compile the bundled MNIST networks for ULX3S-85F and iCEBreaker; needs no input at all.

    Example: `pysnn-hw demo -o demo`
    """
    from pysnn_hw.api import demo as call

    with working() as progress:
        result = call(output, simulated_images=simulate, progress=progress)
    answer(result, as_text=_compilation, json=json)
    if result.failures:
        raise typer.Exit(NOT_POSSIBLE)


def _compilation(result: Compilation) -> Iterator[Table | str]:
    rows = table("Time", "stage", "seconds", "")
    for stage in result.stages:
        note = "failed" if stage.failed else "" if stage.ran else "up to date"
        rows.add_row(stage.name, f"{stage.seconds:.1f}", note)
    rows.add_row("together", f"{result.seconds:.1f}", "")
    yield rows
    for network in result.networks:
        yield _accuracies(network)
        yield _boards(network)
    for network in result.networks:
        yield f"report: {network.report}"
    yield from (f"failed: {text}" for text in result.failures)


def _accuracies(network: Compiled) -> Table:
    title = f"{Path(network.model).stem}: accuracy on {network.images:,} test images"
    rows = table(title, "network", "%", "change, points")
    for name, value in (
        ("original", network.ann_accuracy),
        ("spiking, floating point", network.snn_accuracy),
        ("spiking, integers = hardware", network.fixed_accuracy),
    ):
        rows.add_row(name, f"{100 * value:.2f}", f"{100 * (value - network.ann_accuracy):+.2f}")
    return rows


def _boards(network: Compiled) -> Table:
    rows = table("", "", *(board.board for board in network.boards))

    def row(name: str, text: Callable[[CompiledBoard], str]) -> None:
        rows.add_row(name, *(text(board) for board in network.boards))

    def use(name: str, of: Callable[[CompiledBoard], Mapping[str, int]]) -> None:
        row(name, lambda b: f"{of(b)['used']:,} of {of(b)['available']:,}")

    row("cycles per image", lambda b: f"{b.cycles_per_image:,.0f}")
    row("clock, MHz", lambda b: f"{b.clock_mhz:.1f}")
    row("timing closes at, MHz", lambda b: f"{b.fmax_mhz:.1f}")
    row("images per second", lambda b: f"{b.images_per_s:,.0f}")
    use("LUT", lambda b: b.lut)
    use("block RAM", lambda b: b.bram)
    use("DSP", lambda b: b.dsp)
    row("images simulated cycle by cycle", lambda b: f"{b.simulated_images:,}")
    row("spikes compared with golden", lambda b: f"{b.spikes_compared:,}")
    row("mismatches", lambda b: str(b.mismatches))
    row("to flash", lambda b: str(b.flash_image or b.bitstream))
    return rows


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
