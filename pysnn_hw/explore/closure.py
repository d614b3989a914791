# SPDX-License-Identifier: BSD-2-Clause
"""Hardware in the loop: build the best design point, learn from what came out, choose again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pysnn_hw.explore.constraints import Constraints, Performance
from pysnn_hw.explore.design_point import AS_PREDICTED, Correction, DesignPoint, Goal


@dataclass(frozen=True)
class Built:
    """What a build came to.

    Attributes
    ----------
    clock_hz
        Clock that the bitstream sets.
    cycles, latency_cycles
        Measured: from one image to the next, and from first integer to last score of a lone one.
    facts
        What else there is to tell of it, by name.
    """

    clock_hz: float
    cycles: float
    latency_cycles: float
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """A design point that was built.

    Attributes
    ----------
    point
        It.
    built
        What came out; None if it does not build.
    problem
        Why it does not build.
    """

    point: DesignPoint
    built: Built | None
    problem: str = ""

    @property
    def performance(self) -> Performance | None:
        """What it does, measured."""
        if self.built is None:
            return None
        return Performance(
            self.point.accuracy,
            self.built.clock_hz / self.built.cycles,
            1e6 * self.built.latency_cycles / self.built.clock_hz,
        )

    def keeps(self, constraints: Constraints) -> bool:
        """Whether it was built and keeps ``constraints``."""
        done = self.performance
        return done is not None and not constraints.missed(done)


@dataclass(frozen=True)
class Closure:
    """What building came to.

    Attributes
    ----------
    attempts
        In the order in which they were built.
    winner
        The best that keeps the constraints; None if none does.
    """

    attempts: tuple[Attempt, ...]
    winner: Attempt | None


Build = Callable[[DesignPoint], Attempt]


def close(
    points: Sequence[DesignPoint],
    constraints: Constraints,
    goal: Goal,
    build: Build,
    *,
    most: int,
) -> Closure:
    """Build design points until none is left that should keep the constraints and be better.

    The best that should keep them comes first. What its build came to corrects what is predicted
    of the others on that board, up or down: if it falls short, the best that should still do is
    next, and if the clock came out so well that a better one may do, that is. After one that cannot
    be placed and routed, designs that were planned for another objective come first. While nothing
    keeps the constraints and nothing should, what should have by the first prediction is given a
    try, the one with most to spare first; then what would at the clock that place-and-route strives
    for.

    Parameters
    ----------
    points
        To choose from.
    constraints, goal
        What is asked for.
    build
        Builds and measures one.
    most
        Builds at most.
    """
    attempts: list[Attempt] = []
    while len(attempts) < most:
        best = _best(attempts, constraints, goal)
        following = next_point(points, attempts, constraints, goal)
        if following is None:
            break
        if best is not None and not _better(following, best, attempts, goal):
            break
        attempts.append(build(following))
    return Closure(tuple(attempts), _best(attempts, constraints, goal))


def next_point(
    points: Sequence[DesignPoint],
    attempts: Sequence[Attempt],
    constraints: Constraints,
    goal: Goal,
) -> DesignPoint | None:
    """The point to build after ``attempts``, see `close`; None if there is nothing to be had."""
    built = [attempt.point for attempt in attempts]
    waiting = sorted((p for p in points if p not in built), key=lambda p: p.rank(goal))
    likely = [p for p in waiting if p.qualifies(constraints, learnt(attempts, p.design.board))]
    if likely:
        # Of equally many failures the first.
        return min(likely, key=lambda p: _failures(attempts, p))
    if any(attempt.keeps(constraints) for attempt in attempts):
        return None
    promised = [p for p in waiting if p.qualifies(constraints)]
    if promised:
        return min(promised, key=lambda p: constraints.worst(p.expected()))
    known = {a.point.design.board for a in attempts if a.built is not None}
    hopeful = (p for p in waiting if p.design.board not in known)
    return next((p for p in hopeful if p.qualifies(constraints, p.hope)), None)


def _failures(attempts: Sequence[Attempt], point: DesignPoint) -> int:
    """Builds that came to nothing, of designs planned for the same: such designs are alike."""
    design = point.design
    return sum(
        a.built is None
        and (a.point.design.board, a.point.design.objective) == (design.board, design.objective)
        for a in attempts
    )


def learnt(attempts: Sequence[Attempt], board: str) -> Correction:
    """What the builds for a board say of the next: as far off as the worst of them."""
    speed, latency = [], []
    for attempt in attempts:
        done, expected = attempt.performance, attempt.point.expected()
        if done is not None and attempt.point.design.board == board:
            speed.append(done.images_per_s / expected.images_per_s)
            latency.append(done.latency_us / expected.latency_us)
    return Correction(min(speed), max(latency)) if speed else AS_PREDICTED


def _best(attempts: Sequence[Attempt], constraints: Constraints, goal: Goal) -> Attempt | None:
    kept = [(a, a.performance) for a in attempts if a.keeps(constraints)]
    rated = [(a.point.merit(goal, p), k, a) for k, (a, p) in enumerate(kept) if p is not None]
    return min(rated, key=lambda r: r[:2])[2] if rated else None


def _better(point: DesignPoint, best: Attempt, attempts: Sequence[Attempt], goal: Goal) -> bool:
    """Whether ``point`` should be better than what is built."""
    done = best.performance
    if done is None:
        return True
    expected = point.expected(learnt(attempts, point.design.board))
    return point.merit(goal, expected) < best.point.merit(goal, done)
