# SPDX-License-Identifier: BSD-2-Clause
"""What a schedule is predicted to do and to cost on a board."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.plan.activity import Activity, CoreCycles, core_cycles
from pysnn_hw.plan.board import Board
from pysnn_hw.plan.budget import Shortfall, shortfalls, total_cost
from pysnn_hw.plan.clock import Clock, predicted_clock
from pysnn_hw.plan.cost import Cost
from pysnn_hw.plan.cycles import chain_timing
from pysnn_hw.plan.layer_cycles import shared_core_cycles, shared_layer_cycles
from pysnn_hw.plan.layers import layer_program
from pysnn_hw.plan.memory_map import BlockUse, block_uses
from pysnn_hw.plan.remedies import Remedy
from pysnn_hw.plan.schedule import CorePlan, Schedule


@dataclass(frozen=True, eq=False)
class Plan:
    """A schedule with what it is predicted to do and cost.

    Attributes
    ----------
    cycles
        Mean busy cycles per image of each core on the sample images.
    cycles_per_image
        Mean interval between the results of consecutive sample images (`chain_timing`). Of a design
        that no board holds (`rough`): the busy cycles of its busiest core.
    latency_cycles
        From the first integer of an image to its last score, in an idle accelerator; `rough`: the
        busy cycles of all cores.
    cost
        Predicted resources, link included.
    shortfalls
        Empty if the design fits the board.
    clock
        What the board is likely to run it at; None if it does not fit, or no design was ever built
        for a device of this speed.
    layers
        Per core, its busy cycles by population, in the order in which they run.
    blocks
        Where the memory blocks are.
    worth
        Resource, and how many times as fast the fastest design would be with a tenth more of it.
    remedies
        Changes of which each alone would make a design fit that does not.
    advice
        Sentences for the user: what sets the pace, what binds, what would help.
    """

    schedule: Schedule
    board: Board
    cycles: tuple[CoreCycles, ...]
    cycles_per_image: float
    latency_cycles: float
    cost: Cost
    shortfalls: tuple[Shortfall, ...]
    clock: Clock | None = None
    layers: tuple[tuple[CoreCycles, ...], ...] = ()
    blocks: tuple[BlockUse, ...] = ()
    worth: tuple[tuple[str, float], ...] = ()
    remedies: tuple[Remedy, ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the board holds it."""
        return not self.shortfalls

    @property
    def images_per_s(self) -> float | None:
        """At the predicted clock."""
        return None if self.clock is None else 1e6 * self.clock.mhz / self.cycles_per_image

    def to_json(self) -> dict[str, Any]:
        """The document that ``pysnn-hw plan --json`` prints."""
        cores = []
        for core, cycles in zip(self.schedule.cores, self.cycles, strict=True):
            cores.append(
                {
                    "layers": list(core.populations),
                    "lanes": core.lanes,
                    "taps": core.banks[0] * core.banks[1],
                    "lane_kind": core.lane_kind,
                    "cycles": round(cycles.total, 1),
                    "accumulate_cycles": round(cycles.accumulate, 1),
                    "fire_cycles": round(cycles.fire, 1),
                }
            )
        return {
            "board": self.board.name,
            "cores": cores,
            "cycles_per_image": round(self.cycles_per_image, 1),
            "latency_cycles": round(self.latency_cycles, 1),
            "clock": None if self.clock is None else asdict(self.clock),
            "images_per_s": self.images_per_s,
            "lut": round(self.cost.lut),
            "bram": self.cost.bram,
            "dsp": self.cost.dsp,
            "spram": self.cost.spram,
            "fits": self.fits,
            "shortfalls": [str(s) for s in self.shortfalls],
            "remedies": [
                {
                    "board": r.board,
                    "weight_bits": dict(r.weight_bits),
                    "given_up": round(r.given_up, 4),
                }
                for r in self.remedies
            ],
            "advice": list(self.advice),
            "schedule": self.schedule.to_json(),
        }


def evaluate(net: FixedNetwork, schedule: Schedule, board: Board, activity: Activity) -> Plan:
    """Predict what a given schedule does and costs on a board."""
    cycles = tuple(busy_cycles(net, schedule, activity, core) for core in schedule.cores)
    cost = total_cost(net, schedule)
    timing = chain_timing(net, schedule, activity)
    # The first interval still fills the pipeline; a single sample has only its latency.
    interval = timing.interval[1:] if activity.images > 2 else timing.latency
    return Plan(
        schedule,
        board,
        cycles,
        float(interval.mean()),
        float(timing.latency[0]),
        cost,
        shortfalls(board, cost),
        predicted_clock(net, schedule, board, cost.lut),
    )


def rough(net: FixedNetwork, schedule: Schedule, board: Board, activity: Activity) -> Plan:
    """`evaluate` without exact timing, which takes long where a large network has few lanes."""
    cycles = tuple(busy_cycles(net, schedule, activity, core) for core in schedule.cores)
    cost, totals = total_cost(net, schedule), [c.total for c in cycles]
    missing = shortfalls(board, cost)
    return Plan(schedule, board, cycles, max(totals), sum(totals), cost, missing)


def detailed(net: FixedNetwork, found: Plan, activity: Activity) -> Plan:
    """``found`` with its cycles by layer, and where its memory blocks are."""
    schedule = found.schedule
    layers = tuple(layer_cycles(net, schedule, activity, core) for core in schedule.cores)
    return replace(found, layers=layers, blocks=block_uses(net, schedule))


def layer_cycles(
    net: FixedNetwork, schedule: Schedule, activity: Activity, core: CorePlan
) -> tuple[CoreCycles, ...]:
    """`busy_cycles` by population, in the order in which the core runs them."""
    if core.shared:
        return shared_layer_cycles(layer_program(net, core), activity, core.lane_kind)
    return (core_cycles(net, schedule, activity, core),)


def busy_cycles(
    net: FixedNetwork, schedule: Schedule, activity: Activity, core: CorePlan
) -> CoreCycles:
    """Mean busy cycles per image of a core, shared or not, on the sample images."""
    if core.shared:
        return shared_core_cycles(layer_program(net, core), activity, core.lane_kind)
    return core_cycles(net, schedule, activity, core)
