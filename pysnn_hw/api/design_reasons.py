# SPDX-License-Identifier: BSD-2-Clause
"""Why a design was taken, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from pysnn_hw.explore import Attempt, Closure, Constraints, DesignPoint, Goal, Tally

BEST: dict[Goal, str] = {
    "accuracy": "is the most accurate",
    "throughput": "gives the most images per second",
    "latency": "has the least latency",
    "smallest": "takes the smallest board and the least of it",
}


def reasons(
    points: Sequence[DesignPoint],
    closure: Closure,
    chosen: DesignPoint | None,
    constraints: Constraints,
    goal: Goal,
    test: Tally | None,
) -> tuple[str, ...]:
    """Sentences about the choice.

    Parameters
    ----------
    points
        Everything that there was to choose from.
    closure
        What was built.
    chosen
        What was taken; None if nothing keeps the bounds.
    constraints, goal
        What was asked for.
    test
        What the chosen candidate does on images that the choice does not rest on, if there are any.
    """
    said = [_built(attempt, constraints) for attempt in closure.attempts]
    if chosen is None:
        return tuple(said)
    keeping = [p for p in points if p.qualifies(constraints)]
    asked = f"should come to {constraints}" if constraints.given else "fit"
    trials = len({p.trial for p in keeping})
    expected = chosen.expected()
    tally = chosen.point.tally
    said.insert(
        0,
        f"Of {len({p.trial for p in points})} candidates {trials} {asked}. "
        f"This one {BEST[goal]}{' of those built' if closure.winner else ''}: "
        f"{100 * tally.accuracy:.2f} % of {tally.images:,} validation images (the original network "
        f"{100 * tally.original_accuracy:.2f} %), {expected.images_per_s:,.0f} images/s and "
        f"{expected.latency_us:,.0f} us of latency expected at "
        f"{chosen.design.clock_hz / 1e6:.1f} MHz on {chosen.design.board}.",
    )
    if test is not None:
        said.append(
            f"On {test.images:,} test images that played no part in the choice it is right on "
            f"{100 * test.accuracy:.2f} %, the original network on "
            f"{100 * test.original_accuracy:.2f} %."
        )
    better = sorted(
        (p for p in points if p.accuracy > chosen.accuracy and p.design.fits),
        key=lambda p: -p.design.images_per_s,
    )
    if better and constraints.given:
        near = better[0]
        short = constraints.shortfalls(near.expected())
        if short:
            said.append(
                f"Of those that are more accurate, {near.point.candidate.short} comes closest: "
                f"{100 * near.accuracy:.2f} %, {' and '.join(short)} on {near.design.board}."
            )
    return tuple(said)


def _built(attempt: Attempt, constraints: Constraints) -> str:
    point, built, done = attempt.point, attempt.built, attempt.performance
    what = f"{point.point.candidate.short} on {point.design.board}, {point.design.objective}"
    if built is None or done is None:
        return f"Built: {what}: cannot be placed and routed ({attempt.problem})."
    expected = point.expected()
    missed = constraints.shortfalls(done)
    verdict = f"falls short: {' and '.join(missed)}" if missed else "keeps the bounds"
    return (
        f"Built: {what}: {built.clock_hz / 1e6:.1f} MHz and {built.cycles:,.0f} cycles per image, "
        f"{done.images_per_s:,.0f} images/s ({expected.images_per_s:,.0f} expected); {verdict}."
    )
