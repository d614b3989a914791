# SPDX-License-Identifier: BSD-2-Clause
"""The best chain of cores: exact search over what each part of a network may run on.

A network is cut at positions between its populations. A leg spans two cuts and has options, each
with cycles and cost. A chain of legs from the first cut to the last is a design: its slowest
option sets the pace, its costs add up. For a wanted pace the search keeps, at every cut, all
chains so far of which no other costs at most as much of every resource: none of the others can
lead to a better design.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from pysnn_hw.ir.snn import Array
from pysnn_hw.plan.budget import RESOURCES
from pysnn_hw.plan.cost import Cost
from pysnn_hw.plan.options import Option

Cut = tuple[int, bool]
"""Number of populations before it; whether the last of these pools its spikes itself."""

MOST_KEPT = 400
"""Chains kept at a cut. If more are worth keeping, those that are alike are thinned out: within
1 / `GRID` of the budget of every resource one is kept."""
GRID = 256
ROUNDING = 1e-6
"""Sums of costs differ by less, in whatever order they are taken."""


@dataclass(frozen=True)
class Leg:
    """Populations from one cut to another, and the ways to run them (on one core)."""

    start: Cut
    end: Cut
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Chain:
    """Options that follow each other, and what they cost together (flip-flops left out)."""

    options: tuple[Option, ...]
    cost: Cost


@dataclass(frozen=True, eq=False)
class _Front:
    """Chains that end at a cut: their costs (chains, resources), and how each came about."""

    costs: Array
    before: Array  # chain at the leg's start
    leg: Array
    option: Array


class ChainSearch:
    """All legs of a network, ready to be asked for several paces and budgets.

    Parameters
    ----------
    legs
        In any order.
    first, last
        Cuts at which a design begins and ends (one of several, for ``last``).
    """

    def __init__(self, legs: Sequence[Leg], first: Cut, last: Sequence[Cut]) -> None:
        self._legs = [leg for leg in legs if leg.options]
        self._first, self._last = first, tuple(last)
        self._cycles = [np.array([o.cycles for o in leg.options]) for leg in self._legs]
        self._costs = [
            np.array([[getattr(o.cost, n) for n in RESOURCES] for o in leg.options], float)
            for leg in self._legs
        ]
        self._into: dict[Cut, list[int]] = defaultdict(list)
        for number, leg in enumerate(self._legs):
            self._into[leg.end].append(number)

    @property
    def paces(self) -> list[float]:
        """Cycles of all options, ascending: a design's pace is one of these."""
        return sorted({float(c) for cycles in self._cycles for c in cycles})

    def front(self, pace: float, budget: dict[str, float]) -> list[Chain]:
        """Chains of options of at most ``pace`` cycles within ``budget``: the Pareto front of cost.

        Empty if there is none. Exact unless more than `MOST_KEPT` chains are worth keeping.
        """
        limit = np.array([budget[name] for name in RESOURCES], float)
        rest = self._rest(pace)
        fronts: dict[Cut, _Front] = {self._first: _start()}
        for cut in sorted(self._into):
            if cut not in rest:
                continue
            found = self._extend(cut, fronts, pace, limit - rest[cut] + ROUNDING)
            if found is not None:
                fronts[cut] = found
        return [
            self._trace(fronts, cut, k)
            for cut in self._last
            if cut in fronts
            for k in range(len(fronts[cut].costs))
        ]

    def _rest(self, pace: float) -> dict[Cut, Array]:
        """What it takes at least of each resource to get from a cut to the end, where one can."""
        rest: dict[Cut, Array] = {cut: np.zeros(len(RESOURCES)) for cut in self._last}
        for number in sorted(range(len(self._legs)), key=lambda n: self._legs[n].start)[::-1]:
            leg = self._legs[number]
            allowed = self._cycles[number] <= pace
            if leg.end in rest and allowed.any():
                least = self._costs[number][allowed].min(axis=0) + rest[leg.end]
                rest[leg.start] = np.minimum(rest.get(leg.start, least), least)
        return rest

    def _extend(
        self, cut: Cut, fronts: dict[Cut, _Front], pace: float, limit: Array
    ) -> _Front | None:
        costs, before, legs, options = [], [], [], []
        for number in self._into[cut]:
            start = fronts.get(self._legs[number].start)
            allowed = np.flatnonzero(self._cycles[number] <= pace)
            if start is None or not len(allowed):
                continue
            allowed = allowed[pareto(self._costs[number][allowed])]
            sums = (start.costs[:, None] + self._costs[number][allowed][None]).reshape(
                -1, len(limit)
            )
            costs.append(sums)
            before.append(np.repeat(np.arange(len(start.costs)), len(allowed)))
            options.append(np.tile(allowed, len(start.costs)))
            legs.append(np.full(len(sums), number))
        if not costs:
            return None
        every = np.concatenate(costs)
        kept = np.flatnonzero((every <= limit).all(axis=1))
        kept = kept[pareto(every[kept])]
        if len(kept) > MOST_KEPT:
            kept = kept[thinned(every[kept], limit)]
        if not len(kept):
            return None
        return _Front(
            every[kept],
            np.concatenate(before)[kept],
            np.concatenate(legs)[kept],
            np.concatenate(options)[kept],
        )

    def _trace(self, fronts: dict[Cut, _Front], cut: Cut, number: int) -> Chain:
        lut, bram, dsp, spram = fronts[cut].costs[number]
        cost = Cost(lut=float(lut), bram=int(bram), dsp=int(dsp), spram=int(spram))
        found: list[Option] = []
        while cut != self._first:
            front = fronts[cut]
            leg = self._legs[front.leg[number]]
            found.append(leg.options[front.option[number]])
            cut, number = leg.start, front.before[number]
        return Chain(tuple(reversed(found)), cost)


def _start() -> _Front:
    none = np.zeros(1, np.int64)
    return _Front(np.zeros((1, len(RESOURCES))), none, none, none)


def pareto(costs: Array) -> Array:
    """Numbers of the rows that no other row undercuts; of equal rows the first."""
    # What undercuts a row comes before it in this order.
    order = np.lexsort(costs.T[::-1])
    return np.asarray(order[_front(costs[order])])


@njit(cache=True)
def _front(costs):  # type: ignore[no-untyped-def]
    """Whether each row, in ascending order, is undercut by none before it."""
    rows, columns = costs.shape
    best = np.empty(rows, np.int64)
    kept = 0
    stays = np.zeros(rows, np.bool_)
    for row in range(rows):
        undercut = False
        for k in range(kept):
            undercut = True
            for column in range(columns):
                if costs[best[k], column] > costs[row, column]:
                    undercut = False
                    break
            if undercut:
                break
        if not undercut:
            best[kept] = row
            kept += 1
            stays[row] = True
    return stays


def thinned(costs: Array, limit: Array) -> Array:
    """Numbers of rows, one of each cell of a grid."""
    cells = np.floor(costs * GRID / np.maximum(limit, 1)).astype(np.int64)
    _, first = np.unique(cells, axis=0, return_index=True)
    return np.sort(first)
