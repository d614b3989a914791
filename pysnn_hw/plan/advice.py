# SPDX-License-Identifier: BSD-2-Clause
"""Why a plan is as it is: what sets the pace, what binds, what would help."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.ir.widths import signed_bits
from pysnn_hw.plan.board import Board, list_boards, load_board
from pysnn_hw.plan.budget import available, shortfalls, total_cost
from pysnn_hw.plan.prediction import Plan
from pysnn_hw.plan.problem import Problem
from pysnn_hw.plan.schedule import Schedule

MORE = 1.1
"""How much more of a resource a user is told the worth of."""
WORTH_TELLING = 1.02
"""Less gain than this is none."""

NAMES = {"lut": "LUTs", "bram": "block RAM", "dsp": "multipliers", "spram": "SPRAM"}


def advise(problem: Problem, found: Plan) -> tuple[str, ...]:
    """Sentences about a plan, for its user.

    Parameters
    ----------
    problem
        What was solved.
    found
        The plan.
    """
    busiest = max(found.cycles, key=lambda c: c.total)
    # The interval is exact, busy cycles are means over all sample images: they may be a few more.
    pace = found.cycles_per_image
    busy, interval = f"{min(busiest.total, pace):,.0f}", f"{pace:,.0f}"
    told = [f"{busiest.core} sets the pace: busy for {busy} of {interval} cycles per image"]
    if found.fits:
        told.append(_binding(problem, found.board))
    else:
        told += _ways_out(problem.net, found)
    return tuple(told)


def _binding(problem: Problem, board: Board) -> str:
    """What more of each resource would buy the fastest design."""
    now = problem.fastest_pace()
    gains = []
    for name, most in available(board).items():
        if most:
            better = problem.fastest_pace({name: MORE})
            if now > WORTH_TELLING * better:
                gains.append((now / better, NAMES[name]))
    gains.sort(reverse=True)
    if not gains:
        return f"a tenth more of any one resource would make no design on {board.name} faster"
    worth = ", ".join(f"of {name} {gain:.2f} times as fast" for gain, name in gains)
    return f"the fastest design is bound by {gains[0][1]}: with a tenth more {worth}"


def _ways_out(net: FixedNetwork, found: Plan) -> list[str]:
    """What a board too small would have to hold, and the least changes that make it do."""
    schedule, board = found.schedule, found.board
    told = []
    memory = board.budget.bram
    if found.cost.bram > memory.count:
        told.append(
            f"needs {found.cost.bram * memory.bits / 1e6:.1f} Mbit of block RAM, "
            f"{board.name} has {memory.count * memory.bits / 1e6:.1f} Mbit"
        )
    bits = max(signed_bits(int(p.weight.min()), int(p.weight.max())) for p in net.projections)
    fitting = [b for b in range(bits - 1, 1, -1) if _fits(narrowed(net, b), schedule, board)]
    if fitting:
        told.append(f"it would fit with {fitting[0]}-bit weights")
    larger = [
        other.name
        for other in map(load_board, list_boards())
        if other.device.family == board.device.family and _fits(net, schedule, other)
    ]
    if larger:
        told.append(f"it would fit on {', '.join(larger)}")
    if not fitting and not larger:
        told.append("neither 2-bit weights nor another board of this family would make it fit")
    return told


def _fits(net: FixedNetwork, schedule: Schedule, board: Board) -> bool:
    return not shortfalls(board, total_cost(net, schedule))


def narrowed(net: FixedNetwork, bits: int) -> FixedNetwork:
    """A network as large as ``net`` with weights of so many bits; it computes nothing sensible."""
    projections = []
    for p in net.projections:
        excess = signed_bits(int(p.weight.min()), int(p.weight.max())) - bits
        if p.kind != "identity" and excess > 0:
            p = replace(p, weight=np.asarray(p.weight) >> excess)
        projections.append(p)
    return replace(net, projections=tuple(projections))
