# SPDX-License-Identifier: BSD-2-Clause
"""A network on a board: every way to run its parts, and the best designs made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Literal

import numpy as np

from pysnn_hw.ir.snn import INPUT, FixedNetwork
from pysnn_hw.plan.activity import Activity
from pysnn_hw.plan.board import Board
from pysnn_hw.plan.budget import (
    BOOT_COST,
    RESOURCES,
    available,
    link_cost,
    price,
    share,
    total_cost,
)
from pysnn_hw.plan.chain import Chain, ChainSearch, Leg
from pysnn_hw.plan.cost import Cost
from pysnn_hw.plan.network_cost import outer_cost
from pysnn_hw.plan.options import SHARED_FOLDINGS, Option, dedicated_options, shared_options
from pysnn_hw.plan.schedule import Schedule, outgoing_pool, simple_schedule

Objective = Literal["balanced", "throughput", "latency", "smallest"]
"""What makes a design the best: images per second for the share of the board that it takes (which
also keeps place-and-route short), images per second, the earliest result, least resources."""

NO_MORE: Mapping[str, float] = {}
"""Of no resource is there more than the board has."""

MARGINS = (1.0, 0.97, 0.92, 0.8)
"""Shares of a wanted pace at which designs are sought: cores also wait for each other."""

CANDIDATES = 4
"""Designs whose timing is computed exactly before one of them is chosen."""


def arrival_cycles(net: FixedNetwork) -> int:
    """Cycles that an image takes to enter: one per integer, one for its end."""
    c, h, w = net.input.shape
    return c * h * w + 1


class Problem:
    """A network on a board: all legs of its chain, and what is left for them.

    Parameters
    ----------
    net, board, activity
        As for `planner.plan`.
    """

    def __init__(self, net: FixedNetwork, board: Board, activity: Activity) -> None:
        self.net, self._board, self._activity = net, board, activity
        self._base = replace(simple_schedule(net), family=board.device.family)
        self._pooled = [_pooling(net, self._base, k) for k in range(len(net.populations))]
        self._legs = [*self._dedicated(activity), *self._shared(activity)]
        self._searches = self._prepared(self._legs)

    def legs(self, pick: Callable[[tuple[Option, ...]], Sequence[Option]]) -> list[Leg]:
        """All legs, each with the options that ``pick`` takes of its own."""
        return [replace(leg, options=tuple(pick(leg.options))) for leg in self._legs]

    def of(self, legs: list[Leg]) -> Problem:
        """The same problem with other legs."""
        other = copy(self)
        other._legs, other._searches = legs, self._prepared(legs)
        return other

    def _prepared(self, legs: list[Leg]) -> list[ChainSearch]:
        last = [(len(self.net.populations), pooled) for pooled in self._pooled[-1]]
        searches = [ChainSearch(_without_spram(legs), (0, False), last)]
        if self._board.budget.spram is not None:  # which needs what fills it
            searches.append(ChainSearch(legs, (0, False), last))
        return searches

    def designs(self, target: float | None, objective: Objective) -> list[Schedule]:
        """The most promising designs that fit, most promising first; none if nothing fits."""
        if self._cheapest_chain(np.inf, NO_MORE) is None:
            return []
        if target:
            wanted = [self.cheapest(part * target) for part in MARGINS]
            reached = [design[0] for design in wanted if design is not None]
            return list(dict.fromkeys(reached)) or self._fastest()
        if target is not None or objective == "throughput":
            return self._fastest()
        if objective == "smallest":
            found = self.cheapest(np.inf)
            return [] if found is None else [found[0]]
        if objective == "latency":
            return self._varied()
        rated = [
            (pace * share(self._board, cost), schedule)
            for pace, schedule, cost in self._ladder_of_designs()
        ]
        rated.sort(key=lambda r: r[0])
        return [schedule for _, schedule in rated[:CANDIDATES]]

    def _varied(self) -> list[Schedule]:
        """The fastest designs, and some from all along the ladder of paces."""
        slower = [schedule for _, schedule, _ in self._ladder_of_designs()]
        some = np.linspace(0, len(slower) - 1, min(len(slower), 2 * CANDIDATES)).round()
        found = [*self._fastest(), *(slower[int(k)] for k in some)]
        return list(dict.fromkeys(found))

    def _ladder_of_designs(self) -> list[tuple[float, Schedule, Cost]]:
        """The cheapest design that fits, of each pace at which images can come; with its cost."""
        paces = self._paces(float(arrival_cycles(self.net)))
        found = []
        for pace in _ladder(paces[self._first_possible(paces, NO_MORE) :]):
            design = self.cheapest(pace)
            if design is not None:
                found.append((pace, *design))
        return found

    def smallest(self) -> Schedule:
        """The cheapest design, whatever the board has."""
        found = _endless(self._searches)
        return self._schedule(min(found, key=lambda c: price(self._board, c.cost)))

    def compact(self) -> list[Schedule]:
        """Designs that take little of some memory or of all, whatever the board has."""
        searches = self._prepared([*self._legs, *self._widest()])
        chains = sorted(_endless(searches), key=lambda c: price(self._board, c.cost))
        by_blocks = min(chains, key=lambda c: (c.cost.bram, c.cost.spram))
        by_logic = min(chains, key=lambda c: c.cost.lut)
        even = min(chains, key=lambda c: share(self._board, c.cost))
        together = [c for c in chains if any(len(o.core.populations) > 2 for o in c.options)]
        found = (chains[0], even, by_blocks, by_logic, *together[:1])
        return list(dict.fromkeys(map(self._schedule, found)))

    def _widest(self) -> list[Leg]:
        """One shared core from the first cut to the last, whatever memories that takes."""
        cuts = self._cuts()
        if len(cuts) < 2 or cuts[-1] - cuts[0] < 2:
            return []
        inside = [p.name for p in self.net.populations][cuts[0] : cuts[-1]]
        options = shared_options(self.net, self._board, inside, self._activity, limited=False)
        return [Leg((cuts[0], False), (cuts[-1], False), tuple(options))]

    def _cuts(self) -> list[int]:
        """Where a shared core may begin or end."""
        cuts = [k for k in range(1, len(self.net.populations)) if _is_cut(self.net, k)]
        return [k for k in cuts if False in self._pooled[k - 1]]

    def fastest_pace(self, more: Mapping[str, float] = NO_MORE) -> float:
        """Cycles per image of the fastest design that fits; infinite if none does.

        ``more`` are factors on what there is of some resources.
        """
        paces = self._paces(0.0)
        first = self._first_possible(paces, more)
        return paces[first] if first < len(paces) else np.inf

    def _first_possible(self, paces: list[float], more: Mapping[str, float]) -> int:
        """Index of the smallest pace that fits: what fits at one fits at all larger ones."""
        low, high = 0, len(paces)
        while low < high:
            middle = (low + high) // 2
            if self._cheapest_chain(paces[middle], more) is None:
                low = middle + 1
            else:
                high = middle
        return low

    def _fastest(self) -> list[Schedule]:
        """Designs at the smallest pace that fits, and a little above."""
        paces = self._paces(0.0)
        found = []
        for pace in _ladder(paces[self._first_possible(paces, NO_MORE) :])[:CANDIDATES]:
            design = self.cheapest(pace)
            if design is not None:
                found.append(design[0])
        return found

    def _paces(self, floor: float) -> list[float]:
        return sorted({max(floor, p) for search in self._searches for p in search.paces})

    def cheapest(self, pace: float) -> tuple[Schedule, Cost] | None:
        """The cheapest design of that pace which fits, and its cost."""
        chain = self._cheapest_chain(pace, NO_MORE)
        if chain is None:
            return None
        schedule = self._schedule(chain)
        return schedule, total_cost(self.net, schedule)

    def _cheapest_chain(self, pace: float, more: Mapping[str, float]) -> Chain | None:
        chains = [
            chain
            for number, search in enumerate(self._searches)
            for chain in search.front(pace, self._budget(more, booted=number > 0))
        ]
        return min(chains, key=lambda c: price(self._board, c.cost), default=None)

    def _budget(self, more: Mapping[str, float], *, booted: bool) -> dict[str, float]:
        """What is left for cores."""
        family = self._board.device.family
        around = outer_cost(self.net, family) + link_cost(self.net, family)
        if booted:
            around = around + BOOT_COST[family]
        return {
            name: most * more.get(name, 1.0) - getattr(around, name)
            for name, most in available(self._board).items()
        }

    def _schedule(self, chain: Chain) -> Schedule:
        return replace(self._base, cores=tuple(o.core for o in chain.options))

    def _dedicated(self, activity: Activity) -> list[Leg]:
        legs = []
        for k, population in enumerate(self.net.populations):
            before = self._pooled[k - 1] if k else (False,)
            for pooled_before in before:
                for pooled in self._pooled[k]:
                    cores = list(self._base.cores)
                    cores[k] = replace(cores[k], pool_at_sender=pooled)
                    if k:
                        cores[k - 1] = replace(cores[k - 1], pool_at_sender=pooled_before)
                    base = replace(self._base, cores=tuple(cores))
                    options = dedicated_options(
                        self.net, self._board, base, population.name, activity
                    )
                    legs.append(Leg((k, pooled_before), (k + 1, pooled), tuple(options)))
        return legs

    def _shared(self, activity: Activity) -> list[Leg]:
        names = [p.name for p in self.net.populations]
        cuts, legs = self._cuts(), []
        for i, start in enumerate(cuts):
            foldings = list(SHARED_FOLDINGS)
            for end in cuts[i + 1 :]:
                if end - start > 1:
                    inside = names[start:end]
                    options = shared_options(self.net, self._board, inside, activity, foldings)
                    if not options:
                        break  # longer ones only need more
                    foldings = list(dict.fromkeys((o.core.lanes, o.core.banks[1]) for o in options))
                    legs.append(Leg((start, False), (end, False), tuple(options)))
        return legs


def _endless(searches: Sequence[ChainSearch]) -> list[Chain]:
    """The designs of least cost, whatever a board has."""
    endless = dict.fromkeys(RESOURCES, np.inf)
    return [c for search in searches for c in search.front(np.inf, endless)]


def _without_spram(legs: list[Leg]) -> list[Leg]:
    return [
        replace(
            leg,
            options=tuple(
                o for o in leg.options if all(i.weight_memory != "spram" for i in o.core.inputs)
            ),
        )
        for leg in legs
    ]


def _ladder(paces: list[float]) -> list[float]:
    """Paces at least 6 % apart: finer steps change a design little and take long."""
    ladder: list[float] = []
    for pace in paces:
        if not ladder or pace > 1.06 * ladder[-1]:
            ladder.append(pace)
    return ladder


def _is_cut(net: FixedNetwork, position: int) -> bool:
    """Whether only the last population before ``position`` reaches what comes after it."""
    names = [p.name for p in net.populations]
    before = set(names[:position])
    crossing = {p.source for p in net.projections if p.source in before and p.target not in before}
    return crossing == {names[position - 1]}


def _pooling(net: FixedNetwork, base: Schedule, number: int) -> tuple[bool, ...]:
    """Whether a population may pool its spikes itself: what `simple_schedule` does, and else.

    Only where the next population alone sees them, so that both ends of a cut agree.
    """
    core = base.cores[number]
    if net.populations[number].kind == "readout":
        return (False,)
    pool, outgoing = outgoing_pool(net, core), net.out_of(core.population)
    if pool is None:
        return (False,)
    following = net.populations[number + 1].name
    sources = {p.source for p in net.into(following)} - {INPUT}
    free = pool.mode == "sum" and len(outgoing) == 1 and outgoing[0].target == following
    return (True, False) if free and sources == {core.population} else (True,)
