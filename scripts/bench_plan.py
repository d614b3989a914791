# SPDX-License-Identifier: BSD-2-Clause
"""Predicted against built: LUTs, flip-flops, memory blocks and multipliers of whole designs.

    python scripts/bench_plan.py --json plan.json

Converts, plans, places and routes each case (about five minutes each), then prints what the
planner predicted beside nextpnr's report. Exits with status 1 if a prediction is off by more than
20 %, or by more than two where so few are used that a percentage says nothing.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pysnn_hw.api import build, convert, plan
from pysnn_hw.config import ConvertOptions
from pysnn_hw.resources import resource


@dataclass(frozen=True)
class Case:
    """One design: a bundled model at one setting, on one board."""

    model: str
    board: str
    timesteps: int = 1
    levels: int = 4
    weight_bits: int = 8


CASES = (
    Case("mnist_cnn", "ulx3s-85f"),
    Case("mnist_cnn", "ulx3s-12f"),
    Case("mnist_cnn", "ulx3s-85f", timesteps=32, levels=1),
    Case("mnist_cnn", "ulx3s-85f", levels=2, weight_bits=4),
    Case("mnist_pool", "ulx3s-85f"),
    Case("mnist_small", "icebreaker", weight_bits=4),
)
RESOURCES = ("lut", "bram", "dsp", "spram")


def run(case: Case, folder: Path) -> dict[str, object]:
    """Plan and build one case."""
    network = folder / "network.snn"
    convert(
        resource("bundled", f"{case.model}.onnx"),
        "mnist",
        network,
        options=ConvertOptions(case.timesteps, case.levels, case.weight_bits),
        limit=100,
    )
    planned = plan(network, case.board)
    built = build(network, folder / "build", board=case.board)
    predicted = {name: getattr(planned, name) for name in RESOURCES}
    used = {name: getattr(built, name).used for name in RESOURCES}
    return {
        **dataclasses.asdict(case),
        "predicted": predicted,
        "used": used,
        "fmax_mhz": built.fmax_mhz,
        "clock_mhz": built.clock_mhz,
        "cycles_per_image": built.cycles_per_image,
        "images_per_s": built.images_per_s,
        "met": all(close(predicted[name], used[name]) for name in RESOURCES),
    }


def close(predicted: float, used: int) -> bool:
    """Whether a prediction is good enough."""
    return abs(predicted - used) <= max(0.2 * used, 2)


def main(
    only: Annotated[str | None, typer.Option(help="Only this board.")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write the table.")] = None,
) -> None:
    """Print the table and write it as JSON."""
    console, rows = Console(width=150), []
    for case in CASES:
        if only not in (None, case.board):
            continue
        # Not in /tmp: the tools that come as WebAssembly do not see it.
        with tempfile.TemporaryDirectory(dir=".") as folder:
            row = run(case, Path(folder))
        rows.append(row)
        console.print(f"{case.model} on {case.board}: {row['clock_mhz']:.1f} MHz")
    console.print(table(rows))
    if output is not None:
        output.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(0 if all(row["met"] for row in rows) else 1)


def table(rows: list[dict[str, object]]) -> Table:
    """The rows as they are printed: predicted / used."""
    found = Table("model", "T", "n", "bits", "board", *RESOURCES, "MHz", "images/s", "within 20 %")
    for row in rows:
        found.add_row(
            *(str(row[k]) for k in ("model", "timesteps", "levels", "weight_bits", "board")),
            *(f"{row['predicted'][name]:,} / {row['used'][name]:,}" for name in RESOURCES),
            f"{row['clock_mhz']:.1f}",
            f"{row['images_per_s']:,.0f}",
            "yes" if row["met"] else "no",
        )
    return found


if __name__ == "__main__":
    typer.run(main)
