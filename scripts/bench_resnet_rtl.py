# SPDX-License-Identifier: BSD-2-Clause
"""A residual network as hardware, one core per layer: every spike and membrane against golden.

    python scripts/bench_resnet_rtl.py --shared ../shared --json resnet_rtl.json

``--shared`` holds ``models`` and ``data`` (see its README files). ResNet20 for CIFAR-10, trained
elsewhere, at T = 1 and n = 4 with 8-bit weights; as large as it comes, which is more than a board
holds with one core per layer. Exits with status 1 if a word differs. Compiling takes most of the
time.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from cifar10 import load_cifar10
from rich.console import Console

from pysnn_hw.cli.console import working
from pysnn_hw.convert import Preprocessing, convert, quantize
from pysnn_hw.frontend import import_model
from pysnn_hw.plan.schedule import simple_schedule
from pysnn_hw.verify.dataset import run_dataset

CALIBRATION_IMAGES = 500
PREPROCESSING = Preprocessing(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def main(
    shared: Annotated[Path, typer.Option(help="Folder with models and data.")],
    limit: Annotated[int, typer.Option(min=1, help="Test images to simulate.")] = 20,
    lanes: Annotated[int, typer.Option(min=1, help="Lanes of each core at most.")] = 16,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write figures.")] = None,
) -> None:
    """Simulate and compare; print the figures and write them as JSON."""
    console = Console(width=120)
    data = load_cifar10(shared / "data" / "cifar10")
    images, labels = data.x_test[:limit], data.y_test[:limit]
    train = data.x_train[:CALIBRATION_IMAGES]
    model = shared / "models" / "resnet20_cifar10" / "resnet20.py"
    graph = import_model(f"{model}:build", (3, 32, 32)).graph
    net = quantize(convert(graph, train, preprocessing=PREPROCESSING), 8, train)
    started = time.perf_counter()
    with working() as progress:
        found = run_dataset(net, simple_schedule(net, lanes=lanes), images, progress=progress)
    figures = {
        "images": len(images),
        "correct": int((found.classes == labels).sum()),
        "layers": len(net.populations),
        "lanes": lanes,
        "spikes_compared": found.spikes_compared,
        "membranes_compared": found.membranes_compared,
        "mismatches": found.mismatches,
        "first_mismatch": str(found.first or ""),
        "cycles": found.cycles,
        "utilisation": found.utilisation,
        "seconds": time.perf_counter() - started,
    }
    console.print_json(data=figures)
    if output is not None:
        output.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(1 if found.mismatches else 0)


if __name__ == "__main__":
    typer.run(main)
