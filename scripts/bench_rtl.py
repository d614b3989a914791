# SPDX-License-Identifier: BSD-2-Clause
"""Whole data sets through the Verilated accelerators: every spike and membrane against golden.

    python scripts/bench_rtl.py --models ../shared/models --json rtl.json

Each network is converted, laid out for its board and run cycle by cycle. Prints mismatches, the
time it took, cycles (predicted from calibration images and measured) and how busy each core is.
Exits with status 1 if a word differs.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pysnn_hw.api import convert, plan, simulate
from pysnn_hw.config import ConvertOptions, ModelOptions
from pysnn_hw.resources import resource


@dataclass(frozen=True)
class Case:
    """One run: a model at one setting, the board whose schedule it follows, and test images."""

    model: str
    board: str
    images: int
    timesteps: int = 1
    levels: int = 4
    weight_bits: int = 8
    scale: float = 255.0


BUNDLED = (
    Case("mnist_cnn", "ulx3s-85f", 10_000),
    Case("mnist_small", "icebreaker", 2_000, weight_bits=4),
    Case("mnist_cnn", "ulx3s-85f", 1_000, timesteps=32, levels=1),
)
ELSEWHERE = (
    Case("mnist_cntk/mnist-8-cntk", "ulx3s-85f", 100, scale=1.0),
    Case("lenet5/lenet5", "ulx3s-85f", 100),
)


def run(case: Case, model: Path, limit: int | None, folder: Path) -> dict[str, object]:
    """Convert and simulate; the figures of one row."""
    network = folder / "network.snn"
    convert(
        model,
        "mnist",
        network,
        source=ModelOptions(scale=case.scale),
        options=ConvertOptions(case.timesteps, case.levels, case.weight_bits),
        limit=100,
    )
    planned = plan(network, case.board)
    start = time.perf_counter()
    found = simulate(
        network,
        "mnist",
        backend="verilator",
        limit=min(case.images, limit or case.images),
        board=case.board,
    )
    return {
        **dataclasses.asdict(case),
        "images": found.images,
        "accuracy": found.accuracy,
        "spikes_compared": found.spikes_compared,
        "mismatches": found.mismatches,
        "first_mismatch": found.first_mismatch,
        "minutes": (time.perf_counter() - start) / 60,
        "cycles_predicted": planned.cycles_per_image,
        "cycles_mean": found.cycles_per_image.mean,
        "cycles_median": found.cycles_per_image.median,
        "latency_median": found.latency_cycles.median,
        "utilisation": dict(found.utilisation),
    }


def main(
    models: Annotated[
        Path | None, typer.Option(help="Folder of models trained elsewhere; skipped if absent.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Test images of each run at most.")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write the table.")] = None,
) -> None:
    """Print the table and write it as JSON."""
    console, rows = Console(width=150), []
    for case in BUNDLED + (ELSEWHERE if models is not None else ()):
        elsewhere = case in ELSEWHERE and models is not None
        path = models / f"{case.model}.onnx" if elsewhere else bundled(case.model)
        with tempfile.TemporaryDirectory() as folder:
            row = run(case, path, limit, Path(folder))
        rows.append(row)
        console.print(
            f"{case.model} T={case.timesteps} n={case.levels}, {case.board}: {row['images']} "
            f"images, {row['mismatches']} mismatches {row['first_mismatch']}"
        )
    console.print(table(rows))
    if output is not None:
        output.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(1 if any(row["mismatches"] for row in rows) else 0)


def bundled(model: str) -> Path:
    """The bundled ONNX file of ``model``."""
    return resource("bundled", f"{model}.onnx")


def table(rows: list[dict[str, object]]) -> Table:
    """The rows as they are printed."""
    found = Table(
        *("model", "T", "n", "bits", "board", "images", "accuracy", "spikes", "mismatches"),
        *("minutes", "cycles predicted", "measured", "busy"),
    )
    for row in rows:
        busy = max(row["utilisation"].values())
        found.add_row(
            *(str(row[k]) for k in ("model", "timesteps", "levels", "weight_bits", "board")),
            f"{row['images']:,}",
            f"{100 * row['accuracy']:.2f}",
            f"{row['spikes_compared']:,}",
            str(row["mismatches"]),
            f"{row['minutes']:.1f}",
            f"{row['cycles_predicted']:,.0f}",
            f"{row['cycles_mean']:,.0f}",
            f"{busy:.3f}",
        )
    return found


if __name__ == "__main__":
    typer.run(main)
