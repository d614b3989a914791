# SPDX-License-Identifier: BSD-2-Clause
"""The planner: cores, lanes, banks, lane kinds and memories for a board's budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.plan.activity import Activity
from pysnn_hw.plan.advice import advise, ways_out, worth
from pysnn_hw.plan.board import Board
from pysnn_hw.plan.budget import price, share
from pysnn_hw.plan.prediction import Plan, detailed, evaluate, rough
from pysnn_hw.plan.problem import Objective, Problem
from pysnn_hw.plan.queues import deepened
from pysnn_hw.plan.remedies import remedies

NEARLY = 1.02
"""Designs that are worth the same but for this factor: predictions are not better than that."""


def plan(
    net: FixedNetwork,
    board: Board,
    activity: Activity,
    *,
    target_cycles: float | None = None,
    objective: Objective = "balanced",
) -> Plan:
    """Lay ``net`` out on ``board``.

    Parameters
    ----------
    net
        The network.
    board
        Its budget is the limit.
    activity
        Spike trains of sample images (calibration images, some tens).
    target_cycles
        Wanted cycles between images: the cheapest design that reaches it, or the fastest that fits
        if none does (a target of 0 asks for just that). It takes the place of ``objective``.
    objective
        See `Objective`.

    Returns
    -------
    Plan
        If nothing fits: the smallest, roughly timed, with its shortfalls and what would help.
    """
    problem = Problem(net, board, activity)
    found = _chosen(problem, net, board, activity, target_cycles, objective)
    if found is not None:
        found = detailed(net, replace(found, worth=worth(problem, board)), activity)
        return replace(found, advice=advise(found))
    layouts = problem.compact()
    found = detailed(net, rough(net, layouts[0], board, activity), activity)
    found = replace(found, remedies=remedies(net, layouts, board))
    return replace(found, advice=ways_out(net, found))


def plan_each(
    net: FixedNetwork, board: Board, activity: Activity, objectives: Sequence[Objective]
) -> list[Plan]:
    """`plan` for each of several objectives, without advice; all the same if nothing fits.

    What is common to them is worked out once: together they take little longer than one.
    """
    problem = Problem(net, board, activity)
    found = [_chosen(problem, net, board, activity, None, o) for o in objectives]
    fitting = [p for p in found if p is not None]
    return fitting or [rough(net, problem.compact()[0], board, activity)] * len(objectives)


def _chosen(
    problem: Problem,
    net: FixedNetwork,
    board: Board,
    activity: Activity,
    target_cycles: float | None,
    objective: Objective,
) -> Plan | None:
    """The best of the most promising designs, by their exact timing; None if nothing fits."""
    found = problem.designs(target_cycles, objective)
    if not found:
        return None
    plans = [evaluate(net, schedule, board, activity) for schedule in found]
    if target_cycles is not None or objective == "throughput":
        plans = [deepened(net, p, activity) for p in plans]
    fitting = [p for p in plans if p.fits] or plans
    if target_cycles is not None or objective == "throughput":
        reached = [p for p in fitting if p.cycles_per_image <= (target_cycles or 0)]
        if reached:
            return min(reached, key=lambda p: price(board, p.cost))
        return min(fitting, key=lambda p: p.cycles_per_image)
    merit = _merit(board, objective)
    if objective != "balanced":
        return min(fitting, key=merit)
    least = min(map(merit, fitting))
    nearly = [p for p in fitting if merit(p) <= NEARLY * least]
    return min(nearly, key=lambda p: p.cycles_per_image)


def _merit(board: Board, objective: Objective) -> Callable[[Plan], float]:
    if objective == "latency":
        return lambda p: p.latency_cycles
    if objective == "smallest":
        return lambda p: price(board, p.cost)
    return lambda p: p.cycles_per_image * share(board, p.cost)
