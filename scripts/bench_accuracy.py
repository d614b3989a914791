# SPDX-License-Identifier: BSD-2-Clause
"""Accuracy lost by conversion and by quantisation, on the 10,000 MNIST test images.

    python scripts/bench_accuracy.py --models ../shared/models --json accuracy.json

Calibration sees the bundled 1,000 training images only. Exits with status 1 if a target is missed.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pysnn_hw.convert import Preprocessing, convert, loss_report, quantize
from pysnn_hw.data import Dataset, load_dataset
from pysnn_hw.frontend import import_model
from pysnn_hw.ir.ann import AnnGraph
from pysnn_hw.resources import resource


@dataclass(frozen=True)
class Case:
    """One row: a model at one setting, and the loss in points that it may show."""

    model: str
    timesteps: int
    levels: int
    weight_bits: int
    target: float | None


BUNDLED = (
    Case("mnist_cnn", 1, 4, 8, 0.10),
    Case("mnist_cnn", 1, 4, 4, 0.30),
    Case("mnist_cnn", 1, 2, 8, 1.50),
    Case("mnist_cnn", 1, 2, 4, None),
    Case("mnist_cnn", 32, 1, 8, 0.30),
)
ELSEWHERE = (
    Case("mnist_cntk/mnist-8-cntk", 1, 4, 8, 0.10),  # max pooling
    Case("mnist_cntk/mnist-8-cntk", 1, 4, 4, None),
    Case("lenet5/lenet5", 1, 4, 8, 0.50),
    Case("lenet5/lenet5", 1, 4, 4, None),
)
SCALES = {"mnist_cntk/mnist-8-cntk": 1.0}
"""Divisor of the pixels where it is not 255."""


def measure(case: Case, graph: AnnGraph, data: Dataset, limit: int | None) -> dict[str, object]:
    """Convert, quantise and classify; accuracies and losses in percent and points."""
    if data.x_train is None:
        raise SystemExit("the data set holds no calibration images")
    started = time.perf_counter()
    preprocessing = Preprocessing(scale=SCALES.get(case.model, 255.0))
    snn = convert(
        graph,
        data.x_train,
        timesteps=case.timesteps,
        levels=case.levels,
        preprocessing=preprocessing,
    )
    fixed = quantize(snn, case.weight_bits, data.x_train)
    images, labels = data.x_test[:limit], data.y_test[:limit]
    report = loss_report(graph, snn, fixed, images, labels, preprocessing)
    loss = 100 * (report.ann_accuracy - report.fixed_accuracy)
    return {
        "model": case.model,
        "timesteps": case.timesteps,
        "levels": case.levels,
        "weight_bits": case.weight_bits,
        "images": report.images,
        "ann": 100 * report.ann_accuracy,
        "snn": 100 * report.snn_accuracy,
        "fixed": 100 * report.fixed_accuracy,
        "loss": loss,
        "target": case.target,
        "met": case.target is None or loss <= case.target + 1e-9,
        "lowest_correlation": min(p.fixed_correlation for p in report.populations),
        "seconds": time.perf_counter() - started,
    }


def main(
    models: Annotated[
        Path | None, typer.Option(help="Folder of models trained elsewhere; skipped if absent.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Test images to use.")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write the table.")] = None,
) -> None:
    """Print the table of accuracies and write it as JSON."""
    data, console = load_dataset("mnist"), Console()
    cases = BUNDLED + (ELSEWHERE if models is not None else ())
    graphs: dict[str, AnnGraph] = {}
    rows = []
    for case in cases:
        if case.model not in graphs:
            elsewhere = case in ELSEWHERE and models is not None
            path = models / f"{case.model}.onnx" if elsewhere else bundled(case.model)
            graphs[case.model] = import_model(path).graph
        row = measure(case, graphs[case.model], data, limit)
        console.print(f"{case.model} T={case.timesteps} n={case.levels}: loss {row['loss']:.2f}")
        rows.append(row)
    console.print(table(rows))
    if output is not None:
        output.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(0 if all(row["met"] for row in rows) else 1)


def bundled(model: str) -> Path:
    """The bundled ONNX file of ``model``."""
    return resource("bundled", f"{model}.onnx")


def table(rows: list[dict[str, object]]) -> Table:
    """The rows as they are printed: percent and points."""
    found = Table("model", "T", "n", "bits", "ANN", "SNN", "fixed", "loss", "target", "seconds")
    for row in rows:
        numbers = [f"{row[key]:.2f}" for key in ("ann", "snn", "fixed", "loss")]
        settings = [str(row[key]) for key in ("model", "timesteps", "levels", "weight_bits")]
        target = "" if row["target"] is None else f"{row['target']:.2f}"
        seconds = f"{row['seconds']:.1f}"
        found.add_row(*settings, *numbers, target if row["met"] else f"{target} missed", seconds)
    return found


if __name__ == "__main__":
    typer.run(main)
