# SPDX-License-Identifier: BSD-2-Clause
"""`auto` on a network that was trained elsewhere, and what a second worker is worth.

    python scripts/bench_auto.py --shared ../shared --json auto.json

``--shared`` holds ``models`` and ``data`` (see its README files). The search has to find, in half
an hour on two cores, a point within 0.3 points of the original network that needs no more synaptic
operations than T = 1, n = 4 with thresholds by percentile; then a small search of a fixed number of
trials is timed with one worker and with two. The exit status is 1 if a target is missed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from cifar10 import load_cifar10
from rich.console import Console

from pysnn_hw.api import auto
from pysnn_hw.api.exploration import Exploration
from pysnn_hw.cli.console import working
from pysnn_hw.config import ModelOptions, SearchOptions

SOURCE = ModelOptions(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), (3, 32, 32))
MODEL = "models/resnet20_cifar10/resnet20.py:build"
MAX_LOSS = 0.3
TRAIN = 20_000
BASELINE = {"method": "rate", "timesteps": 1, "levels": 4, "weight_bits": 8, "tau": 0.5}


def main(
    shared: Annotated[Path, typer.Option(help="Folder with models and data.")],
    output: Annotated[Path | None, typer.Option("--json", help="Where to write figures.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where to search; a folder that is there is gone on with.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for the search.")] = 1740,
    trials: Annotated[int, typer.Option(help="Candidates at most.")] = 200,
    images: Annotated[int, typer.Option(help="Test images that a candidate sees.")] = 2000,
    final_images: Annotated[int | None, typer.Option(help="By default all.")] = None,
    finalists: Annotated[int, typer.Option(help="Points measured on those.")] = 10,
    allow_training: Annotated[bool, typer.Option(help="Also methods that train.")] = True,
    timed_trials: Annotated[
        int, typer.Option(help="Trials of the timed searches; 0 leaves them out.")
    ] = 6,
) -> None:
    """Search, time, and judge."""
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as scratch:
        data = _cifar10(shared, Path(scratch))
        options = SearchOptions(
            tolerance=MAX_LOSS,
            trials=trials,
            timeout=timeout,
            images=images,
            final_images=final_images,
            finalists=finalists,
            allow_training=allow_training,
            methods=("rate", "ecc", "signed", "srp", "cos", "qcfs") if allow_training else None,
            workers=2,
        )
        found = _run(shared, data, folder or Path(scratch) / "search", options)
        report = _judge(found)
        console.print("\n".join(found.reasons))
        console.print_json(json.dumps(report))
        if timed_trials:
            small = replace(
                options,
                trials=timed_trials,
                timeout=None,
                images=250,
                final_images=250,
                finalists=1,
                max_timesteps=1,
                allow_training=False,
                methods=None,
            )
            for workers in (1, 2):
                where = Path(scratch) / f"timed {workers}"
                took = _run(shared, data, where, replace(small, workers=workers)).seconds
                report[f"seconds_{workers}_workers"] = took
                console.print(f"{timed_trials} trials, {workers} workers: {took:.0f} s")
            report["met"] &= report["seconds_2_workers"] < report["seconds_1_workers"]
    if output is not None:
        document = {**report, "points": [asdict(p) for p in found.points]}
        output.write_text(json.dumps(document, indent=2) + "\n")
    sys.exit(0 if report["met"] else 1)


def _judge(found: Exploration) -> dict[str, Any]:
    """Whether a finally measured point is close enough, and cheap enough beside the baseline."""
    baseline = next(
        p for p in found.points if p.thresholds == "p99.9" and BASELINE.items() <= asdict(p).items()
    )
    most = baseline.sops_per_image
    good = [p for p in found.front if p.loss <= MAX_LOSS and p.sops_per_image <= most]
    return {
        "baseline": asdict(baseline),
        "chosen": asdict(found.chosen),
        "good": [asdict(p) for p in good],
        "tried": len(found.points),
        "seconds": found.seconds,
        "load": os.getloadavg()[0],
        "met": bool(good),
    }


def _run(shared: Path, data: Path, folder: Path, options: SearchOptions) -> Exploration:
    with working() as progress:
        return auto(
            str(shared / MODEL), data, folder, source=SOURCE, options=options, progress=progress
        )


def _cifar10(shared: Path, folder: Path) -> Path:
    """The data set as one file that ``--data`` takes, with as many training images as it needs."""
    data, out = load_cifar10(shared / "data" / "cifar10"), folder / "cifar10.npz"
    x_train, x_test = (x.transpose(0, 2, 3, 1) for x in (data.x_train[:TRAIN], data.x_test))
    np.savez(out, x_test=x_test, y_test=data.y_test, x_train=x_train, y_train=data.y_train[:TRAIN])
    return out


if __name__ == "__main__":
    typer.run(main)
