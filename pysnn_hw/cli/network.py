# SPDX-License-Identifier: BSD-2-Clause
"""Verbs about the network: check, convert, simulate, inspect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pysnn_hw.cli import options
from pysnn_hw.cli.console import answer, table, working
from pysnn_hw.config import ConvertOptions

if TYPE_CHECKING:
    from pysnn_hw.api.conversion import Conversion
    from pysnn_hw.api.inspection import Inspection
    from pysnn_hw.api.simulation import Simulation


DIFFERS = 2
"""Exit status when hardware and golden disagree."""


@options.with_conversion
def convert(
    model: options.Model,
    data: options.Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="Network file to write.")],
    conversion: ConvertOptions,
    scale: options.Scale = 255.0,
    mean: options.Mean = "",
    std: options.Std = "",
    input_shape: options.InputShape = "",
    input_threshold: options.InputThreshold = None,
    limit: options.Limit = None,
    json: options.Json = False,
) -> None:
    """Turn a trained model into a network file and tell what accuracy that costs.

    Example: `pysnn-hw convert model.onnx --data mnist --timesteps 1 --levels 4 -o network.snn`
    """
    from pysnn_hw.api import convert as call

    source = options.source(scale, mean, std, input_shape, input_threshold)
    with working() as progress:
        result = call(
            model, data, output, source=source, options=conversion, limit=limit, progress=progress
        )
    answer(result, as_text=_conversion, json=json)


def _conversion(result: Conversion) -> Iterator[Table | str]:
    rows = table(f"Accuracy on {result.images:,} test images", "network", "%", "change, points")
    for name, value in (
        ("original", result.ann_accuracy),
        ("spiking, floating point", result.snn_accuracy),
        ("spiking, integers", result.fixed_accuracy),
    ):
        rows.add_row(name, f"{100 * value:.2f}", f"{100 * (value - result.ann_accuracy):+.2f}")
    yield rows
    columns = ("population", "correlation, float", "integers", "rms error / rms", "active %")
    rows = table("Spike rate against the original activation", *columns)
    for p in result.populations:
        error = p.fixed_rmse / p.activation_rms if p.activation_rms else 0.0
        figures = (p.snn_correlation, p.fixed_correlation, error)
        rows.add_row(p.name, *(f"{value:.4f}" for value in figures), f"{100 * p.active:.1f}")
    yield rows
    yield from (f"warning: {text}" for text in result.warnings)
    yield (
        f"{result.output} written; the import differs from the model by at most "
        f"{result.max_abs_difference:.2g}"
    )


def simulate(
    network: options.Network,
    data: options.Data,
    backend: options.BackendChoice = "golden",
    limit: options.Limit = None,
    board: options.OptionalBoard = None,
    schedule: options.ScheduleFile = None,
    json: options.Json = False,
) -> None:
    """Run test images through a network file: in the golden simulator, or in the hardware.

    With `--backend verilator` the accelerator planned for the board (or by `plan -o SCHEDULE.json`)
    is simulated cycle by cycle
    and every spike compared with golden; exit status 2 if one differs.

    Example: `pysnn-hw simulate network.snn --data mnist --backend verilator --limit 100`
    """
    from pysnn_hw.api import simulate as call

    with working() as progress:
        result = call(
            *(network, data),
            backend=backend,
            limit=limit,
            board=board,
            schedule=schedule,
            progress=progress,
        )
    answer(result, as_text=_simulation, json=json)
    if result.mismatches:
        raise typer.Exit(DIFFERS)


def _simulation(result: Simulation) -> Iterator[Table | str]:
    rows = table("", "", "")
    rows.add_row("accuracy", f"{100 * result.accuracy:.2f} % of {result.images:,} images")
    rows.add_row("speed of the simulator", f"{result.images_per_s:,.0f} images/s")
    rows.add_row("spikes per image", f"{result.spikes_per_image:,.0f}")
    rows.add_row("synaptic operations per image", f"{result.sops_per_image:,.0f}")
    rows.add_row("multiply-accumulates if run densely", f"{result.dense_macs:,}")
    if result.cycles_per_image is not None and result.latency_cycles is not None:
        for name, cycles in (
            ("cycles per image", result.cycles_per_image),
            ("cycles from first pixel to result", result.latency_cycles),
        ):
            rows.add_row(
                name,
                f"mean {cycles.mean:,.0f}, median {cycles.median:,.0f}, largest {cycles.max:,}",
            )
    for name, busy in (result.utilisation or {}).items():
        rows.add_row(f"steps per cycle with work, {name}", f"{busy:.3f}")
    if result.mismatches is not None:
        rows.add_row("spikes compared with golden", f"{result.spikes_compared:,}")
        rows.add_row("mismatches", f"{result.mismatches:,}")
    yield rows
    if result.first_mismatch:
        yield f"first mismatch: {result.first_mismatch}"


def inspect(network: options.Network, json: options.Json = False) -> None:
    """Show what a network file holds: populations, projections, widths, work per image.

    Example: `pysnn-hw inspect out/network.snn`
    """
    from pysnn_hw.api import inspect as call

    answer(call(network), as_text=_inspection, json=json)


def _inspection(found: Inspection) -> Iterator[Table | str]:
    shape = " x ".join(map(str, found.input_shape))
    low, high = found.input_range
    sent = "" if found.input_threshold is None else f", one spike from {found.input_threshold} on"
    yield (
        f"{found.file}: T = {found.timesteps}, input {shape} (C x H x W) of {low}..{high}{sent}, "
        f"{found.neurons:,} neurons, {found.weights:,} weights"
    )
    rows = table("Populations", "name", "kind", "C x H x W", "spikes", "threshold", "bits", left=3)
    for p in found.populations:
        theta = "" if p.threshold is None else f"{p.threshold[0]}..{p.threshold[1]}"
        spikes = f"0..{p.spike_max}" if p.spike_max else "none"
        shape = " x ".join(map(str, p.shape))
        rows.add_row(p.name, p.kind, shape, spikes, theta, str(p.membrane_bits))
    yield rows
    columns = ("name", "from", "to", "kind", "pool", "weights", "bits", "dense MACs")
    rows = table("Projections", *columns, left=5)
    for q in found.projections:
        counts = (f"{q.weights:,}", str(q.weight_bits), f"{q.dense_macs:,}")
        rows.add_row(q.name, q.source, q.target, q.kind, q.pool, *counts)
    yield rows
    yield f"{found.dense_macs:,} multiply-accumulates per image if run densely"
