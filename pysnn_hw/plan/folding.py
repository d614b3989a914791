# SPDX-License-Identifier: BSD-2-Clause
"""Folding: lanes, banks, lane kind and memories per core, for a board's budget.

Each core gets the cheapest folding that keeps pace with a target interval between images; targets
are tried from the fastest that the image's arrival allows to the slowest core's single lane.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from pysnn_hw.errors import PlanError
from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.plan.activity import Activity, CoreCycles, core_cycles
from pysnn_hw.plan.board import Board
from pysnn_hw.plan.cost import Cost, core_cost, network_cost
from pysnn_hw.plan.cycles import chain_timing
from pysnn_hw.plan.geometry import fits_lanes
from pysnn_hw.plan.memory import Family
from pysnn_hw.plan.schedule import CorePlan, LaneKind, MemoryKind, Schedule, simple_schedule

LINK_COST = {"ecp5": Cost(lut=1200, ff=700, bram=3), "ice40": Cost(lut=1250, ff=900, bram=4)}
"""Host link and clock crossings."""

BOOT_COST = {"ecp5": Cost(), "ice40": Cost(lut=450, ff=300, bram=1)}
"""What loads weights into memories that a bitstream cannot fill, if there are any."""

LUT_LIMIT = {"ecp5": 0.80, "ice40": 0.97}
"""Share of the LUTs that a design may use and still place and route at speed."""

BLOCK_LIMIT = {"ecp5": 1.0, "ice40": 0.9}
"""Share of the memory blocks, likewise: the last ones lie far from the logic."""


@dataclass(frozen=True)
class Shortfall:
    """A resource of which the design needs more than the board has."""

    resource: str
    needed: int
    available: int
    remedy: str

    def __str__(self) -> str:
        return (
            f"needs {self.needed} {self.resource} of {self.available} "
            f"({self.needed - self.available} too many); {self.remedy}"
        )


@dataclass(frozen=True, eq=False)
class Plan:
    """A schedule with what it is predicted to do and cost.

    Attributes
    ----------
    cycles
        Mean busy cycles per image of each core on the sample images.
    cycles_per_image
        Mean interval between the results of consecutive sample images (`chain_timing`).
    latency_cycles
        From the first integer of an image to its last score, in an idle accelerator.
    cost
        Predicted resources, link included.
    shortfalls
        Empty if the design fits the board.
    """

    schedule: Schedule
    board: Board
    cycles: tuple[CoreCycles, ...]
    cycles_per_image: float
    latency_cycles: float
    cost: Cost
    shortfalls: tuple[Shortfall, ...]

    @property
    def fits(self) -> bool:
        """Whether the board holds it."""
        return not self.shortfalls

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
            "lut": round(self.cost.lut),
            "bram": self.cost.bram,
            "dsp": self.cost.dsp,
            "spram": self.cost.spram,
            "fits": self.fits,
            "shortfalls": [str(s) for s in self.shortfalls],
            "schedule": self.schedule.to_json(),
        }


@dataclass(frozen=True)
class _Option:
    core: CorePlan
    cycles: CoreCycles
    cost: Cost


def plan(
    net: FixedNetwork, board: Board, activity: Activity, *, target_cycles: float | None = None
) -> Plan:
    """Fold ``net`` for ``board``.

    Without a target: the folding with the most images per second for the share of the board that
    it takes, which also keeps place-and-route short. With one: the cheapest that reaches it, or
    the fastest that fits if none does (a target of 0 asks for just that).

    Parameters
    ----------
    net
        The network.
    board
        Its budget is the limit.
    activity
        Spike trains of sample images (calibration images, some tens).
    target_cycles
        Wanted cycles between images.

    Returns
    -------
    Plan
        If no folding fits: the smallest, with its shortfalls.
    """
    family: Family = board.device.family
    base = simple_schedule(net)
    options = [_options(net, board, base, core, activity) for core in base.cores]
    floor = float(arrival_cycles(net)) if target_cycles is None else target_cycles
    pace = sorted({max(floor, o.cycles.total) for choices in options for o in choices})
    found = {
        target: schedule
        for target in _ladder(pace)
        if (schedule := _fit(net, board, options, target)) is not None
    }
    if not found:
        smallest = tuple(_cheapest(choices, board, _WEIGHTS[0]).core for choices in options)
        return evaluate(net, Schedule(smallest, family), board, activity, family=family)
    if target_cycles is not None:
        best = found[min(found)]
    else:
        best = min(found.items(), key=lambda item: item[0] * _share(net, item[1], board))[1]
    return evaluate(net, best, board, activity, family=family)


def _ladder(targets: list[float]) -> list[float]:
    """Targets at least 4 % apart: finer steps change the folding little and take long."""
    ladder: list[float] = []
    for target in targets:
        if not ladder or target > 1.04 * ladder[-1]:
            ladder.append(target)
    return ladder


def _total_cost(net: FixedNetwork, schedule: Schedule, family: Family) -> Cost:
    """Cost of a schedule with everything around it."""
    cost = network_cost(net, schedule, family) + LINK_COST[family]
    booted = any(i.weight_memory == "spram" for core in schedule.cores for i in core.inputs)
    return cost + BOOT_COST[family] if booted else cost


def _share(net: FixedNetwork, schedule: Schedule, board: Board) -> float:
    """The largest share of a resource that a schedule uses, link included."""
    cost = _total_cost(net, schedule, board.device.family)
    available = _available(board)
    return float(max(getattr(cost, n) / max(available[n], 1) for n in ("lut", "bram", "spram")))


def evaluate(
    net: FixedNetwork,
    schedule: Schedule,
    board: Board,
    activity: Activity,
    *,
    family: Family | None = None,
) -> Plan:
    """Predict what a given schedule does and costs on a board."""
    family = family or board.device.family
    cycles = tuple(core_cycles(net, schedule, activity, core) for core in schedule.cores)
    cost = _total_cost(net, schedule, family)
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
    )


_REMEDIES = {
    "lut": "use fewer weight bits or fewer levels (n), or a larger board",
    "bram": "use fewer weight bits or a smaller network, or a larger board",
    "dsp": "use fewer lanes",
    "spram": "use fewer weight bits or a smaller network, or a larger board",
}


def _available(board: Board) -> dict[str, int]:
    budget = board.budget
    return {
        "lut": int(budget.luts * LUT_LIMIT[board.device.family]),
        "bram": int(budget.bram.count * BLOCK_LIMIT[board.device.family]),
        "dsp": budget.dsps,
        "spram": budget.spram.count if budget.spram is not None else 0,
    }


def shortfalls(board: Board, cost: Cost) -> tuple[Shortfall, ...]:
    """The resources of which ``cost`` exceeds the board's budget."""
    result = []
    for name, available in _available(board).items():
        needed = round(getattr(cost, name))
        if needed > available:
            result.append(Shortfall(name.upper(), needed, available, _REMEDIES[name]))
    return tuple(result)


