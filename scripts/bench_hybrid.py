# SPDX-License-Identifier: BSD-2-Clause
"""What training through time is worth: converted against hybrid, at equal T, on CIFAR-10.

    python scripts/train_cifar10.py --data ../shared/data/cifar10 --net vgg5
    python scripts/bench_hybrid.py --model out/vgg5.pt2 --data ../shared/data/cifar10

The rows are the trained network; the same with balanced thresholds, as the paper converts; our own
rate conversion; and the balanced network after fine-tuning on training images. Fine-tuning must
close half of the gap that the balanced network leaves, or the exit status is 1.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from cifar10 import Array, load_cifar10
from rich.console import Console
from rich.table import Table

from pysnn_hw.cli.console import working
from pysnn_hw.convert import HybridTraining, Preprocessing, convert, quantize
from pysnn_hw.convert.float_sim import classify_float
from pysnn_hw.convert.hybrid import finetune
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.errors import PysnnError
from pysnn_hw.frontend import import_model
from pysnn_hw.ir.ann import AnnGraph, evaluate
from pysnn_hw.ir.snn import SnnNetwork

PREPROCESSING = Preprocessing(255.0, (0.5,), (0.5,))
"""That of `train_cifar10.py`."""
BATCH = 200
CALIBRATION_IMAGES = 1000
WANTED_SHARE = 0.5
"""Of the gap to the trained network."""


@dataclass(frozen=True)
class Row:
    """A network and what it gets right, in percent of the test images."""

    network: str
    timesteps: int
    accuracy: float
    seconds: float


def ann_accuracy(graph: AnnGraph, images: Array, labels: Array) -> float:
    prepared, absorbed = prepare(graph, PREPROCESSING)
    parts = [
        evaluate(prepared, absorbed.apply(images[k : k + BATCH]))[0].reshape(-1, 10).argmax(1)
        for k in range(0, len(images), BATCH)
    ]
    return float(100 * (np.concatenate(parts) == labels).mean())


def spiking_accuracy(net: SnnNetwork, images: Array, labels: Array) -> float:
    return float(100 * (classify_float(net, images) == labels).mean())


def table(rows: list[Row], own: float) -> Table:
    found = Table("network", "T", "accuracy, %", "gap, points", "s")
    for row in rows:
        figures = f"{row.accuracy:.2f}", f"{own - row.accuracy:.2f}", f"{row.seconds:.0f}"
        found.add_row(row.network, str(row.timesteps or ""), *figures)
    return found


def main(
    model: Annotated[Path, typer.Option(help="What train_cifar10.py wrote.")],
    data: Annotated[Path, typer.Option(help="Folder (or .npz) with CIFAR-10.")],
    timesteps: Annotated[int, typer.Option(min=1, max=75, help="T.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, max=19)] = 5,
    train_images: Annotated[int, typer.Option(help="Images that are trained on.")] = 10_000,
    batch: Annotated[int, typer.Option(help="Images per step.")] = 32,
    rate: Annotated[float, typer.Option(help="First step size, relative.")] = 3e-3,
    surrogate: Annotated[str, typer.Option(help="linear or stdb.")] = "linear",
    scaling: Annotated[float, typer.Option(help="Factor on the balanced thresholds.")] = 0.5,
    leak: Annotated[int, typer.Option(help="Right shift of the leak; 0: none.")] = 0,
    tau: Annotated[float, typer.Option(help="Initial membrane, as a share of thresholds.")] = 0.0,
    limit: Annotated[int | None, typer.Option(help="Test images to use.")] = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    checkpoint: Annotated[Path | None, typer.Option(help="Resumed from when it exists.")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write figures.")] = None,
) -> None:
    """Print the table and write it as JSON."""
    torch.set_num_threads(threads)
    console = Console(width=100)
    try:
        source = load_cifar10(data)
        graph = import_model(str(model), None).graph
        training = HybridTraining(
            epochs=epochs,
            batch=batch,
            rate=rate,
            scaling=scaling,
            leak=leak,
            checkpoint=checkpoint,
        )
        training = replace(training, surrogate=surrogate)
    except PysnnError as e:
        raise typer.BadParameter(str(e)) from e
    x, y = source.x_test[:limit], source.y_test[:limit]
    taught, labels = source.x_train[:train_images], source.y_train[:train_images]
    own = ann_accuracy(graph, x, y)
    rows = [Row("trained network", 0, own, 0.0)]

    def measured(name: str, net: SnnNetwork, began: float) -> Row:
        row = Row(name, timesteps, spiking_accuracy(net, x, y), time.perf_counter() - began)
        console.print(f"{name}: {row.accuracy:.2f} %")
        return row

    began = time.perf_counter()
    some = taught[:CALIBRATION_IMAGES]
    common = {"timesteps": timesteps, "levels": 1, "preprocessing": PREPROCESSING}
    balanced = convert(
        graph,
        taught,
        method="hybrid",
        training=replace(training, epochs=0, held_out=0.0, checkpoint=None),
        labels=labels,
        tau=tau,
        **common,
    )
    rows.append(measured("thresholds balanced", balanced, began))
    began = time.perf_counter()
    rows.append(measured("method rate", convert(graph, some, **common), began))
    began = time.perf_counter()
    with working() as progress:
        tuned = finetune(balanced, taught, labels, training, progress=progress)
    hybrid = tuned.network
    rows.append(measured("method hybrid", hybrid, began))
    began = time.perf_counter()
    rows.append(measured("the same, 8-bit weights", quantize(hybrid, 8, some), began))
    console.print(table(rows, own))
    closed = (rows[3].accuracy - rows[1].accuracy) / max(1e-9, own - rows[1].accuracy)
    met = closed >= WANTED_SHARE
    console.print(f"share of the gap closed: {closed:.2f}, wanted {WANTED_SHARE}")
    if output is not None:
        figures = {
            "training": training.to_json(),
            "tau": tau,
            "train_images": len(taught),
            "test_images": len(x),
            "held_out_accuracy": tuned.history,
            "rows": [asdict(row) for row in rows],
            "gap_closed": closed,
            "met": met,
        }
        output.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    typer.run(main)
