# SPDX-License-Identifier: BSD-2-Clause
"""Design points: a candidate on a board. Which of them is best, and which no other beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Literal

from pysnn_hw.explore.constraints import Constraints, Performance
from pysnn_hw.explore.design import Design
from pysnn_hw.explore.front import Point
from pysnn_hw.explore.record import Record

Goal = Literal["accuracy", "throughput", "latency", "smallest"]
"""What the best design point has most, or least, of."""


@dataclass(frozen=True)
class Correction:
    """Factors on what is predicted of designs.

    Attributes
    ----------
    speed
        On images per second.
    latency
        On the latency.
    """

    speed: float = 1.0
    latency: float = 1.0


AS_PREDICTED = Correction()


@dataclass(frozen=True)
class DesignPoint:
    """A candidate as a design on a board.

    Attributes
    ----------
    trial
        Number of the trial that measured the candidate.
    point
        The candidate with its accuracy.
    design
        The design.
    """

    trial: int
    point: Point
    design: Design

    @property
    def accuracy(self) -> float:
        """Fraction classified correctly."""
        return self.point.tally.accuracy

    @property
    def hope(self) -> Correction:
        """The correction if the clock came to all that place-and-route strives for."""
        times = self.design.hoped_clock_hz / self.design.clock_hz
        return Correction(times, 1 / times)

    def expected(self, correction: Correction = AS_PREDICTED) -> Performance:
        """What it should do."""
        design = self.design
        return Performance(
            self.accuracy,
            design.images_per_s * correction.speed,
            design.latency_us * correction.latency,
        )

    def qualifies(self, constraints: Constraints, correction: Correction = AS_PREDICTED) -> bool:
        """Whether its board holds it and it should keep ``constraints``."""
        return self.design.fits and not constraints.missed(self.expected(correction))

    def merit(self, goal: Goal, performance: Performance) -> tuple[float, ...]:
        """What counts for ``goal``: the less, the better."""
        if goal == "accuracy":
            return (-performance.accuracy,)
        if goal == "throughput":
            return (-performance.images_per_s,)
        if goal == "latency":
            return (performance.latency_us,)
        return self.design.size

    def rank(self, goal: Goal) -> tuple[object, ...]:
        """Orders design points by ``goal``, the best first; of equals the more frugal first."""
        expected = self.expected()
        return (
            *self.merit(goal, expected),
            *(-expected.accuracy, *self.design.size, -expected.images_per_s),
            *(self.point.candidate, self.design.board, self.design.objective),
        )


def design_points(records: Sequence[Record]) -> list[DesignPoint]:
    """Every design of every measured candidate, by the best measurement there is of each."""
    return [
        DesignPoint(record.number, record.measured, design)
        for record in records
        if record.measured is not None
        for design in record.measured.prediction.designs
    ]


def design_front(points: Sequence[DesignPoint]) -> list[DesignPoint]:
    """Design points that fit and that no other beats in accuracy, speed and size, fastest first."""
    fitting = [p for p in points if p.design.fits]
    front = [p for p in fitting if not any(_dominates(q, p) for q in fitting)]
    return sorted(front, key=lambda p: p.rank("throughput"))


def _dominates(a: DesignPoint, b: DesignPoint) -> bool:
    mine = (-a.accuracy, -a.design.images_per_s, a.design.size)
    other = (-b.accuracy, -b.design.images_per_s, b.design.size)
    no_worse = mine[0] <= other[0] and mine[1] <= other[1] and mine[2] <= other[2]
    return no_worse and mine != other


def contenders(
    records: Sequence[Record], constraints: Constraints, goal: Goal, count: int
) -> list[Record]:
    """The trials to measure more closely, at most ``count``, the most promising first.

    By turns the best that should keep the constraints and the best that might with luck: a clock
    as place-and-route strives for it, an accuracy a standard error better. If there are too few,
    what comes closest follows.
    """
    points = sorted(design_points(records), key=lambda p: p.rank(goal))
    likely = dict.fromkeys(p.trial for p in points if p.qualifies(constraints))
    possible = dict.fromkeys(p.trial for p in points if _may_qualify(p, constraints))
    nearest = sorted(
        (p for p in points if p.design.fits),
        key=lambda p: constraints.worst(p.expected()),
    )
    turns = chain.from_iterable(zip_longest(likely, possible))
    order = dict.fromkeys([*turns, *(p.trial for p in nearest)])
    by_number = {record.number: record for record in records}
    return [by_number[trial] for trial in order if trial is not None][:count]


def _may_qualify(point: DesignPoint, constraints: Constraints) -> bool:
    hoped, tally = point.expected(point.hope), point.point.tally
    better = min(1.0, tally.accuracy + tally.loss_error / 100)
    lucky = Performance(better, hoped.images_per_s, hoped.latency_us)
    return point.design.fits and not constraints.missed(lucky)
