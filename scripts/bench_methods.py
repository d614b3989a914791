# SPDX-License-Identifier: BSD-2-Clause
"""Conversion methods on networks that were trained elsewhere, on the CIFAR-10 test images.

    python scripts/bench_methods.py --shared ../shared --json methods.json

``--shared`` holds ``models`` and ``data`` (see its README files). Calibration sees training images
only. Accuracies are those of float weights, or of integers where weight bits are named; each row
stands beside the target that it has to meet, and the exit status is 1 if one is missed.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pysnn_hw.convert import Preprocessing, convert, quantize
from pysnn_hw.convert.float_sim import classify_float
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.frontend import import_model
from pysnn_hw.ir.ann import AnnGraph, evaluate

BATCH = 200
CALIBRATION_IMAGES = 1000
TRAINING_IMAGES = 16_000
"""Of method qcfs."""


@dataclass(frozen=True)
class Model:
    """A network and what it does to a pixel."""

    path: str
    preprocessing: Preprocessing
    input_shape: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Case:
    """One row: a model, a method at one setting, and the loss in points that it may show."""

    model: str
    timesteps: int
    levels: int
    weight_bits: int | None = None
    method: str = "rate"
    max_loss: float | None = None
    min_accuracy: float | None = None


MODELS = {
    "resnet20": Model(
        "models/resnet20_cifar10/resnet20.py:build",
        Preprocessing(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        (3, 32, 32),
    ),
    "resnet8": Model("models/mlperf_tiny/pretrainedResnet.h5", Preprocessing(1.0)),
}
CASES = (
    Case("resnet20", 1, 4),
    Case("resnet20", 1, 4, method="qcfs", max_loss=0.3),
    Case("resnet20", 1, 4, method="qcfs", weight_bits=8, max_loss=0.4),
    Case("resnet20", 1, 4, method="qcfs", weight_bits=4, max_loss=1.5),
    Case("resnet20", 4, 3, method="signed", max_loss=0.3),
    Case("resnet20", 8, 2, method="signed", max_loss=0.8),
    Case("resnet20", 32, 1),
    Case("resnet20", 32, 1, method="signed", min_accuracy=90.5),
    Case("resnet20", 64, 1, method="signed", min_accuracy=91.2),
    Case("resnet8", 1, 4),
    Case("resnet8", 1, 4, method="qcfs", weight_bits=8, max_loss=0.5),
)


def main(
    shared: Annotated[Path, typer.Option(help="Folder with models and data.")],
    only: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    max_steps: Annotated[int, typer.Option(help="Leave out more timesteps than that.")] = 64,
    limit: Annotated[int | None, typer.Option(help="Test images to use.")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write the table.")] = None,
) -> None:
    """Print the table and write it as JSON."""
    console = Console(width=120)
    cifar = _module(shared / "data" / "cifar10" / "load_cifar10.py")
    images, labels = (part[:limit] for part in cifar.load_test()[:2])
    images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    train = cifar.load_train(batches=(1, 2))[0][:TRAINING_IMAGES]
    train = np.ascontiguousarray(train.transpose(0, 3, 1, 2))
    rows: list[dict[str, Any]] = []
    graphs: dict[str, tuple[AnnGraph, float]] = {}
    for case in CASES:
        if only not in (None, case.model) or case.timesteps > max_steps:
            continue
        model = MODELS[case.model]
        if case.model not in graphs:
            graph = import_model(str(shared / model.path), model.input_shape).graph
            graphs[case.model] = graph, _own_accuracy(graph, model, images, labels)
        rows.append(_row(case, *graphs[case.model], images, labels, train))
        console.print(_line(rows[-1]))
    console.print(_table(rows))
    if output is not None:
        output.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(0 if all(row["met"] for row in rows) else 1)


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"{path}: there is no such file; give the folder with --shared")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _own_accuracy(graph: AnnGraph, model: Model, images: Any, labels: Any) -> float:
    """Percent, of the trained network itself."""
    prepared, absorbed = prepare(graph, model.preprocessing)
    found = [
        evaluate(prepared, absorbed.apply(images[k : k + BATCH]))[0].reshape(-1, 10).argmax(1)
        for k in track(range(0, len(images), BATCH), "the trained network", transient=True)
    ]
    return float(100 * (np.concatenate(found) == labels).mean())


def _row(
    case: Case, graph: AnnGraph, own: float, images: Any, labels: Any, train: Any
) -> dict[str, Any]:
    started = time.perf_counter()
    calibration = train[:CALIBRATION_IMAGES]
    net = convert(
        graph,
        train if case.method == "qcfs" else calibration,
        timesteps=case.timesteps,
        levels=case.levels,
        method=case.method,
        preprocessing=MODELS[case.model].preprocessing,
    )
    if case.weight_bits is not None:
        net = quantize(net, case.weight_bits, calibration)
    found = [
        classify_float(net, images[k : k + BATCH])
        for k in track(range(0, len(images), BATCH), str(case), transient=True)
    ]
    accuracy = float(100 * (np.concatenate(found) == labels).mean())
    loss = own - accuracy
    met = (case.max_loss is None or loss <= case.max_loss + 1e-9) and (
        case.min_accuracy is None or accuracy >= case.min_accuracy - 1e-9
    )
    return {
        "model": case.model,
        "method": case.method,
        "timesteps": case.timesteps,
        "levels": case.levels,
        "weight_bits": case.weight_bits,
        "images": len(images),
        "own": own,
        "accuracy": accuracy,
        "loss": loss,
        "max_loss": case.max_loss,
        "min_accuracy": case.min_accuracy,
        "met": met,
        "seconds": time.perf_counter() - started,
    }


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['model']} {row['method']} T={row['timesteps']} n={row['levels']}: "
        f"{row['accuracy']:.2f} % ({row['loss']:+.2f})"
    )


def _table(rows: list[dict[str, Any]]) -> Table:
    found = Table("model", "method", "T", "n", "weights", "own", "spiking", "loss", "target", "s")
    for row in rows:
        target = ""
        if row["max_loss"] is not None:
            target = f"loss {row['max_loss']:.2f}"
        if row["min_accuracy"] is not None:
            target = f"{row['min_accuracy']:.1f} %"
        found.add_row(
            *(str(row[k]) for k in ("model", "method", "timesteps", "levels")),
            "float" if row["weight_bits"] is None else f"{row['weight_bits']} bits",
            *(f"{row[k]:.2f}" for k in ("own", "accuracy", "loss")),
            target if row["met"] else f"{target} missed",
            f"{row['seconds']:.0f}",
        )
    return found


if __name__ == "__main__":
    typer.run(main)
