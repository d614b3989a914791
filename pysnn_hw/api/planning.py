# SPDX-License-Identifier: BSD-2-Clause
"""How a network is laid out on a board, and what that is predicted to cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pysnn_hw import plan as planner
from pysnn_hw.api.sample import images_for, spread
from pysnn_hw.config import Objective
from pysnn_hw.data import Dataset
from pysnn_hw.errors import DataError, PlanError
from pysnn_hw.golden import simulate
from pysnn_hw.ir.file import load
from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.pipeline.files import write_json
from pysnn_hw.plan import Activity, Board, Plan, Schedule, load_board
from pysnn_hw.progress import Progress, silent

SAMPLE_IMAGES = (12, 64)
"""Calibration images whose spikes the prediction of cycles rests on: least and most."""
SAMPLE_MACS = 600e6
"""Dense operations of them all together, if that lies between: a plan takes seconds."""


@dataclass(frozen=True)
class LayerCycles:
    """What one population takes of its core's cycles."""

    layer: str
    accumulate_cycles: float
    fire_cycles: float
    overhead_cycles: float


@dataclass(frozen=True)
class PlannedCore:
    """One core: its populations, and SOPs side by side over output channels and kernel taps.

    The cycles are means over the sample images: events waiting to be accumulated, firing and
    sending, and both with the filling of pipelines.
    """

    layers: tuple[str, ...]
    lanes: int
    taps: int
    lane_kind: str
    accumulate_cycles: float
    fire_cycles: float
    predicted_cycles: float
    by_layer: tuple[LayerCycles, ...]


@dataclass(frozen=True)
class Blocks:
    """Memory blocks of a core for one purpose; of the design around the cores if it has no name."""

    core: str
    purpose: str
    blocks: int


@dataclass(frozen=True)
class Remedy:
    """A board, widths of weights by the population where they end, share of weight bits lost."""

    board: str
    weight_bits: Mapping[str, int]
    given_up: float


@dataclass(frozen=True)
class Planning:
    """Answer of `plan`.

    Attributes
    ----------
    sample
        Where the images come from that the cycles are predicted for.
    cycles_per_image
        Predicted interval between images.
    clock_mhz, clock_band_mhz
        Predicted clock, and from where to where it is to be expected; None if the design does not
        fit, or nothing is known of devices of this speed.
    images_per_s
        At that clock.
    lut, bram, dsp, spram
        Predicted use of the board's resources, host link included.
    fits, shortfalls
        Whether the board holds it; if not, what is missing and what helps.
    memories
        Where the memory blocks are.
    worth
        By resource: how many times as fast the fastest design would be with a tenth more of it.
    remedies
        Changes of which each alone makes the network fit a board, if it does not.
    advice
        What sets the pace, which resource binds, what would help.
    schedule
        The document that `generate`, `verify` and `build` take.
    """

    board: str
    sample: str
    cores: tuple[PlannedCore, ...]
    cycles_per_image: float
    clock_mhz: float | None
    clock_band_mhz: tuple[float, float] | None
    images_per_s: float | None
    lut: int
    bram: int
    dsp: int
    spram: int
    fits: bool
    shortfalls: tuple[str, ...]
    memories: tuple[Blocks, ...]
    worth: Mapping[str, float]
    remedies: tuple[Remedy, ...]
    advice: tuple[str, ...]
    schedule: Mapping[str, Any]


def plan(
    network: str | Path,
    board: str,
    *,
    data: str | Path | None = None,
    target_cycles: float | None = None,
    objective: Objective = "balanced",
    output: str | Path | None = None,
    progress: Progress = silent,
) -> Planning:
    """Lay out a network file on a board, as fast as the board's budget allows.

    Parameters
    ----------
    network
        A ``.snn`` file.
    board
        A name of `boards`, or a ``.toml`` file.
    data
        Where the images come from whose spikes the cycles are predicted for (its training images,
        or else its test images). By default the bundled data set if its images fit the network,
        otherwise random images.
    target_cycles
        Spend no more than this interval between images needs.
    objective
        ``balanced``: most images per second for the share of the board that it takes;
        ``throughput``: most images per second; ``latency``: the earliest result; ``smallest``.
    output
        File to write the schedule to, for `generate`, `verify` and `build`.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        If the file, the board or the data set is unusable.
    """
    net = load(Path(network))
    target = load_board(board)
    dataset = images_for(net, data)
    progress(f"plan {target.name}", 0, 1)
    activity = sample_activity(net, dataset)
    planned = planner.plan(net, target, activity, target_cycles=target_cycles, objective=objective)
    progress(f"plan {target.name}", 1, 1)
    if output is not None:
        write_json(Path(output), planned.schedule.to_json())
    return planning(planned, dataset.name)


