# SPDX-License-Identifier: BSD-2-Clause
"""Predicted against built on every board: cycles, clock, LUTs, memory blocks, multipliers.

    python scripts/bench_plan.py --folder designs --json plan.json --markdown boards.md

Converts, plans, places and routes each case (about ten minutes each) and runs test images through
the Verilated accelerator, then prints what the planner predicted beside what was measured and what
nextpnr reports, the images per second at the clock that was reached, and how many test images are
classified correctly. A case whose ``case.json`` lies in the folder is not built again. Exits with
status 1 if hardware and golden differ, if predicted cycles are off by more than 5 %, or another
prediction by more than 15 % (by more than two where so few are used that a percentage says
nothing).
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from pysnn_hw.api import build, convert, plan, simulate
from pysnn_hw.api.sample import spread
from pysnn_hw.cli.console import working
from pysnn_hw.config import ConvertOptions
from pysnn_hw.data import load_dataset
from pysnn_hw.errors import PysnnError
from pysnn_hw.pipeline.files import write_json
from pysnn_hw.plan import load_board
from pysnn_hw.resources import resource


@dataclass(frozen=True)
class Case:
    """One design: a bundled model at one setting, on one board.

    ``target_cycles``: pace that the planner is asked for; by default as fast as is worth its cost.
    """

    model: str
    board: str
    timesteps: int = 1
    levels: int = 4
    weight_bits: int = 8
    target_cycles: float | None = None


CASES = (
    Case("mnist_cnn", "ulx3s-85f"),
    Case("mnist_cnn", "ulx3s-85f", timesteps=32, levels=1),
    Case("mnist_cnn", "ulx3s-85f", levels=2, weight_bits=4),
    Case("mnist_pool", "ulx3s-85f"),
    Case("mnist_cnn", "ulx3s-45f"),
    Case("mnist_cnn", "ulx3s-25f"),
    Case("mnist_cnn", "ulx3s-12f"),
    Case("mnist_cnn", "colorlight-i9"),
    Case("mnist_cnn", "colorlight-i5"),
    Case("mnist_cnn", "orangecrab"),
    Case("mnist_cnn", "icesugar-pro"),
    Case("mnist_small", "hx8k", levels=3, weight_bits=4),
    Case("mnist_small", "icebreaker", levels=3, weight_bits=4),
    Case("mnist_cnn", "tang-nano-9k", weight_bits=4),
    Case("mnist_small", "tang-nano-20k", 1, 3, 4, target_cycles=4000),
    Case("mnist_small", "tang-primer-20k", 1, 3, 4, target_cycles=4000),
    Case("mnist_small", "crosslink-nx-evn", 1, 3, 4, target_cycles=4000),
    Case("mnist_small", "gatemate-evb", 1, 3, 4, target_cycles=4000),
)
RESOURCES = ("lut", "bram", "dsp", "spram")
TOLERANCE, CYCLE_TOLERANCE = 0.15, 0.05
SIMULATED = 500
"""Test images of which cycles are measured, from all over the set: its first ones have less ink."""


def run(case: Case, folder: Path) -> dict[str, object]:
    """Plan and build one case."""
    network = folder / "network.snn"
    options = ConvertOptions(case.timesteps, case.levels, case.weight_bits)
    with working() as progress:
        converted = convert(
            resource("bundled", f"{case.model}.onnx"),
            "mnist",
            network,
            options=options,
            progress=progress,
        )
        schedule = folder / "schedule.json"
        planned = plan(
            network,
            case.board,
            target_cycles=case.target_cycles,
            output=schedule,
            progress=progress,
        )
        built = build(
            network, folder / "build", board=case.board, schedule=schedule, progress=progress
        )
        ran = simulate(
            network,
            sampled(folder / "test.npz"),
            backend="verilator",
            board=case.board,
            schedule=schedule,
            progress=progress,
        )
    cycles = ran.cycles_per_image.mean if ran.cycles_per_image else 0.0
    close_cycles = abs(built.cycles_per_image - cycles) <= CYCLE_TOLERANCE * cycles
    # Not above what the board may be clocked at.
    reached = min(built.fmax_mhz, (load_board(case.board).clock.most_hz or math.inf) / 1e6)
    predicted = {name: getattr(planned, name) for name in (*RESOURCES, "clock_mhz")}
    used = {name: getattr(built, name).used for name in RESOURCES}
    return {
        **dataclasses.asdict(case),
        "accuracy": 100 * converted.fixed_accuracy,
        "images": converted.images,
        "predicted": predicted,
        "used": used,
        "available": {name: getattr(built, name).available for name in RESOURCES},
        "fmax_mhz": reached,
        "clock_mhz": built.clock_mhz,
        "predicted_cycles": built.cycles_per_image,
        "cycles_per_image": cycles,
        "mismatches": ran.mismatches,
        "images_per_s": 1e6 * built.clock_mhz / cycles,
        "bitstream": built.bitstream.name,
        "met": all(close(predicted[name], used[name]) for name in RESOURCES)
        and close_clock(predicted["clock_mhz"], reached)
        and close_cycles
        and ran.mismatches == 0,
    }


def sampled(file: Path) -> Path:
    """`SIMULATED` test images at even distances, in a file."""
    data = load_dataset("mnist")
    images, labels = spread(data.x_test, SIMULATED), spread(data.y_test, SIMULATED)
    np.savez_compressed(file, x_test=np.moveaxis(images, 1, -1), y_test=labels)
    return file


def close(predicted: float, used: int) -> bool:
    """Whether a prediction is good enough."""
    return abs(predicted - used) <= max(TOLERANCE * used, 2)


def close_clock(predicted: float | None, reached: float) -> bool:
    """Whether a predicted clock is good enough; of some devices none is predicted."""
    return predicted is None or abs(predicted - reached) <= TOLERANCE * reached


def main(
    folder: Annotated[Path, typer.Option(help="Where designs and bitstreams go.")],
    only: Annotated[str | None, typer.Option(help="Only this board.")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write the table.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Where to write what was built.")] = None,
) -> None:
    """Print the table and write it as JSON."""
    console = Console(width=180)
    rows: list[dict[str, Any]] = []
    for case in CASES:
        if only not in (None, case.board):
            continue
        place = folder / case.board / f"{case.model}_T{case.timesteps}_n{case.levels}"
        known = place / "case.json"
        if not known.is_file():
            place.mkdir(parents=True, exist_ok=True)
            try:
                write_json(known, run(case, place))
            except PysnnError as error:
                console.print(f"[red]{case.model} on {case.board}: {error}[/red]")
                rows.append({**dataclasses.asdict(case), "error": str(error), "met": False})
                continue
        rows.append(json.loads(known.read_text(encoding="utf-8")))
        console.print(f"{case.model} on {case.board}: {rows[-1]['clock_mhz']:.1f} MHz")
    console.print(table(rows))
    if output is not None:
        output.write_text(json.dumps(rows, indent=2) + "\n")
    if markdown is not None:
        markdown.write_text(built(rows))
    sys.exit(0 if all(row["met"] for row in rows) else 1)


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows as they are printed: predicted / used (of available), predicted / measured."""
    columns = ("model", "T", "n", "bits", "board", *RESOURCES, "MHz", "cycles")
    found = Table(*columns, "images/s", "accuracy", "close")
    for row in rows:
        if "error" in row:
            continue
        found.add_row(
            *(str(row[k]) for k in ("model", "timesteps", "levels", "weight_bits", "board")),
            *(
                f"{row['predicted'][r]:,.0f} / {row['used'][r]:,} ({row['available'][r]:,})"
                for r in RESOURCES
            ),
            f"{row['predicted']['clock_mhz'] or 0:.1f} / {row['fmax_mhz']:.1f}",
            f"{row['predicted_cycles']:,.0f} / {row['cycles_per_image']:,.0f}",
            f"{row['images_per_s']:,.0f}",
            f"{row['accuracy']:.2f} %",
            "yes" if row["met"] else "no",
        )
    return found


def built(rows: list[dict[str, Any]]) -> str:
    """What was built, as a table in Markdown."""
    titles = ("board", "network", "T, n, weight bits", "LUT", "block RAM", "DSP", "clock")
    titles += ("images/s", "accuracy")
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in rows:
        if "error" in row:
            continue
        used = [f"{row['used'][r]:,} of {row['available'][r]:,}" for r in ("lut", "bram", "dsp")]
        setting = f"{row['timesteps']}, {row['levels']}, {row['weight_bits']}"
        reached = (f"{row['clock_mhz']:.1f} MHz", f"{row['images_per_s']:,.0f}")
        cells = (row["board"], row["model"], setting, *used, *reached, f"{row['accuracy']:.2f} %")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
