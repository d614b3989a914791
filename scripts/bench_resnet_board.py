# SPDX-License-Identifier: BSD-2-Clause
"""A residual network on a board, everything on chip: accuracy, cycles, clock, images per second.

    python scripts/bench_resnet_board.py --shared ../shared --folder resnet20 --json resnet20.json
    python scripts/bench_resnet_board.py --shared ../shared --folder resnet20 --seed 1 --seed 2

``--shared`` holds ``data`` (see its README). The networks, converted by qcfs at T = 1, n = 4 and
trained with the 6 weight bits that they get, lie in ``networks``; with other weight bits, or
``--retrain``, they are made from ``models`` beside ``data``, which takes an hour and more. Accuracy
is that of the golden simulator on the CIFAR-10 test images; cycles are measured in Verilator, where
every spike and membrane is compared with golden; the clock is nextpnr's, and each seed of its
placer must reach the target's. What is in the folder is not made again. The exit status is 1 if a
target of the model is missed.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from bench_methods import CALIBRATION_IMAGES, MODELS, mirrored
from cifar10 import load_cifar10
from rich.console import Console

from pysnn_hw.api.planning import sample_activity
from pysnn_hw.build import build_accelerator
from pysnn_hw.cli.console import working
from pysnn_hw.convert import Training, convert, quantize
from pysnn_hw.data import Dataset
from pysnn_hw.frontend import import_model
from pysnn_hw.golden import simulate
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.ir.file import load, save
from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.plan import CorePlan, Schedule, load_board, plan
from pysnn_hw.plan.board import Board
from pysnn_hw.verify.dataset import HarnessResult, run_dataset

NETWORKS = Path(__file__).with_name("networks")


@dataclass(frozen=True)
class Target:
    """What a model must reach: percent, images per second, MHz, share of its lanes that work.

    ``cycles``: between images, that the planner is asked for; None for as few as fit.
    """

    accuracy: float
    images_per_s: float
    clock_mhz: float
    lane_share: float = 0.0
    cycles: float | None = None


TARGETS = {
    "resnet20": Target(91.2, 200, 90, 0.85, 390_000),
    "resnet8": Target(86.71, 1000, 72, cycles=80_000),
}


def main(
    shared: Annotated[Path, typer.Option(help="Folder with models and data.")],
    folder: Annotated[Path, typer.Option(help="Where everything goes that takes long to make.")],
    model: Annotated[str, typer.Option(help="resnet20 or resnet8.")] = "resnet20",
    board: Annotated[str, typer.Option(help="A board.")] = "ulx3s-85f",
    weight_bits: Annotated[int, typer.Option(min=2, max=8)] = 6,
    epochs: Annotated[int, typer.Option(min=1, help="Of training.")] = 4,
    train: Annotated[int | None, typer.Option(help="Training images; by default all.")] = None,
    retrain: Annotated[bool, typer.Option(help="Train even what lies in networks.")] = False,
    limit: Annotated[int | None, typer.Option(help="Test images for golden.")] = None,
    seed: Annotated[list[int], typer.Option(help="Where placing begins; may be repeated.")] = [1],  # noqa: B006
    simulated: Annotated[int, typer.Option(help="Test images for Verilator.")] = 500,
    build: Annotated[bool, typer.Option(help="Also make the bitstream.")] = True,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write figures.")] = None,
) -> None:
    """Convert, plan, simulate, build; print the figures and write them as JSON."""
    console = Console(width=120)
    folder.mkdir(parents=True, exist_ok=True)
    data = load_cifar10(shared / "data" / "cifar10")
    file = folder / f"{model}_{weight_bits}.snn"
    trained = NETWORKS / file.name
    if not file.is_file() and trained.is_file() and not retrain:
        shutil.copy(trained, file)
    if not file.is_file():
        save(_converted(shared, model, data.x_train[:train], weight_bits, epochs), file)
    net, target = load(file), _first_try(load_board(board))
    images, labels = data.x_test[:limit], data.y_test[:limit]
    golden = simulate(net, images, batch=200)
    accuracy = float(100 * (golden.classes == labels).mean())
    console.print(f"{model}, {weight_bits}-bit weights: {accuracy:.2f} % of {len(labels)} images")
    sops = {name: float(count.mean()) for name, count in golden.sops.items()}
    goal = TARGETS[model]
    schedule = _schedule(net, data.x_train, board, goal.cycles, folder)
    with working() as progress:
        run = run_dataset(
            net, schedule, images[:simulated], folder=folder / "verilator", progress=progress
        )
    figures = {"model": model, "board": board, "weight_bits": weight_bits, "accuracy": accuracy}
    figures |= {"accuracy_images": len(labels), **_cycles(net, schedule, run, sops)}
    console.print(
        "{simulated_images} images in Verilator: {mismatches} mismatches in {spikes_compared:,} "
        "spikes and {membranes_compared:,} membranes, {cycles_per_image:,.0f} cycles each".format(
            **figures
        )
    )
    if build:
        made = []
        for number in seed:
            with working() as progress:
                made.append(
                    build_accelerator(
                        Accelerator(net, schedule),
                        target,
                        folder / f"build_{number}",
                        seed=number,
                        progress=lambda line: progress(line, 0, 0),
                    )
                )
            console.print(f"seed {number}: {made[-1].fmax_mhz:.1f} MHz")
        best = max(made, key=lambda build: build.fmax_mhz)
        figures |= {
            "fmax_mhz": {number: m.fmax_mhz for number, m in zip(seed, made, strict=True)},
            "clock_mhz": best.clock_mhz,
            "images_per_s": 1e6 * best.clock_mhz / figures["cycles_per_image"],
            "lut": best.lut.used,
            "bram": best.bram.used,
            "dsp": best.dsp.used,
            "bitstream": best.bitstream.name,
        }
    figures["met"] = _met(figures, goal)
    console.print_json(data=figures)
    if output is not None:
        output.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(0 if figures["met"] else 1)


def _first_try(board: Board) -> Board:
    """``board``, content with whatever clock the first seed reaches."""
    clock = board.clock.model_copy(update={"enough_hz": 1})
    return board.model_copy(update={"clock": clock})


def _converted(shared: Path, model: str, train: Any, weight_bits: int, epochs: int) -> FixedNetwork:
    source = MODELS[model]
    graph = import_model(str(shared / source.path), source.input_shape).graph
    with working() as progress:
        net = convert(
            graph,
            mirrored(train),
            timesteps=1,
            levels=4,
            method="qcfs",
            training=Training(epochs=epochs, weight_bits=weight_bits if weight_bits < 8 else None),
            preprocessing=source.preprocessing,
            progress=progress,
        )
    return quantize(net, weight_bits, train[:CALIBRATION_IMAGES])


def _schedule(
    net: FixedNetwork, train: Any, board: str, cycles: float | None, folder: Path
) -> Schedule:
    file = folder / f"{board}.schedule.json"
    if not file.is_file():
        activity = sample_activity(net, Dataset("CIFAR-10", train, np.zeros(len(train), np.int64)))
        found = plan(net, load_board(board), activity, target_cycles=cycles, objective="throughput")
        if not found.fits:
            sys.exit("\n".join(map(str, found.shortfalls)))
        file.write_text(json.dumps(found.schedule.to_json(), indent=2) + "\n")
    return Schedule.from_json(json.loads(file.read_text()))


def _cycles(
    net: FixedNetwork, schedule: Schedule, run: HarnessResult, sops: dict[str, float]
) -> dict[str, Any]:
    """Of the simulation: cycles, comparisons, and how busy the lanes of each core are."""
    cycles = float(np.mean(run.intervals))
    dense = sum(p.as_conv(net.shape_of(p.source)).macs for p in net.projections)
    lanes = sum(core.total_lanes for core in schedule.cores)
    return {
        "simulated_images": len(run.classes),
        "spikes_compared": run.spikes_compared,
        "membranes_compared": run.membranes_compared,
        "mismatches": run.mismatches,
        "cycles_per_image": cycles,
        "cores": [
            {
                "layers": list(core.populations),
                "lanes": core.total_lanes,
                "lane_share": _work(net, core, sops) / core.total_lanes / cycles,
            }
            for core in schedule.cores
        ],
        "dense_cycles": dense / lanes,
        "dense_ratio": dense / lanes / cycles,
    }


def _work(net: FixedNetwork, core: CorePlan, sops: dict[str, float]) -> float:
    """Synaptic operations per image of a core."""
    return sum(sops[p.name] for name in core.populations for p in net.into(name))


def _met(figures: dict[str, Any], target: Target) -> bool:
    busiest = max(core["lane_share"] for core in figures["cores"])
    return bool(
        "fmax_mhz" in figures
        and not figures["mismatches"]
        and figures["accuracy"] >= target.accuracy
        and figures["images_per_s"] >= target.images_per_s
        and min(figures["fmax_mhz"].values()) >= target.clock_mhz
        and busiest >= target.lane_share
    )


if __name__ == "__main__":
    typer.run(main)
