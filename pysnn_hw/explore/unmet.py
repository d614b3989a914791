# SPDX-License-Identifier: BSD-2-Clause
"""Why nothing keeps the constraints: which of them binds, and what comes closest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pysnn_hw.explore.constraints import Constraints, bound
from pysnn_hw.explore.design_point import DesignPoint, Goal

REMEDIES: Mapping[str, str] = {
    "min_images_per_s": "ask for fewer images per second or name a larger board",
    "max_latency_us": "allow more latency or name a larger board",
    "min_accuracy": "ask for less accuracy, try more candidates or allow methods that train",
}
"""What helps, by the constraint that binds."""
WIDER = "try more candidates or relax the constraints"


@dataclass(frozen=True)
class Unmet:
    """Why nothing qualifies.

    Attributes
    ----------
    binding
        Names of the constraints without any one of which something would qualify; ``board`` if no
        board holds any candidate; empty if it takes more than one of them to go.
    closest
        The point that misses by least.
    problem, hint
        What is wrong and what to do, in words.
    """

    binding: tuple[str, ...]
    closest: DesignPoint
    problem: str
    hint: str


def why_unmet(points: Sequence[DesignPoint], constraints: Constraints, goal: Goal) -> Unmet:
    """Explain why none of ``points``, at least one, should keep ``constraints``."""
    count = len({p.trial for p in points})
    boards = ", ".join(dict.fromkeys(p.design.board for p in points))
    fitting = [p for p in points if p.design.fits]
    if not fitting:
        closest = min(points, key=lambda p: (p.design.share, p.rank(goal)))
        problem = (
            f"none of {count} candidates fits on {boards}; the closest is {closest.point.candidate}"
            f" on {closest.design.board}, which {'; '.join(closest.design.shortfalls)}"
        )
        return Unmet(("board",), closest, problem, "")
    binding = tuple(
        name
        for name in constraints.given
        if any(p.qualifies(constraints.without(name)) for p in fitting)
    )
    closest = min(
        fitting,
        key=lambda p: (constraints.worst(p.expected()), p.rank(goal)),
    )
    short = " and ".join(constraints.shortfalls(closest.expected()))
    said = " or ".join(bound(name, getattr(constraints, name)) for name in binding)
    binds = f"without the bound of {said} some would" if said else "several bounds stand in the way"
    problem = (
        f"none of {count} candidates should come to {constraints} on {boards} ({binds}); the "
        f"closest, {closest.point.candidate}, has {short} on {closest.design.board}"
    )
    hint = "; or ".join(REMEDIES[name] for name in binding) or WIDER
    return Unmet(binding, closest, problem, hint)
