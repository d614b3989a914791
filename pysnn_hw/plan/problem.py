# SPDX-License-Identifier: BSD-2-Clause
"""A network on a board: every way to run its parts, and the best designs made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace

import numpy as np

from pysnn_hw.config import Objective
from pysnn_hw.ir.snn import INPUT, FixedNetwork
from pysnn_hw.plan.activity import Activity
from pysnn_hw.plan.board import Board
from pysnn_hw.plan.budget import (
    BOOT_COST,
    LINK_COST,
    RESOURCES,
    available,
    price,
    share,
    shortfalls,
    total_cost,
)
from pysnn_hw.plan.chain import Chain, ChainSearch, Leg
from pysnn_hw.plan.cost import Cost
from pysnn_hw.plan.network_cost import outer_cost
from pysnn_hw.plan.options import Option, dedicated_options, shared_options
from pysnn_hw.plan.schedule import Schedule, outgoing_pool, simple_schedule

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
        self._net, self._board = net, board
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
        last = [(len(self._net.populations), pooled) for pooled in self._pooled[-1]]
        searches = [ChainSearch(_without_spram(legs), (0, False), last)]
        if self._board.budget.spram is not None:  # which needs what fills it
            searches.append(ChainSearch(legs, (0, False), last))
        return searches

    def designs(self, target: float | None, objective: Objective) -> list[Schedule]:
        """The most promising designs that fit, most promising first; none if nothing fits."""
        if target is not None or objective == "throughput":
            return self._fastest(target or 0.0)
        if objective == "smallest":
            found = self.cheapest(np.inf)
            return [] if found is None else [found[0]]
        floor = float(arrival_cycles(self._net))
        rated = []
        for pace in _ladder(self._paces(floor)):
            found = self.cheapest(pace)
            if found is not None:
                schedule, cost = found
                rated.append(
                    (pace * (objective == "latency" or share(self._board, cost)), schedule)
                )
        rated.sort(key=lambda r: r[0])
        return [schedule for _, schedule in rated[:CANDIDATES]]

    def smallest(self) -> Schedule:
        """The cheapest design, whatever the board has."""
        endless = dict.fromkeys(RESOURCES, np.inf)
        chains = [c for search in self._searches for c in search.front(np.inf, endless)]
        return self._schedule(min(chains, key=lambda c: price(self._board, c.cost)))

    def _fastest(self, target: float) -> list[Schedule]:
        """Designs at the smallest pace of at least ``target`` that fits, and a little above."""
        paces = self._paces(target)
        low, high = 0, len(paces)
        while low < high:
            middle = (low + high) // 2
            if self.cheapest(paces[middle]) is None:
                low = middle + 1
            else:
                high = middle
        found = []
        for pace in _ladder(paces[low:])[:CANDIDATES]:
            design = self.cheapest(pace)
            if design is not None:
                found.append(design[0])
        return found

    def _paces(self, floor: float) -> list[float]:
        return sorted({max(floor, p) for search in self._searches for p in search.paces})

    def cheapest(self, pace: float) -> tuple[Schedule, Cost] | None:
        """The cheapest design of that pace which fits, and its cost."""
        best: tuple[float, Chain] | None = None
        for number, search in enumerate(self._searches):
            for chain in search.front(pace, self._budget(booted=number > 0)):
                worth = price(self._board, chain.cost)
                if best is None or worth < best[0]:
                    best = worth, chain
        if best is None:
            return None
        schedule = self._schedule(best[1])
        cost = total_cost(self._net, schedule)
        return None if shortfalls(self._board, cost) else (schedule, cost)

    def _budget(self, *, booted: bool) -> dict[str, float]:
        """What is left for cores."""
        family = self._board.device.family
        around = outer_cost(self._net, family) + LINK_COST[family]
        if booted:
            around = around + BOOT_COST[family]
        return {n: most - getattr(around, n) for n, most in available(self._board).items()}

    def _schedule(self, chain: Chain) -> Schedule:
        return replace(self._base, cores=tuple(o.core for o in chain.options))

    def _dedicated(self, activity: Activity) -> list[Leg]:
        legs = []
        for k, population in enumerate(self._net.populations):
            before = self._pooled[k - 1] if k else (False,)
            for pooled_before in before:
                for pooled in self._pooled[k]:
                    cores = list(self._base.cores)
                    cores[k] = replace(cores[k], pool_at_sender=pooled)
                    if k:
                        cores[k - 1] = replace(cores[k - 1], pool_at_sender=pooled_before)
                    base = replace(self._base, cores=tuple(cores))
                    options = dedicated_options(
                        self._net, self._board, base, population.name, activity
                    )
                    legs.append(Leg((k, pooled_before), (k + 1, pooled), tuple(options)))
        return legs

    def _shared(self, activity: Activity) -> list[Leg]:
        names = [p.name for p in self._net.populations]
        cuts = [k for k in range(1, len(names)) if _is_cut(self._net, k)]
        cuts = [k for k in cuts if False in self._pooled[k - 1]]
        legs = []
        for i, start in enumerate(cuts):
            for end in cuts[i + 1 :]:
                if end - start > 1:
                    inside = names[start:end]
                    options = shared_options(self._net, self._board, inside, activity)
                    if not options:
                        break  # longer ones only need more
                    legs.append(Leg((start, False), (end, False), tuple(options)))
        return legs


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
