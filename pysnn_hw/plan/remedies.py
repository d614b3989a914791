# SPDX-License-Identifier: BSD-2-Clause
"""The least change with which a network that is too large for a board would fit.

Sought with layouts that are at hand (`Problem.compact`): each change found really makes the network
fit, as a layout proves that. A planner that starts anew with the changed network may need less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pysnn_hw.ir.snn import Array, FixedNetwork, Projection
from pysnn_hw.ir.widths import signed_bits
from pysnn_hw.plan.board import Board, list_boards, load_board
from pysnn_hw.plan.budget import RESOURCES, available, shortfalls, surroundings_cost, total_cost
from pysnn_hw.plan.chain import MOST_KEPT, pareto, thinned
from pysnn_hw.plan.memory import Family
from pysnn_hw.plan.network_cost import outer_cost, unit_cost
from pysnn_hw.plan.schedule import CorePlan, InputPort, Schedule

FEWEST_BITS = 2
"""Of a weight, sign included."""


@dataclass(frozen=True)
class Remedy:
    """A board, and weights that are narrower than they were.

    Attributes
    ----------
    board
        Where the network then fits.
    weight_bits
        New width of all weights into a population, by its name; of the others nothing changes.
    given_up
        Share of all weight bits that this takes away, 0..1.
    schedule
        A layout that fits.
    """

    board: str
    weight_bits: Mapping[str, int]
    given_up: float
    schedule: Schedule


def remedies(net: FixedNetwork, layouts: Sequence[Schedule], board: Board) -> tuple[Remedy, ...]:
    """Changes of which each alone makes ``net`` fit, those on the board itself first.

    If neither narrower weights nor another board is enough: both together, on the board that takes
    away the fewest bits. Empty if nothing of all that helps.

    Parameters
    ----------
    net
        The network.
    layouts
        Schedules to try.
    board
        Where it does not fit.
    """
    nets = {bits: narrowed(net, bits) for bits in range(FEWEST_BITS, _widest(net) + 1)}
    own = _narrowest(net, nets, layouts, board)
    others = [b for name in list_boards() if (b := load_board(name)).name != board.name]
    others.sort(key=lambda b: (b.budget.luts, b.budget.bram.count, b.name))
    found = [] if own is None else [own]
    for other in others:
        for layout in layouts:
            moved = on_family(layout, other.device.family)
            if not shortfalls(other, total_cost(net, moved)):
                found.append(Remedy(other.name, {}, 0.0, moved))
                break
    if not found:
        both = [_narrowest(net, nets, layouts, other) for other in others]
        found = sorted((r for r in both if r is not None), key=lambda r: r.given_up)[:1]
    return tuple(found)


def narrowed(net: FixedNetwork, bits: int | Mapping[str, int]) -> FixedNetwork:
    """A network as large as ``net`` with weights of so many bits; it computes nothing sensible.

    ``bits`` may be by the name of the population where they end; the others stay as they are.
    """

    def shifted(p: Projection) -> Projection:
        wanted = bits if isinstance(bits, int) else bits.get(p.target, weight_bits(p))
        excess = weight_bits(p) - wanted
        if p.kind == "identity" or excess <= 0:
            return p
        return replace(p, weight=np.asarray(p.weight) >> excess)

    return replace(net, projections=tuple(shifted(p) for p in net.projections))


def weight_bits(projection: Projection) -> int:
    """Width of its weights."""
    return signed_bits(*projection.weight_range)


def on_family(schedule: Schedule, family: Family) -> Schedule:
    """``schedule`` with memories that devices of ``family`` have."""
    if schedule.family == family:
        return schedule

    def port(entry: InputPort) -> InputPort:
        block = "block" if entry.weight_memory == "spram" else entry.weight_memory
        return replace(entry, weight_memory=block)

    def core(plan: CorePlan) -> CorePlan:
        ports = tuple(port(entry) for entry in plan.inputs)
        return replace(plan, membrane_memory="block", inputs=ports)

    return Schedule(tuple(core(c) for c in schedule.cores), family)


def _widest(net: FixedNetwork) -> int:
    return max((weight_bits(p) for p in net.projections if p.kind != "identity"), default=2)


def _narrowest(
    net: FixedNetwork,
    nets: Mapping[int, FixedNetwork],
    layouts: Sequence[Schedule],
    board: Board,
) -> Remedy | None:
    """The narrowing of some cores' weights that takes away the fewest bits, of all layouts."""
    moved = [on_family(layout, board.device.family) for layout in layouts]
    least = narrowed(net, FEWEST_BITS)
    possible = [m for m in moved if not shortfalls(board, total_cost(least, m))]
    found = [r for m in possible if (r := _choice(net, nets, m, board)) is not None]
    return min(found, key=lambda r: r.given_up, default=None)


def _choice(
    net: FixedNetwork, nets: Mapping[int, FixedNetwork], schedule: Schedule, board: Board
) -> Remedy | None:
    """Exact search over the widths of each core: what fits, then the fewest bits taken away."""
    limits = available(board)
    around = outer_cost(net, schedule.family) + surroundings_cost(net, schedule)
    room = np.array([limits[n] - getattr(around, n) for n in RESOURCES], float)
    tables = [_widths(nets, schedule, core) for core in schedule.cores]
    fronts = [(np.zeros((1, 1 + len(RESOURCES))), np.zeros((1, 0), np.int64))]
    for k, table in enumerate(tables):
        costs, chosen = fronts[-1]
        rest = sum((t[:, 2:].min(axis=0) for t in tables[k + 1 :]), np.zeros(len(RESOURCES)))
        sums = (costs[:, None] + table[None, :, 1:]).reshape(-1, costs.shape[1])
        bits = np.concatenate(
            [
                np.repeat(chosen, len(table), axis=0),
                np.tile(table[:, :1].astype(np.int64), (len(costs), 1)),
            ],
            axis=1,
        )
        kept = np.flatnonzero((sums[:, 1:] + rest <= room).all(axis=1))
        kept = kept[pareto(sums[kept])]
        if len(kept) > MOST_KEPT:
            kept = kept[thinned(sums[kept], np.append(sums[kept, 0].max(), room))]
        fronts.append((sums[kept], bits[kept]))
    costs, chosen = fronts[-1]
    if not len(costs):
        return None
    best = int(costs[:, 0].argmin())
    widths = {
        name: int(width)
        for core, width in zip(schedule.cores, chosen[best], strict=True)
        for name in core.populations
        if any(_loses(p, int(width)) for p in net.into(name))
    }
    every = sum(p.weight.size * weight_bits(p) for p in net.projections)
    return Remedy(board.name, widths, float(costs[best, 0]) / every, schedule)


def _loses(projection: Projection, bits: int) -> bool:
    return projection.kind != "identity" and weight_bits(projection) > bits


def _widths(nets: Mapping[int, FixedNetwork], schedule: Schedule, core: CorePlan) -> Array:
    """Per width of a core's weights: the width, bits taken away, costs; float64."""
    full = nets[max(nets)]
    rows = []
    for bits, net in nets.items():
        lost = sum(
            p.weight.size * max(0, weight_bits(p) - bits)
            for name in core.populations
            for p in full.into(name)
            if p.kind != "identity"
        )
        cost = unit_cost(net, schedule, core)
        rows.append([bits, lost, *(getattr(cost, n) for n in RESOURCES)])
    return np.array(rows, float)
