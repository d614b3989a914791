# SPDX-License-Identifier: BSD-2-Clause
"""Conversion methods on networks that were trained elsewhere, on the CIFAR-10 test images.

    python scripts/bench_methods.py --shared ../shared --json methods.json

``--shared`` holds ``models`` and ``data`` (see its README files). Calibration sees training images
only. Accuracies are those of float weights, or of integers in the golden simulator where weight
bits are named; each row stands beside the target that it has to meet, and the exit status is 1 if
one is missed. With ``--json`` a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from cifar10 import load_cifar10
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pysnn_hw.cli.console import working
from pysnn_hw.convert import Preprocessing, Training, convert, quantize
from pysnn_hw.convert.float_sim import classify_float
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.frontend import import_model
from pysnn_hw.golden import simulate
from pysnn_hw.ir.ann import evaluate
from pysnn_hw.ir.snn import Array, SnnNetwork

BATCH = 200
CALIBRATION_IMAGES = 1000
TRAINING = Training(epochs=4, rate=1e-3)
"""Of method qcfs, on all training images, half of them mirrored."""
FEW_BITS = (2, 3, 4)
"""Weight bits so few that qcfs trains with them."""


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
    Case("resnet20", 1, 4, weight_bits=8),
    Case("resnet20", 1, 4, weight_bits=4),
    Case("resnet20", 1, 4, method="qcfs", max_loss=0.3),
    Case("resnet20", 1, 4, method="qcfs", weight_bits=8, max_loss=0.4),
    Case("resnet20", 1, 4, method="qcfs", weight_bits=4, max_loss=1.5),
    Case("resnet8", 1, 4),
    Case("resnet8", 1, 4, method="qcfs", weight_bits=8, max_loss=0.5),
    Case("resnet20", 4, 3, method="signed", weight_bits=8, max_loss=0.3),
    Case("resnet20", 8, 2, method="signed", weight_bits=8, max_loss=0.8),
    Case("resnet20", 32, 1, weight_bits=8),
    Case("resnet20", 32, 1, method="signed", weight_bits=8, min_accuracy=90.5),
    Case("resnet20", 64, 1, method="signed", weight_bits=8, min_accuracy=91.2),
)
PUBLISHED = (
    ("converted, T = 2500", 93.15, 92.94),
    ("converted, T = 250", 93.15, 91.12),
    ("hybrid, T = 250", 93.15, 92.22),
)
"""ResNet20 on CIFAR-10 of Rathi et al. 2020 (methods.md 4.8): setting, own and spiking accuracy."""


def main(
    shared: Annotated[Path, typer.Option(help="Folder with models and data.")],
    only: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    max_steps: Annotated[int, typer.Option(help="Leave out more timesteps than that.")] = 64,
    limit: Annotated[int | None, typer.Option(help="Test images to use.")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write the table.")] = None,
) -> None:
    """Print the table and write it as JSON."""
    console = Console(width=120)
    data = load_cifar10(shared / "data" / "cifar10")
    images, labels = data.x_test[:limit], data.y_test[:limit]
    done = json.loads(output.read_text()) if output is not None and output.is_file() else []
    known = {json.dumps([row["case"], row["images"]]): row for row in done}
    rows: list[dict[str, Any]] = []
    for name, model in MODELS.items():
        cases = [c for c in CASES if c.model == name and c.timesteps <= max_steps]
        if only not in (None, name) or not cases:
            continue
        bench = Bench(shared, model, images, labels, data.x_train)
        for case in cases:
            key = json.dumps([asdict(case), len(images)])
            rows.append(known.get(key) or bench.row(case))
            known[key] = rows[-1]
            console.print(_line(rows[-1]))
            if output is not None:
                output.write_text(json.dumps(list(known.values()), indent=2) + "\n")
    console.print(_table(rows))
    for setting, own, spiking in PUBLISHED:
        loss = f"{own - spiking:.2f}"
        console.print(f"published ResNet20, {setting}: {own:.2f} -> {spiking:.2f} % (loss {loss})")
    sys.exit(0 if all(row["met"] for row in rows) else 1)


class Bench:
    """One trained network and the images that it is measured on."""

    def __init__(self, shared: Path, model: Model, images: Any, labels: Any, train: Any) -> None:
        self.model, self.images, self.labels, self.train = model, images, labels, train
        self.graph = import_model(str(shared / model.path), model.input_shape).graph
        self.own = self._own_accuracy()
        self.nets: dict[str, SnnNetwork] = {}

    def row(self, case: Case) -> dict[str, Any]:
        """Measure one case."""
        started = time.perf_counter()
        net, sops = self._converted(case), None
        if case.weight_bits is None:
            found = [
                classify_float(net, self.images[k : k + BATCH])
                for k in track(range(0, len(self.images), BATCH), str(case), transient=True)
            ]
            classes = np.concatenate(found)
        else:
            fixed = quantize(net, case.weight_bits, self.train[:CALIBRATION_IMAGES])
            result = simulate(fixed, self.images, batch=BATCH)
            classes = result.classes
            sops = float(sum(count.mean() for count in result.sops.values()))
        accuracy = float(100 * (classes == self.labels).mean())
        loss = self.own - accuracy
        met = (case.max_loss is None or loss <= case.max_loss + 1e-9) and (
            case.min_accuracy is None or accuracy >= case.min_accuracy - 1e-9
        )
        return {
            "case": asdict(case),
            "images": len(self.images),
            "own": self.own,
            "accuracy": accuracy,
            "loss": loss,
            "sops": sops,
            "met": met,
            "seconds": time.perf_counter() - started,
        }

    def _converted(self, case: Case) -> SnnNetwork:
        """The float network, which cases may share."""
        training = None
        if case.method == "qcfs":
            few = case.weight_bits if case.weight_bits in FEW_BITS else None
            training = replace(TRAINING, weight_bits=few)
        key = repr([case.timesteps, case.levels, case.method, training])
        if key not in self.nets:
            with working() as progress:
                self.nets[key] = convert(
                    self.graph,
                    self.train[:CALIBRATION_IMAGES] if training is None else mirrored(self.train),
                    timesteps=case.timesteps,
                    levels=case.levels,
                    method=case.method,
                    training=training,
                    preprocessing=self.model.preprocessing,
                    progress=progress,
                )
        return self.nets[key]

    def _own_accuracy(self) -> float:
        """Percent, of the trained network itself."""
        prepared, absorbed = prepare(self.graph, self.model.preprocessing)
        found = [
            evaluate(prepared, absorbed.apply(self.images[k : k + BATCH]))[0]
            .reshape(-1, 10)
            .argmax(1)
            for k in track(range(0, len(self.images), BATCH), "trained network", transient=True)
        ]
        return float(100 * (np.concatenate(found) == self.labels).mean())


def mirrored(images: Array) -> Array:
    """Every other image left to right, as seen in a mirror."""
    images = images.copy()
    images[1::2] = images[1::2, ..., ::-1]
    return images


def _line(row: dict[str, Any]) -> str:
    case = row["case"]
    bits = "float" if case["weight_bits"] is None else f"{case['weight_bits']} bits"
    return (
        f"{case['model']} {case['method']} T={case['timesteps']} n={case['levels']} {bits}: "
        f"{row['accuracy']:.2f} % ({-row['loss']:+.2f})"
    )


def _table(rows: list[dict[str, Any]]) -> Table:
    found = Table(
        *("model", "method", "T", "n", "weights", "own", "spiking", "loss", "target", "M SOPs"),
        "s",
    )
    for row in rows:
        case, target = row["case"], ""
        if case["max_loss"] is not None:
            target = f"loss {case['max_loss']:.2f}"
        if case["min_accuracy"] is not None:
            target = f"{case['min_accuracy']:.1f} %"
        found.add_row(
            *(str(case[k]) for k in ("model", "method", "timesteps", "levels")),
            "float" if case["weight_bits"] is None else f"{case['weight_bits']} bits",
            *(f"{row[k]:.2f}" for k in ("own", "accuracy", "loss")),
            target if row["met"] else f"{target} missed",
            "" if row["sops"] is None else f"{row['sops'] / 1e6:.1f}",
            f"{row['seconds']:.0f}",
        )
    return found


if __name__ == "__main__":
    typer.run(main)
