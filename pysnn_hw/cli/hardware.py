# SPDX-License-Identifier: BSD-2-Clause
"""Verbs from a network file to hardware."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pysnn_hw.cli import options
from pysnn_hw.cli.console import answer, table, working

if TYPE_CHECKING:
    from pysnn_hw.api.building import Build, Project
    from pysnn_hw.api.generation import Generation
    from pysnn_hw.api.planning import Planning
    from pysnn_hw.api.verification import Verification

FAILED = 2
"""Exit status when hardware and golden disagree."""


def plan(
    network: options.Network,
    board: options.Board,
    data: options.OptionalData = None,
    target_cycles: Annotated[
        float | None, typer.Option(min=1, help="Be no faster than this, to spend less.")
    ] = None,
    objective: options.ObjectiveChoice = "balanced",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write the schedule, for --schedule."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Lay a network out on a board: lanes per core, predicted cycles and resources.

    Example: `pysnn-hw plan network.snn --board ulx3s-85f --objective throughput`
    """
    from pysnn_hw.api import plan as call

    with working() as progress:
        result = call(
            network,
            board,
            data=data,
            target_cycles=target_cycles,
            objective=objective,
            output=output,
            progress=progress,
        )
    answer(result, as_text=planning, json=json)


def planning(result: Planning) -> Iterator[Table | str]:
    """A plan as a table and a verdict."""
    columns = ("core", "lane kind", "lanes", "taps", "accumulate", "fire", "cycles")
    rows = table(f"Plan for {result.board}", *columns, left=2)
    for core in result.cores:
        cycles = (core.accumulate_cycles, core.fire_cycles, core.predicted_cycles)
        rows.add_row(
            ", ".join(core.layers),
            *(core.lane_kind, str(core.lanes), str(core.taps)),
            *(f"{value:,.0f}" for value in cycles),
        )
    yield rows
    yield (
        f"predicted: {result.cycles_per_image:,.0f} cycles per image (on {result.sample}), "
        f"{result.lut:,} LUT, {result.bram} block RAM, {result.dsp} DSP, {result.spram} SPRAM"
    )
    if result.clock_mhz is not None and result.clock_band_mhz is not None:
        low, high = result.clock_band_mhz
        yield (
            f"predicted clock: {result.clock_mhz:.0f} MHz ({low:.0f} to {high:.0f}), "
            f"{result.images_per_s:,.0f} images/s"
        )
    yield from (f"does not fit: {text}" for text in result.shortfalls)
    yield from result.advice


def generate(
    network: options.Network,
    board: options.Board,
    output: options.Folder,
    data: options.OptionalData = None,
    schedule: options.ScheduleFile = None,
    ports: options.PortsChoice = "stream",
    json: options.Json = False,
) -> None:
    """Write the accelerator as Verilog, with the schedule that it follows.

    Example: `pysnn-hw generate network.snn --board ulx3s-85f --ports axi -o rtl`
    """
    from pysnn_hw.api import generate as call

    with working() as progress:
        result = call(
            *(network, output),
            board=board,
            data=data,
            schedule=schedule,
            ports=ports,
            progress=progress,
        )
    answer(result, as_text=_generation, json=json)


def _generation(result: Generation) -> Iterator[str]:
    yield f"{result.verilog}: module {result.top}, {result.lines:,} lines; {result.schedule}"


def verify(
    network: options.Network,
    board: options.OptionalBoard = None,
    data: options.OptionalData = None,
    schedule: options.ScheduleFile = None,
    images: Annotated[int, typer.Option(min=1, help="Images through the C++ harness.")] = 100,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to keep (default NET.verify).")
    ] = None,
    json: options.Json = False,
) -> None:
    """Hold the generated hardware against the golden simulator, spike by spike.

    Lint, cocotb tests and a C++ harness, with and without random back-pressure. On a mismatch it
    tells the first one, keeps a waveform of that moment and exits with status 2.

    Example: `pysnn-hw verify network.snn --board icebreaker`
    """
    from pysnn_hw.api import verify as call

    with working() as progress:
        result = call(
            network,
            board=board,
            data=data,
            schedule=schedule,
            images=images,
            output=output,
            progress=progress,
        )
    answer(result, as_text=verification, json=json)
    if result.failures:
        raise typer.Exit(FAILED)


def verification(result: Verification) -> Iterator[Table | str]:
    """The checks and what they found."""
    rows = table(f"Verification for {result.board}", "check", "found", "seconds", left=2)
    for check in result.checks:
        rows.add_row(check.name, check.complaint or "nothing wrong", f"{check.seconds:.1f}")
    yield rows
    yield (
        f"{result.tests} tests, {result.failures} failures; {result.spikes_compared:,} spikes and "
        f"{result.membranes_compared:,} membranes compared, {result.mismatches} mismatches"
    )
    if result.first_mismatch:
        yield f"first mismatch: {result.first_mismatch}"
    if result.wave is not None:
        yield f"waveform: {result.wave}"


def build(
    network: options.Network,
    board: options.Board,
    output: options.Folder,
    data: options.OptionalData = None,
    schedule: options.ScheduleFile = None,
    json: options.Json = False,
) -> None:
    """Synthesise, place and route the accelerator with its host link, and write the bitstream.

    For Xilinx boards, where only Vivado makes bitstreams, write a project for Vivado.

    Example: `pysnn-hw build network.snn --board ulx3s-85f -o out`
    """
    from pysnn_hw.api import build as call

    with working() as progress:
        result = call(network, output, board=board, data=data, schedule=schedule, progress=progress)
    answer(result, as_text=_build, json=json)


def _build(result: Build | Project) -> Iterator[Table | str]:
    from pysnn_hw.api.building import Project

    if isinstance(result, Project):
        yield from _project(result)
        return
    rows = table(f"Build for {result.board}", "", "used", "available")
    uses = (("LUT", result.lut), ("flip-flop", result.ff), ("block RAM", result.bram))
    for name, usage in (*uses, ("DSP", result.dsp), ("SPRAM", result.spram)):
        if usage.available:
            rows.add_row(name, f"{usage.used:,}", f"{usage.available:,}")
    yield rows
    yield (
        f"timing closes at {result.fmax_mhz:.1f} MHz, clock {result.clock_mhz:.1f} MHz: "
        f"{result.images_per_s:,.0f} images/s at {result.cycles_per_image:,.0f} cycles (predicted)"
    )
    yield f"bitstream: {result.bitstream}"
    if result.flash_image is not None:
        yield f"to flash, with the contents of memories: {result.flash_image}"


def _project(result: Project) -> Iterator[Table | str]:
    title = f"Cells for {result.board} after synthesis by yosys, not placed"
    rows = table(title, "", "used", "available")
    uses = (("LUT", result.lut), ("flip-flop", result.ff), ("block RAM", result.bram))
    for name, usage in (*uses, ("DSP", result.dsp)):
        rows.add_row(name, f"{usage.used:,}", f"{usage.available:,}")
    yield rows
    yield (
        f"if timing closes at {result.clock_mhz:.1f} MHz: {result.images_per_s:,.0f} images/s at "
        f"{result.cycles_per_image:,.0f} cycles (predicted)"
    )
    yield f"there is no bitstream yet; to make it: vivado -mode batch -source {result.script}"
