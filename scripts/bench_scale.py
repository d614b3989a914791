# SPDX-License-Identifier: BSD-2-Clause
"""How long large networks take: ResNet-20 to Verilog and lint, ResNet-56 and VGG-16 to a plan.

    python scripts/bench_scale.py --shared ../shared --folder scale --json scale.json

``--shared`` holds ``models`` and ``data`` (see its README files), from where ResNet-20 comes;
without it that part is left out. The two others have random weights (`large_networks`). Networks
are converted once and kept in the folder; that is not timed. Prints seconds of wall clock and of
processor for each part, and what the planner says; exits with status 1 if ResNet-20 (planned,
generated, linted) or one of the other plans takes longer than a minute of wall clock.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from bench_methods import MODELS
from cifar10 import SHAPE, load_cifar10
from rich.console import Console

from pysnn_hw.api.generation import TOP, verilog_text
from pysnn_hw.api.planning import sample_activity
from pysnn_hw.api.sample import images_for
from pysnn_hw.cli.console import working
from pysnn_hw.convert import Preprocessing, convert, quantize
from pysnn_hw.data import Dataset
from pysnn_hw.frontend import import_model
from pysnn_hw.ir.file import load, save
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.pipeline.files import write_text
from pysnn_hw.plan import Plan, load_board, plan
from pysnn_hw.verify.lint import lint
from pysnn_hw.verify.verilator import find_verilator

LIMIT_S = 60
CALIBRATION_IMAGES = 64
LARGE = Path(__file__).with_name("large_networks.py")

Seconds = dict[str, dict[str, float]]


def main(
    folder: Annotated[Path, typer.Option(help="Where networks and Verilog go.")],
    shared: Annotated[Path | None, typer.Option(help="Folder with models and data.")] = None,
    board: Annotated[str, typer.Option(help="A board.")] = "ulx3s-85f",
    weight_bits: Annotated[int, typer.Option(min=2, max=8)] = 6,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write figures.")] = None,
) -> None:
    """Print figures and write them as JSON."""
    console, rows = Console(width=120), []
    folder.mkdir(parents=True, exist_ok=True)
    if shared is not None:
        data = load_cifar10(shared / "data" / "cifar10")
        model = MODELS["resnet20"]
        net = _network(
            folder / f"resnet20_{weight_bits}.snn",
            str(shared / model.path),
            data.x_train[:CALIBRATION_IMAGES],
            weight_bits,
            model.preprocessing,
        )
        sample = Dataset("CIFAR-10", data.x_train, data.y_train)
        rows.append(_row("resnet20", net, board, sample, folder, console))
    noise = np.random.default_rng(0).integers(0, 256, (CALIBRATION_IMAGES, *SHAPE), np.uint8)
    for name in ("resnet56", "vgg16"):
        net = _network(
            folder / f"{name}_{weight_bits}.snn",
            f"{LARGE}:{name}",
            noise,
            weight_bits,
            Preprocessing(255.0),
        )
        rows.append(_row(name, net, board, images_for(net, None), None, console))
    if output is not None:
        output.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(0 if all(row["met"] for row in rows) else 1)


def _network(
    file: Path, source: str, images: Array, weight_bits: int, preprocessing: Preprocessing
) -> FixedNetwork:
    if not file.is_file():
        graph = import_model(source, SHAPE).graph
        with working() as progress:
            net = convert(
                graph,
                images,
                timesteps=1,
                levels=4,
                preprocessing=preprocessing,
                progress=progress,
            )
        save(quantize(net, weight_bits, images), file)
    return load(file)


def _row(
    name: str,
    net: FixedNetwork,
    board: str,
    data: Dataset,
    folder: Path | None,
    console: Console,
) -> dict[str, Any]:
    """Plan a network; with a folder, also generate and lint it there."""
    taken: Seconds = {}
    with timed("sample images", taken):
        activity = sample_activity(net, data)
    with timed("plan", taken):
        found = plan(net, load_board(board), activity)
    warnings: tuple[str, ...] = ()
    if folder is not None:
        verilog = folder / f"{name}.v"
        with timed("generate", taken):
            write_text(verilog, verilog_text(net, found.schedule))
        with timed("lint", taken):
            warnings = lint(find_verilator(), verilog, top=TOP)
    wall = sum(part["wall"] for part in taken.values())
    cpu = sum(part["cpu"] for part in taken.values())
    parts = ", ".join(f"{what} {t['wall']:.1f} s ({t['cpu']:.1f})" for what, t in taken.items())
    weights = sum(p.weight.size for p in net.projections)
    console.print(
        f"[b]{name}[/b], {weights:,} weights: {wall:.1f} s (processor {cpu:.1f}): {parts}"
    )
    console.print("\n".join([*_said(found), *warnings]), highlight=False)
    return {
        "network": name,
        "weights": weights,
        "board": board,
        "fits": found.fits,
        "said": _said(found),
        "seconds": taken,
        "wall_s": wall,
        "cpu_s": cpu,
        "load": os.getloadavg()[0],
        "lint_warnings": len(warnings),
        "met": wall < LIMIT_S and not warnings,
    }


def _said(found: Plan) -> list[str]:
    return [*(f"does not fit: {s}" for s in found.shortfalls), *found.advice]


@contextmanager
def timed(what: str, into: Seconds) -> Iterator[None]:
    """Notes seconds of wall clock, and of the processor with all programs that were run."""

    def used() -> float:
        return sum(os.times()[:4])

    wall, cpu = time.perf_counter(), used()
    yield
    into[what] = {"wall": time.perf_counter() - wall, "cpu": used() - cpu}


if __name__ == "__main__":
    typer.run(main)
