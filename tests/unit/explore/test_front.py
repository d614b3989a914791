# SPDX-License-Identifier: BSD-2-Clause
"""The Pareto front and the choice from it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.explore import Candidate, Limits, Point, Prediction, Tally, choose, pareto
from pysnn_hw.explore.front import dominates

WIDE = Limits()


def point(loss: float, sops: float, cycles: float = 100.0, *, levels: int = 4, fits: bool = True):
    """A point that loses so many points of 1,000 images."""
    correct = 900 - round(10 * loss)
    tally = Tally(1000, correct, 900, 950, {"a": int(1000 * sops)}, 10)
    return Point(Candidate(levels=levels), tally, Prediction(cycles, "test", fits), 1.0)


def figures(p: Point) -> tuple[float, float, float]:
    return p.tally.loss, p.tally.sops_per_image, p.prediction.cycles


points = st.lists(
    st.builds(point, st.integers(0, 5), st.integers(1, 6), st.integers(1, 6)), min_size=1
)


@settings(deadline=None, max_examples=60)
@given(points)
def test_the_front_is_what_nothing_beats(some):
    front = pareto(some)
    assert front
    for p in some:
        beaten = any(
            all(a <= b for a, b in zip(figures(q), figures(p), strict=True))
            and figures(q) != figures(p)
            for q in some
        )
        assert (p in front) == (not beaten)
    assert [p.tally.sops_per_image for p in front] == sorted(p.tally.sops_per_image for p in front)


def test_a_point_does_not_dominate_its_equal():
    assert not dominates(point(1, 2, 3), point(1, 2, 3))
    assert dominates(point(1, 2, 3), point(1, 2, 4))
    assert not dominates(point(1, 2, 4), point(0, 3, 5))


def test_the_cheapest_within_the_tolerance():
    some = [point(0.1, 30), point(0.5, 20), point(0.6, 10)]
    choice = choose(some, WIDE, tolerance=0.5, price="sops")
    assert choice.point is some[1]
    said = " ".join(choice.reasons)
    assert "2 lose at most 0.5 points" in said
    assert "20 per image" in said
    assert "saves 50.0 % of the SOPs and loses 0.60 points" in said
    assert "loses 0.10 points and needs 50.0 % more SOPs" in said


def test_the_price_may_be_cycles():
    some = [point(0.1, 30, 5), point(0.2, 20, 9)]
    assert choose(some, WIDE, tolerance=0.5, price="cycles").point is some[0]
    assert choose(some, WIDE, tolerance=0.5, price="sops").point is some[1]


def test_the_most_accurate_if_none_is_close():
    some = [point(2, 30), point(3, 20)]
    choice = choose(some, WIDE, tolerance=0.5, price="sops")
    assert choice.point is some[0]
    assert "None of 2 points comes within 0.5 points" in choice.reasons[0]


@pytest.mark.parametrize(
    ("limits", "excuse"),
    [
        (Limits(sops=25), "30 SOPs instead of 25"),
        (Limits(cycles=99), "100 cycles instead of 99"),
    ],
)
def test_limits_exclude(limits, excuse):
    dear, cheap = point(0, 30), replace(point(1, 20), prediction=Prediction(50.0, "test"))
    assert choose([dear, cheap], limits, tolerance=0.5, price="sops").point is cheap
    alone = choose([dear], limits, tolerance=0.5, price="sops")
    assert alone.point is dear
    assert "No point keeps the limits" in alone.reasons[0]
    assert excuse in alone.reasons[0]


def test_what_a_board_does_not_hold_is_not_taken():
    some = [point(0, 10, fits=False), point(0, 20)]
    assert choose(some, WIDE, tolerance=0.5, price="sops").point is some[1]
    assert "does not hold it" in choose(some[:1], WIDE, tolerance=1, price="sops").reasons[0]
