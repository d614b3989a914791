# SPDX-License-Identifier: BSD-2-Clause
"""The whole way from a model to verified bitstreams, in one resumable call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pysnn_hw.api.stages.board import (
    BoardWork,
    build_stage,
    generate_stage,
    plan_stage,
    simulate_stage,
    verify_stage,
)
from pysnn_hw.api.stages.network import Source, network_stages
from pysnn_hw.api.stages.page import read_report
from pysnn_hw.api.stages.standalone import write_makefile
from pysnn_hw.build.families import VENDOR_FAMILIES
from pysnn_hw.config import CompileOptions, ConvertOptions
from pysnn_hw.errors import BoardError
from pysnn_hw.pipeline.files import write_json, write_text
from pysnn_hw.pipeline.manifest import Manifest
from pysnn_hw.pipeline.runner import run_stages
from pysnn_hw.pipeline.stage import Stage
from pysnn_hw.progress import Progress, silent
from pysnn_hw.resources import resource

DEMO = (
    ("mnist_cnn", "ulx3s-85f", ConvertOptions()),
    ("mnist_small", "icebreaker", ConvertOptions(weight_bits=4)),
)
"""Bundled models and the boards that they are for."""

PER_BOARD = (plan_stage, generate_stage, verify_stage, simulate_stage, build_stage)


@dataclass(frozen=True)
class StageSummary:
    """One stage: whether it ran now, and how long it took when it last did."""

    name: str
    ran: bool
    seconds: float
    failed: bool


@dataclass(frozen=True)
class CompiledBoard:
    """What a network became on one board; cycles are means, resources {used, available}."""

    board: str
    bitstream: Path
    flash_image: Path | None
    cycles_per_image: float
    images_per_s: float
    latency_cycles: float
    fmax_mhz: float
    clock_mhz: float
    lut: dict[str, int]
    ff: dict[str, int]
    bram: dict[str, int]
    dsp: dict[str, int]
    spram: dict[str, int]
    simulated_images: int
    spikes_compared: int
    mismatches: int


@dataclass(frozen=True)
class Compiled:
    """One network: accuracies on all test images, and its boards."""

    model: str
    folder: Path
    report: Path
    images: int
    ann_accuracy: float
    snn_accuracy: float
    fixed_accuracy: float
    boards: tuple[CompiledBoard, ...]


@dataclass(frozen=True)
class Compilation:
    """Answer of `compile` and `demo`.

    Attributes
    ----------
    networks
        Those that got through.
    failures
        Why others did not.
    stages, seconds
        Time of each stage, whether it ran now or before, and of all.
    """

    networks: tuple[Compiled, ...]
    failures: tuple[str, ...]
    stages: tuple[StageSummary, ...]
    seconds: float


def compile(
    options: CompileOptions, output: str | Path, *, progress: Progress = silent
) -> Compilation:
    """Take a model all the way to verified bitstreams; finished stages are not redone.

    Parameters
    ----------
    options
        Everything that decides the outcome.
    output
        Folder of all products; it stands alone afterwards.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        If an input is unusable, the network does not fit, hardware and golden differ, or a tool
        fails. What was finished is kept; a second call goes on from there.
    """
    folder = Path(output)
    return _compile([(Source(options), folder)], folder, progress)


def demo(
    output: str | Path, *, simulated_images: int = 1000, progress: Progress = silent
) -> Compilation:
    """`compile` of the bundled networks, each for its board; ``output`` holds a folder of each.

    A network that fails does not stop the other: see ``failures``.
    """
    folder = Path(output)
    runs = []
    for model, board, conversion in DEMO:
        path = str(resource("bundled", f"{model}.onnx"))
        options = CompileOptions(
            path, "mnist", (board,), conversion=conversion, simulated_images=simulated_images
        )
        runs.append((Source(options, label=model), folder / model))
    return _compile(runs, folder, progress)


def _compile(runs: Sequence[tuple[Source, Path]], folder: Path, progress: Progress) -> Compilation:
    works = {path: _works(source, path) for source, path in runs}
    for source, path in runs:
        write_json(path / "options.json", source.options.to_json())
    every = [work for found in works.values() for work in found]
    stages = [stage for source, path in runs for stage in network_stages(source, path)]
    # Verb by verb, so that the boards are placed and routed at the same time.
    stages += [make(work) for make in PER_BOARD for work in every]
    pages = [
        _report_stage(source, path, works[path], folder, [stage.name for stage in stages])
        for source, path in runs
    ]
    times = run_stages([*stages, *pages], folder, progress)
    errors = list(dict.fromkeys(time.error for time in times if time.error is not None))
    ends = dict(zip((path for _, path in runs), times[-len(runs) :], strict=True))
    complete = [(source, path) for source, path in runs if ends[path].error is None]
    if errors and not complete:
        raise errors[0]
    return Compilation(
        networks=tuple(_compiled(source, path, works[path]) for source, path in complete),
        failures=tuple(map(str, errors)),
        stages=tuple(StageSummary(t.name, t.ran, t.seconds, t.error is not None) for t in times),
        seconds=sum(time.seconds for time in times),
    )


def _works(source: Source, folder: Path) -> list[BoardWork]:
    works = [BoardWork(source, folder, board) for board in source.options.boards]
    names = [work.board.name for work in works]
    if not names:
        raise BoardError("board", "none is named", "give at least one --board")
    if len(set(names)) < len(names):
        raise BoardError("board", f"{', '.join(names)}: one is named twice")
    for board in (work.board for work in works):
        if board.device.family in VENDOR_FAMILIES:
            tool = VENDOR_FAMILIES[board.device.family].tool
            raise BoardError(
                f"board {board.name}",
                f"its bitstreams are made by {tool} only",
                f"`pysnn-hw build` writes a project for {tool}, `plan` and `verify` work as usual",
            )
    return works


def _report_stage(
    source: Source, folder: Path, works: Sequence[BoardWork], root: Path, names: Sequence[str]
) -> Stage:
    """Writes the page and the folder's Makefile."""
    page, makefile = folder / "report.html", folder / "Makefile"

    def run(progress: Progress) -> None:
        # Not before the figures are wanted: plotting is slow to load.
        from pysnn_hw.report import render

        manifest = Manifest(root / "manifest.json")
        own = [n for n in names if not source.label or n.startswith(f"{source.label}:")]
        times = [(name, manifest.seconds(name)) for name in own]
        write_text(page, render(read_report(source, folder, works, times)))
        write_makefile([work.board.name for work in works], makefile)

    results = ("plan.json", "verify.json", "simulation.json", "build.json")
    return Stage(
        source.stage_name("report"),
        run,
        (page, makefile),
        (
            *(folder / name for name in ("network.snn", "accuracy.json", "golden.json")),
            *(work.file(name) for work in works for name in results),
            *(resource("rtl_templates", name) for name in ("report.html.j2", "output.mk.j2")),
        ),
        rooms=("report", "api"),
    )


