# SPDX-License-Identifier: BSD-2-Clause
"""Synthesised netlists against golden: every spike and membrane of real images.

    python scripts/bench_netlists.py --json netlists.json

Converts the bundled networks, plans and synthesises them for an ECP5 and an iCE40 as for their
bitstreams, and simulates the netlists (yosys's models of look-up tables, flip-flops, carries and
blocks, ours of the ECP5's block RAM) on MNIST test images. The exit status is 1 if a bit differs.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pysnn_hw.api import convert
from pysnn_hw.api.planning import sample_activity
from pysnn_hw.cli.console import working
from pysnn_hw.config import ConvertOptions
from pysnn_hw.data import load_dataset
from pysnn_hw.ir.file import load
from pysnn_hw.plan import load_board, plan
from pysnn_hw.resources import resource
from pysnn_hw.verify.dataset import run_dataset


@dataclass(frozen=True)
class Case:
    """A bundled network on a board."""

    model: str
    board: str
    levels: int
    weight_bits: int


CASES = (Case("mnist_cnn", "ulx3s-85f", 4, 8), Case("mnist_small", "icebreaker", 3, 4))


def main(
    images: Annotated[int, typer.Option(min=1, help="Test images for each.")] = 100,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write figures.")] = None,
) -> None:
    """Print a line per design and write them as JSON."""
    console, rows = Console(width=120), []
    for case in CASES:
        # Not in /tmp: the tools that come as WebAssembly do not see it.
        with tempfile.TemporaryDirectory(dir=".") as folder:
            rows.append(run(case, images, Path(folder)))
        console.print(
            "{model} on {board}: {images} images, {spikes:,} spikes and {membranes:,} membranes "
            "compared, {mismatches} mismatches".format(**rows[-1])
        )
    if output is not None:
        output.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(1 if any(row["mismatches"] for row in rows) else 0)


def run(case: Case, images: int, folder: Path) -> dict[str, Any]:
    """One design."""
    file, board, data = folder / "network.snn", load_board(case.board), load_dataset("mnist")
    with working() as progress:
        convert(
            resource("bundled", f"{case.model}.onnx"),
            "mnist",
            file,
            options=ConvertOptions(1, case.levels, case.weight_bits),
            limit=100,
            progress=progress,
        )
        net = load(file)
        schedule = plan(net, board, sample_activity(net, data)).schedule
        found = run_dataset(
            net, schedule, data.x_test[:images], device=board.device, progress=progress
        )
    return {
        **asdict(case),
        "images": len(found.classes),
        "spikes": found.spikes_compared,
        "membranes": found.membranes_compared,
        "cycles": found.cycles,
        "mismatches": found.mismatches,
    }


if __name__ == "__main__":
    typer.run(main)
