# SPDX-License-Identifier: BSD-2-Clause
"""What boards would make of a network: designs of the planner, with predicted speed and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from pysnn_hw.errors import PlanError
from pysnn_hw.explore.clock import hoped_clock_hz, predicted_clock_hz
from pysnn_hw.golden import simulate
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.plan import Activity, Board, Objective, Plan, evaluate, plan_each
from pysnn_hw.plan.budget import share
from pysnn_hw.plan.cycles import chain_timing

ACTIVITY_IMAGES = 8
"""Images that designs are planned on."""
JUDGED_IMAGES = 64
"""Images that the cycles of a planned design are predicted for, at most."""
JUDGED_MACS = 300e6
"""Dense operations of them all together, at most: a prediction takes seconds."""
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


@dataclass(frozen=True)
class Design:
    """A network on a board, as planned.

    Attributes
    ----------
    board, objective
        What was planned for: a board's name, and the planner's objective.
    cycles, latency_cycles
        From one image to the next, and from first integer to last score of a lone one.
    clock_hz, hoped_clock_hz
        What the clock is expected to be, and what it may come to at best.
    lut, bram, dsp, spram
        Resources, host link included.
    board_luts, share
        LUTs of the whole board, and the largest share of a memory or of the logic that is taken.
    shortfalls
        What the board lacks, in sentences; empty if the design fits.
    """

    board: str
    objective: Objective
    cycles: float
    latency_cycles: float
    clock_hz: float
    hoped_clock_hz: float
    lut: int
    bram: int
    dsp: int
    spram: int
    board_luts: int
    share: float
    shortfalls: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the board holds it."""
        return not self.shortfalls

    @property
    def images_per_s(self) -> float:
        """At the expected clock."""
        return self.clock_hz / self.cycles

    @property
    def latency_us(self) -> float:
        """Of a lone image at the expected clock."""
        return 1e6 * self.latency_cycles / self.clock_hz

    @property
    def size(self) -> tuple[int, float]:
        """Orders designs by what they take: a smaller board first, then a smaller share of it."""
        return self.board_luts, self.share

    def no_dearer(self, other: Design) -> bool:
        """Whether it is as fast as ``other`` on the same board, and takes no more of it."""
        return (
            self.board == other.board
            and self.fits >= other.fits
            and self.images_per_s >= other.images_per_s
            and self.latency_us <= other.latency_us
            and self.share <= other.share
        )

    @staticmethod
    def of(planned: Plan, objective: Objective, latency_cycles: float) -> Design:
        """The figures of a plan, and the latency of a lone image."""
        cost = planned.cost
        return Design(
            board=planned.board.name,
            objective=objective,
            cycles=planned.cycles_per_image,
            latency_cycles=latency_cycles,
            clock_hz=predicted_clock_hz(planned),
            hoped_clock_hz=hoped_clock_hz(planned),
            lut=round(cost.lut),
            bram=cost.bram,
            dsp=cost.dsp,
            spram=cost.spram,
            board_luts=planned.board.budget.luts,
            share=share(planned.board, cost),
            shortfalls=tuple(map(str, planned.shortfalls)),
        )

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Design:
        """Inverse of `dataclasses.asdict`, lists for tuples."""
        return Design(**{**document, "shortfalls": tuple(document["shortfalls"])})


def sample_of(images: Array, count: int) -> Array:
    """``count`` of raw ``images`` (N, C, H, W) at even distances, or all: they may be sorted."""
    where = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64)
    return np.asarray(images[where])


def activity_of(net: FixedNetwork, images: Array, count: int = ACTIVITY_IMAGES) -> Activity:
    """Spike trains of ``count`` of raw ``images`` (N, C, H, W)."""
    sample = sample_of(images, count)
    result = simulate(net, sample, trace=True)
    if result.trace is None:
        raise PlanError("activity", "the simulator kept no trace")
    return Activity.of(net, sample, result.trace.spikes, result.steps)


def designs_for(net: FixedNetwork, images: Array, boards: Sequence[Board]) -> tuple[Design, ...]:
    """A design for each of the planner's objectives on each board; like ones once.

    A board that does not hold the network has one design, with its shortfalls.

    Raises
    ------
    PlanError
        If hardware has no core for the network.
    """
    activity = activity_of(net, images)
    affordable = int(JUDGED_MACS / (net.dense_macs * net.total_steps))
    judged = activity_of(net, images, min(max(affordable, ACTIVITY_IMAGES), JUDGED_IMAGES))
    found: list[Design] = []
    refusals: list[PlanError] = []
    for board in boards:
        try:
            plans = plan_each(net, board, activity, OBJECTIVES)
        except PlanError as e:
            refusals.append(e)
            continue
        schedules = []
        for planned, objective in zip(plans, OBJECTIVES, strict=True):
            if planned.schedule not in schedules:
                schedules.append(planned.schedule)
                exact = evaluate(net, planned.schedule, board, judged)
                found.append(Design.of(exact, objective, _lone(net, planned, activity)))
    if not found:
        raise refusals[0]
    return tuple(found)


def _lone(net: FixedNetwork, planned: Plan, activity: Activity) -> float:
    """Cycles from first integer to last score of an image in an idle accelerator, on average."""
    found = []
    for k in range(activity.images):
        steps = None if activity.steps is None else activity.steps[k : k + 1]
        spikes = {name: values[k : k + 1] for name, values in activity.spikes.items()}
        alone = Activity(activity.inputs[k : k + 1], spikes, steps)
        found.append(float(chain_timing(net, planned.schedule, alone).latency[0]))
    return sum(found) / len(found)