def _compiled(source: Source, folder: Path, works: Sequence[BoardWork]) -> Compiled:
    accuracy, golden = _read(folder / "accuracy.json"), _read(folder / "golden.json")
    return Compiled(
        model=source.options.model,
        folder=folder,
        report=folder / "report.html",
        images=golden["images"],
        ann_accuracy=accuracy["ann_accuracy"],
        snn_accuracy=accuracy["snn_accuracy"],
        fixed_accuracy=golden["accuracy"],
        boards=tuple(_board(work) for work in works),
    )


def _board(work: BoardWork) -> CompiledBoard:
    built, simulated = _read(work.file("build.json")), _read(work.file("simulation.json"))
    verified, cycles = _read(work.file("verify.json")), simulated["cycles_per_image"]["mean"]
    return CompiledBoard(
        board=work.board.name,
        bitstream=work.file(built["bitstream"]),
        flash_image=None if built["flash_image"] is None else work.file(built["flash_image"]),
        cycles_per_image=cycles,
        images_per_s=1e6 * built["clock_mhz"] / cycles,
        latency_cycles=simulated["latency_cycles"]["median"],
        fmax_mhz=built["fmax_mhz"],
        clock_mhz=built["clock_mhz"],
        lut=built["lut"],
        ff=built["ff"],
        bram=built["bram"],
        dsp=built["dsp"],
        spram=built["spram"],
        simulated_images=simulated["images"],
        spikes_compared=verified["spikes_compared"] + simulated["spikes_compared"],
        mismatches=verified["mismatches"] + simulated["mismatches"],
    )


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
