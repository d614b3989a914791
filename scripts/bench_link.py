# SPDX-License-Identifier: BSD-2-Clause
"""Many frames to a virtual board, some of them spoiled: is every one answered or reported?

    python scripts/bench_link.py --json link.json

Exits with status 1 if a good frame is not answered once and correctly, or a bad one not reported.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import serial
import typer
from rich.console import Console

from pysnn_hw.api import convert
from pysnn_hw.config import ConvertOptions
from pysnn_hw.data import load_dataset
from pysnn_hw.golden import simulate
from pysnn_hw.host import Link
from pysnn_hw.host.stress import Sample, stress
from pysnn_hw.host.virtual_board import virtual_board
from pysnn_hw.ir.file import load
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.plan import simple_schedule
from pysnn_hw.resources import resource


def samples_of(net: FixedNetwork, images: Array, value_bytes: int) -> list[Sample]:
    """Requests with golden's answers."""
    golden = simulate(net, images)
    wire = np.moveaxis(images, 1, -1).reshape(len(images), -1).astype(f"<i{value_bytes}")
    return [
        Sample(
            request.tobytes(),
            scores.astype("<i4").tobytes() + int(klass).to_bytes(2, "little") + b"\x00",
        )
        for request, scores, klass in zip(wire, golden.scores, golden.classes, strict=True)
    ]


def bundled() -> FixedNetwork:
    """The bundled network for small boards, as the demo converts it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.snn")
        options = ConvertOptions(weight_bits=4)
        convert(resource("bundled", "mnist_small.onnx"), "mnist", path, options=options, limit=100)
        return load(path)


def main(
    network: Annotated[
        Path | None, typer.Argument(help="Network file; by default the bundled small network.")
    ] = None,
    data: Annotated[str, typer.Option(help="Data set whose test images are sent.")] = "mnist",
    frames: Annotated[int, typer.Option(help="Frames in all.")] = 20_000,
    images: Annotated[int, typer.Option(help="Whole images among them.")] = 600,
    spoiled: Annotated[float, typer.Option(help="Share that is spoiled.")] = 0.01,
    lanes: Annotated[int, typer.Option(help="Lanes of each core of the virtual board.")] = 4,
    seed: Annotated[int, typer.Option(help="Of order and damage.")] = 1,
    out: Annotated[Path | None, typer.Option("--json", help="Write the account here.")] = None,
) -> None:
    """Send frames and account for every one."""
    net = bundled() if network is None else load(network)
    with virtual_board(net, simple_schedule(net, lanes=lanes)) as board:
        with Link(board.port, timeout_s=60) as link:
            info = link.info()
        samples = samples_of(net, load_dataset(data).x_test[:100], info.value_bytes)
        with serial.Serial(board.port, timeout=0.05) as port:
            report = stress(
                port, info, samples, frames=frames, images=images, spoiled=spoiled, seed=seed
            )
    account = {**asdict(report), "passed": report.passed}
    Console().print_json(data=account)
    if out is not None:
        out.write_text(json.dumps(account, indent=2) + "\n")
    raise typer.Exit(0 if report.passed else 1)


if __name__ == "__main__":
    typer.run(main)