def planning(planned: Plan, sample: str) -> Planning:
    """The figures of a plan that rests on images of the data set ``sample``."""
    cost, clock, rate = planned.cost, planned.clock, planned.images_per_s
    return Planning(
        board=planned.board.name,
        sample=sample,
        cores=tuple(
            PlannedCore(
                layers=core.populations,
                lanes=core.lanes,
                taps=core.banks[0] * core.banks[1],
                lane_kind=core.lane_kind,
                accumulate_cycles=round(cycles.accumulate, 1),
                fire_cycles=round(cycles.fire, 1),
                predicted_cycles=round(cycles.total, 1),
                by_layer=tuple(
                    LayerCycles(
                        layer=part.core,
                        accumulate_cycles=round(part.accumulate, 1),
                        fire_cycles=round(part.fire, 1),
                        overhead_cycles=round(part.overhead, 1),
                    )
                    for part in layers
                ),
            )
            for core, cycles, layers in zip(
                planned.schedule.cores, planned.cycles, planned.layers, strict=True
            )
        ),
        cycles_per_image=round(planned.cycles_per_image, 1),
        clock_mhz=None if clock is None else round(clock.mhz, 1),
        clock_band_mhz=None if clock is None else (round(clock.low_mhz), round(clock.high_mhz)),
        images_per_s=None if rate is None else round(rate, 1),
        lut=round(cost.lut),
        bram=cost.bram,
        dsp=cost.dsp,
        spram=cost.spram,
        fits=planned.fits,
        shortfalls=tuple(map(str, planned.shortfalls)),
        memories=tuple(Blocks(b.core, b.purpose, b.blocks) for b in planned.blocks),
        worth={name: round(gain, 4) for name, gain in planned.worth},
        remedies=tuple(
            Remedy(r.board, r.weight_bits, round(r.given_up, 4)) for r in planned.remedies
        ),
        advice=planned.advice,
        schedule=planned.schedule.to_json(),
    )


def sample_activity(net: FixedNetwork, dataset: Dataset) -> Activity:
    """Spikes of some calibration images, spread over the data set."""
    macs = sum(p.as_conv(net.shape_of(p.source)).macs for p in net.projections)
    least, most = SAMPLE_IMAGES
    count = min(max(int(SAMPLE_MACS / (macs * net.total_steps)), least), most)
    images = dataset.x_test if dataset.x_train is None else dataset.x_train
    sample = spread(images, count)
    result = simulate(net, sample, trace=True)
    if result.trace is None:
        raise DataError(dataset.name, "the simulator kept no trace")
    return Activity.of(net, sample, result.trace.spikes, result.steps)


def chosen_schedule(
    net: FixedNetwork, board: Board, dataset: Dataset, file: str | Path | None, progress: Progress
) -> Schedule:
    """The schedule in ``file``, or the one that `plan` finds for the board.

    Raises
    ------
    PlanError
        If the file is no schedule of this network.
    """
    if file is None:
        progress(f"plan {board.name}", 0, 1)
        planned = planner.plan(net, board, sample_activity(net, dataset))
        progress(f"plan {board.name}", 1, 1)
        return planned.schedule
    try:
        schedule = Schedule.from_json(json.loads(Path(file).read_text(encoding="utf-8")))
    except ValueError as e:
        raise PlanError(str(file), "is not JSON", "write one with generate") from e
    for population in net.populations:
        schedule.core_of(population.name)
    return schedule
