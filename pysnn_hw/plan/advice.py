# SPDX-License-Identifier: BSD-2-Clause
"""Why a plan is as it is: what sets the pace, what binds, what would help."""

from __future__ import annotations

from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.plan.board import Board, list_boards, load_board
from pysnn_hw.plan.budget import available
from pysnn_hw.plan.prediction import Plan
from pysnn_hw.plan.problem import Problem
from pysnn_hw.plan.remedies import FEWEST_BITS, Remedy, weight_bits

MORE = 1.1
"""How much more of a resource a user is told the worth of."""
WORTH_TELLING = 1.02
"""Less gain than this is none."""

NAMES = {"lut": "LUTs", "bram": "block RAM", "dsp": "multipliers", "spram": "SPRAM"}


def worth(problem: Problem, board: Board) -> tuple[tuple[str, float], ...]:
    """Resources of a board, and how many times as fast the fastest design is with more of each."""
    now = problem.fastest_pace()
    return tuple(
        (name, now / problem.fastest_pace({name: MORE}))
        for name, most in available(board).items()
        if most
    )


def advise(found: Plan) -> tuple[str, ...]:
    """Sentences about a plan that fits, for its user.

    Parameters
    ----------
    found
        The plan, with what more of each resource is worth.
    """
    busiest = max(found.cycles, key=lambda c: c.total)
    # The interval is exact, busy cycles are means over all sample images: they may be a few more.
    pace = found.cycles_per_image
    busy, interval = f"{min(busiest.total, pace):,.0f}", f"{pace:,.0f}"
    told = f"{busiest.core} sets the pace: busy for {busy} of {interval} cycles per image"
    return told, _binding(found)


def ways_out(net: FixedNetwork, found: Plan) -> tuple[str, ...]:
    """Sentences about a plan that does not fit: what it needs, and what would make it fit."""
    board = found.board
    own = [r for r in found.remedies if r.board == board.name]
    unchanged = [r.board for r in found.remedies if not r.weight_bits]
    both = [r for r in found.remedies if r.board != board.name and r.weight_bits]
    told = [_needs(found)] if _blocks_bits(found) > _memory(board) else []
    if own:
        told.append(f"the least change: {_narrower(net, own[0])}")
    if unchanged:
        told.append(f"as it is, it would fit on {', '.join(unchanged)}")
    if both:
        told.append(f"the least change: {both[0].board}, and {_narrower(net, both[0])}")
    if not found.remedies:
        told.append(_hopeless(net))
    return tuple(told)


def _needs(found: Plan) -> str:
    """Memory blocks in all, and what there is."""
    return (
        f"needs {_amount(_blocks_bits(found))} of memory on chip, "
        f"{found.board.name} has {_amount(_memory(found.board))}"
    )


def _blocks_bits(found: Plan) -> int:
    """Bits of all memory blocks that a design takes."""
    memory = found.board.budget
    spram = found.cost.spram * memory.spram.bits if memory.spram is not None else 0
    return found.cost.bram * memory.bram.bits + spram


def _amount(bits: float) -> str:
    return f"{bits / 1e6:.1f} Mbit" if bits >= 1e6 else f"{bits / 1e3:.0f} kbit"


def _narrower(net: FixedNetwork, remedy: Remedy) -> str:
    """Which weights become how narrow."""
    fire = {p.target for p in net.projections if p.kind != "identity"}
    widths = set(remedy.weight_bits.values())
    lost = f"{100 * remedy.given_up:.0f} % of all weight bits less"
    if len(widths) == 1 and fire <= set(remedy.weight_bits):
        return f"{widths.pop()}-bit weights ({lost})"
    by_width: dict[int, list[str]] = {}
    for name, bits in remedy.weight_bits.items():
        by_width.setdefault(bits, []).append(name)
    parts = [f"{bits}-bit weights into {_listed(names)}" for bits, names in by_width.items()]
    return f"{', '.join(parts)} ({lost})"


def _listed(names: list[str]) -> str:
    return (
        ", ".join(names) if len(names) <= 4 else f"{len(names)} layers, {names[0]} to {names[-1]}"
    )


def _hopeless(net: FixedNetwork) -> str:
    """How much smaller the network would have to be."""
    boards = [load_board(name) for name in list_boards()]
    largest = max(boards, key=_memory)
    weights = sum(p.weight.size for p in net.projections)
    holds = _memory(largest) / FEWEST_BITS
    widest = max(weight_bits(p) for p in net.projections)
    return (
        f"no board of these and no width of the weights ({widest} bits now) makes it fit: "
        f"{weights / 1e6:.1f} million weights of {FEWEST_BITS} bits take "
        f"{FEWEST_BITS * weights / 1e6:.1f} Mbit, {largest.name}, which has the most memory, "
        f"holds {holds / 1e6:.1f} million of them; a network "
        f"{max(1.0, weights / holds):.1f} times as small might fit"
    )


def _memory(board: Board) -> int:
    """Bits of all memory blocks."""
    spram = board.budget.spram
    blocks = board.budget.bram.count * board.budget.bram.bits
    return blocks + (spram.count * spram.bits if spram is not None else 0)


def _binding(found: Plan) -> str:
    """What more of each resource would buy the fastest design."""
    gains = sorted(((g, NAMES[n]) for n, g in found.worth if g > WORTH_TELLING), reverse=True)
    if not gains:
        return f"a tenth more of any one resource would make no design on {found.board.name} faster"
    told = ", ".join(f"of {name} {gain:.2f} times as fast" for gain, name in gains)
    return f"the fastest design is bound by {gains[0][1]}: with a tenth more {told}"
