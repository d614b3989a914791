# SPDX-License-Identifier: BSD-2-Clause
"""Every way to run a population on a core of its own, or several on a shared one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import gcd

import numpy as np

from pysnn_hw.errors import PlanError
from pysnn_hw.ir.snn import FixedNetwork, Projection
from pysnn_hw.ir.widths import signed_bits
from pysnn_hw.plan.activity import Activity, core_cycles
from pysnn_hw.plan.board import Board
from pysnn_hw.plan.budget import available
from pysnn_hw.plan.core_cost import core_cost
from pysnn_hw.plan.cost import Cost
from pysnn_hw.plan.geometry import fits_lanes
from pysnn_hw.plan.layer_cycles import shared_core_cycles
from pysnn_hw.plan.layers import layer_program
from pysnn_hw.plan.memory import block_count
from pysnn_hw.plan.schedule import CorePlan, LaneKind, MemoryKind, Schedule
from pysnn_hw.plan.shared_cost import shared_core_cost

MOST_LANES = 64
"""Output channels side by side, at most."""

SHARED_LANES = (4, 8, 16, 32)
"""Of a shared core. Wider words leave small layers idle, narrower ones are all overhead."""

SHARED_BANKS = (1, 2, 3, 4, 6, 9)
"""Membrane banks of a shared core."""

SHARED_FOLDINGS = tuple(product(SHARED_LANES, SHARED_BANKS))
"""All (lanes, banks) of a shared core."""


@dataclass(frozen=True)
class Option:
    """One way to run some populations: its core, cycles per image, cost."""

    core: CorePlan
    cycles: float
    cost: Cost


def dedicated_options(
    net: FixedNetwork, board: Board, base: Schedule, population: str, activity: Activity
) -> list[Option]:
    """Every folding of a core of its own for ``population``; ``base`` says who pools.

    Raises
    ------
    PlanError
        If there is none.
    """
    found = []
    core = base.core_of(population)
    for candidate in _foldings(net, board, core):
        schedule = replace(base, cores=tuple(candidate if c is core else c for c in base.cores))
        try:
            cycles = core_cycles(net, schedule, activity, candidate)
            cost = core_cost(net, schedule, candidate, board.device.family)
        except PlanError:
            continue
        found.append(Option(candidate, cycles.total, cost))
    if not found:
        raise PlanError(f"population {population}", "has no folding that can be built")
    return found


def shared_options(
    net: FixedNetwork,
    board: Board,
    populations: Sequence[str],
    activity: Activity,
    foldings: Iterable[tuple[int, int]] = SHARED_FOLDINGS,
    *,
    limited: bool = True,
) -> list[Option]:
    """Every shared core for ``populations`` whose memories the board could hold, if there is one.

    ``foldings`` are the (lanes, banks) that are tried; with ``limited`` off, those count too that
    no board could hold.
    """
    family = board.device.family
    blocks = available(board)["bram"] if limited else np.inf
    inside = [p for name in populations for p in net.into(name)]
    synapses = sum(p.weight.size for p in inside if p.kind != "identity")
    if synapses * _weight_bits(inside) > blocks * board.budget.bram.bits:
        return []
    channels = [net.shape_of(name)[0] for name in populations]
    common = gcd(*channels, *(net.shape_of(p.source)[0] for p in inside))
    kinds: tuple[LaneKind, ...] = ("lut", "dsp") if board.budget.dsps else ("lut",)
    found = []
    for lanes, banks in foldings:
        if common % lanes:
            continue
        core = CorePlan(tuple(populations), (), lanes, (1, banks))
        try:
            program = layer_program(net, core)
        except PlanError:
            continue
        if block_count(family, program.spikes.words, 4 * lanes) > blocks:
            continue
        for kind in kinds:
            cost = shared_core_cost(program, kind, family)
            if cost.bram > blocks:
                break
            cycles = shared_core_cycles(program, activity, kind).total
            found.append(Option(replace(core, lane_kind=kind), cycles, cost))
    return found


def _weight_bits(projections: Sequence[Projection]) -> int:
    """Width that holds every weight."""
    low = min(p.weight_range[0] for p in projections)
    return signed_bits(low, max(p.weight_range[1] for p in projections))


def _foldings(net: FixedNetwork, board: Board, core: CorePlan) -> list[CorePlan]:
    population = net.population(core.population)
    incoming = net.into(core.population)
    views = [p.as_conv(net.shape_of(p.source)) for p in incoming]
    lanes = [n for n in range(1, MOST_LANES + 1) if all(fits_lanes(v, n) for v in views)]
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
    if board.device.family in ("ecp5", "nexus", "xilinx7"):
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
