# SPDX-License-Identifier: BSD-2-Clause
"""A residual network on a board, everything on chip: accuracy, cycles, clock, images per second.

    python scripts/bench_resnet_board.py --shared ../shared --folder resnet20 --json resnet20.json

``--shared`` holds ``models`` and ``data`` (see its README files). The network is converted by
qcfs at T = 1, n = 4 and trained with the weight bits that it gets; accuracy is that of the golden
simulator on the CIFAR-10 test images; cycles are measured in Verilator, where every spike and
membrane is compared with golden; the clock is nextpnr's. What is in the folder is not made again.
The exit status is 1 if a target of the model is missed.
"""

from __future__ import annotations

import json
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
    limit: Annotated[int | None, typer.Option(help="Test images for golden.")] = None,
    seed: Annotated[int, typer.Option(help="Where place-and-route begins.")] = 1,
    simulated: Annotated[int, typer.Option(help="Test images for Verilator.")] = 500,
    build: Annotated[bool, typer.Option(help="Also make the bitstream.")] = True,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write figures.")] = None,
) -> None:
    """Convert, plan, simulate, build; print the figures and write them as JSON."""
    console = Console(width=120)
    folder.mkdir(parents=True, exist_ok=True)
    data = load_cifar10(shared / "data" / "cifar10")
    file = folder / f"{model}_{weight_bits}.snn"
    if not file.is_file():
        save(_converted(shared, model, data.x_train[:train], weight_bits, epochs), file)
    net, target = load(file), _enough(load_board(board), TARGETS[model].clock_mhz)
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
        with working() as progress:
            made = build_accelerator(
                Accelerator(net, schedule),
                target,
                folder / f"build_{seed}",
                seed=seed,
                progress=lambda line: progress(line, 0, 0),
            )
        figures |= {
            "fmax_mhz": made.fmax_mhz,
            "clock_mhz": made.clock_mhz,
            "images_per_s": 1e6 * made.clock_mhz / figures["cycles_per_image"],
            "lut": made.lut.used,
            "bram": made.bram.used,
            "dsp": made.dsp.used,
            "bitstream": made.bitstream.name,
        }
    figures["met"] = _met(figures, goal)
    console.print_json(data=figures)
    if output is not None:
        output.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(0 if figures["met"] else 1)


def _enough(board: Board, clock_mhz: float) -> Board:
    """``board`` with place-and-route content with that clock."""
    clock = board.clock.model_copy(update={"enough_hz": round(1e6 * clock_mhz)})
    return board.model_copy(update={"clock": clock}) if clock_mhz else board


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
    built = figures.get("images_per_s", 0) >= target.images_per_s
    return bool(
        not figures["mismatches"]
        and figures["accuracy"] >= target.accuracy
        and built
        and figures["clock_mhz"] >= target.clock_mhz
        and busiest >= target.lane_share
    )


if __name__ == "__main__":
    typer.run(main)