def _options(
    net: FixedNetwork, board: Board, base: Schedule, core: CorePlan, activity: Activity
) -> list[_Option]:
    """Every folding of one core that can be built, with its cycles and cost."""
    found = []
    for candidate in _candidates(net, board, core):
        schedule = Schedule(
            tuple(candidate if c.population == core.population else c for c in base.cores),
            board.device.family,
        )
        try:
            cycles = core_cycles(net, schedule, activity, candidate)
            cost = core_cost(net, schedule, candidate, board.device.family)
        except PlanError:
            continue
        found.append(_Option(candidate, cycles, cost))
    if not found:
        raise PlanError(f"population {core.population}", "has no folding that can be built")
    return found


def _candidates(net: FixedNetwork, board: Board, core: CorePlan) -> list[CorePlan]:
    population = net.population(core.population)
    incoming = [next(p for p in net.projections if p.name == i.projection) for i in core.inputs]
    views = [p.as_conv(net.shape_of(p.source)) for p in incoming]
    lanes = [n for n in range(1, 65) if all(fits_lanes(v, n) for v in views)]
    reach = [
        max(min(-(-v.weight.shape[2 + a] // v.stride[a]), v.out_shape[1 + a]) for v in views)
        for a in (0, 1)
    ]
    banks = sorted({(1, 1), (1, reach[1]), (reach[0], reach[1])})
    top = max(net.value_range(p)[1] for p in incoming)
    negative = any(net.value_range(p)[0] < 0 for p in incoming)
    kinds: list[LaneKind] = ["add"] if top == 1 and not negative else ["lut"]
    if kinds == ["lut"] and board.budget.dsps:
        kinds.append("dsp")
    if kinds[0] == "lut" and not negative:
        kinds.append("shift")
    memories: list[MemoryKind] = ["block"]
    if board.device.family == "ecp5":
        memories.append("lut")
    weights: list[MemoryKind] = ["block", "lut"]
    if board.budget.spram is not None:
        weights.append("spram")
    depth = _queue_depth(board, population.kind)
    return [
        replace(
            core,
            lanes=n,
            banks=b,
            lane_kind=kind,
            membrane_memory=membrane,
            inputs=tuple(
                replace(port, weight_memory=weight, queue_depth=depth) for port in core.inputs
            ),
        )
        for n, b, kind, membrane, weight in product(lanes, banks, kinds, memories, weights)
    ]


def _queue_depth(board: Board, kind: str) -> int:
    """One block RAM's worth of events on a large device, half of one on a small."""
    if board.device.family == "ice40":
        return 130
    return 514 if kind == "fire" else 258


_WEIGHTS: tuple[dict[str, float], ...] = (
    {"lut": 1.0, "bram": 1.0, "dsp": 0.3, "spram": 0.3},
    {"lut": 2.0, "bram": 1.0, "dsp": 0.1, "spram": 0.1},
    {"lut": 1.0, "bram": 3.0, "dsp": 0.3, "spram": 0.1},
    {"lut": 3.0, "bram": 3.0, "dsp": 0.1, "spram": 0.1},
    {"lut": 1.0, "bram": 1.0, "dsp": 4.0, "spram": 2.0},
)
"""Relative prices at which the cheapest folding is sought; the first that fits is taken.

Multipliers have no other use, so they are cheap; those of `_DSP_PRICE` cost more than that.
"""

_DSP_PRICE = {"ecp5": 10.0, "ice40": 0.3}
"""A large device has logic to spare, and the ways to and from the few columns of multipliers would
limit the clock: they are the last resort there. A small one needs every logic cell."""


def _price(cost: Cost, board: Board, weights: dict[str, float]) -> float:
    available = _available(board)
    price = 0.0
    for name, count in available.items():
        weight = weights[name] * (_DSP_PRICE[board.device.family] if name == "dsp" else 1.0)
        price += weight * getattr(cost, name) / max(count, 1)
    return price


def _cheapest(choices: list[_Option], board: Board, weights: dict[str, float]) -> _Option:
    return min(choices, key=lambda o: (_price(o.cost, board, weights), o.cycles.total))


def _fit(
    net: FixedNetwork, board: Board, options: list[list[_Option]], target: float
) -> Schedule | None:
    """The cheapest schedule that keeps the target and fits, or None."""
    allowed = [[o for o in choices if o.cycles.total <= target] for choices in options]
    if not all(allowed):
        return None
    family: Family = board.device.family
    for weights in _WEIGHTS:
        chosen = tuple(_cheapest(choices, board, weights).core for choices in allowed)
        schedule = Schedule(chosen, family)
        cost = _total_cost(net, schedule, family)
        if not shortfalls(board, cost):
            return schedule
    return None


def arrival_cycles(net: FixedNetwork) -> int:
    """Cycles that an image takes to enter: one per integer, one for its end."""
    c, h, w = net.input.shape
    return c * h * w + 1
