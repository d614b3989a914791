# SPDX-License-Identifier: BSD-2-Clause
"""Hardware in the loop: what falls short is followed by the next, and predictions are corrected."""

import pytest

from pysnn_hw.explore import Attempt, Built, Constraints, close
from pysnn_hw.explore.closure import learnt
from tests.unit.explore.points import CLOCK_HZ, at


class Factory:
    """Builds whose clock is some share of what was expected of a trial, or that fail."""

    def __init__(self, **clocks):
        self.clocks = {int(name[1:]): share for name, share in clocks.items()}
        self.tried = []

    def __call__(self, point):
        self.tried.append(point.trial)
        share = self.clocks.get(point.trial, 1.0)
        if share is None:
            return Attempt(point, None, "no room")
        design = point.design
        return Attempt(point, Built(share * CLOCK_HZ, design.cycles, design.latency_cycles))


POINTS = [
    at(0, 995, 600),
    at(1, 990, 1100),
    at(2, 985, 1500),
    at(3, 980, 4000),
]
ASKED = Constraints(min_images_per_s=1000)


def run(factory, points=POINTS, asked=ASKED, goal="accuracy", most=9):
    found = close(points, asked, goal, factory, most=most)
    assert [a.point.trial for a in found.attempts] == factory.tried
    return None if found.winner is None else found.winner.point.trial


def test_the_best_is_built_and_that_is_all():
    factory = Factory()
    assert run(factory) == 1
    assert factory.tried == [1]


def test_what_falls_short_is_followed_by_the_next_that_should_still_do():
    factory = Factory(t1=0.6)
    # Two thirds of 1,500 would do no more at six tenths of the clock: the next is passed over.
    assert run(factory) == 3
    assert factory.tried == [1, 3]


def test_the_next_may_fall_short_as_well():
    factory = Factory(t1=0.9, t2=0.6)
    assert run(factory) == 3
    assert factory.tried == [1, 2, 3]


def test_what_cannot_be_placed_is_followed_by_the_next():
    factory = Factory(t1=None)
    assert run(factory) == 2
    assert factory.tried == [1, 2]


def test_designs_of_another_kind_come_before_more_of_one_that_cannot_be_placed():
    points = [
        at(1, 990, 1100, objective="smallest"),
        at(2, 985, 1500, objective="smallest"),
        at(3, 980, 4000),
    ]
    factory = Factory(t1=None, t2=None)
    assert run(factory, points) == 3
    # The more accurate one of the kind that failed has its turn after it.
    assert factory.tried == [1, 3, 2]
    factory = Factory(t1=None, t3=None)
    assert run(factory, points) == 2
    assert factory.tried == [1, 3, 2]


def test_a_better_clock_than_expected_lets_a_more_accurate_one_do():
    factory = Factory(t1=1.8, t0=1.7)
    assert run(factory) == 0
    assert factory.tried == [1, 0]


def test_a_more_accurate_one_that_does_not_keep_up_is_not_taken():
    factory = Factory(t1=1.8, t0=1.1)
    assert run(factory) == 1
    assert factory.tried == [1, 0]


def test_nothing_keeps_the_bounds():
    factory = Factory(t1=0.1, t2=0.1, t3=0.1)
    assert run(factory) is None
    # None should any more after the first; the one with most to spare is tried before the other.
    assert factory.tried == [1, 3, 2]


def test_one_bad_build_does_not_speak_for_all():
    factory = Factory(t1=0.1)
    assert run(factory) == 3
    assert factory.tried == [1, 3]


def test_no_more_builds_than_allowed():
    factory = Factory(t1=0.95 * 0.95, t2=0.5, t3=1.0)
    assert run(factory, most=2) is None
    assert factory.tried == [1, 2]


def test_where_nothing_should_do_what_might_is_given_a_try():
    factory = Factory(t3=1.5)
    # 4,000 images/s are expected, 6,400 hoped for.
    assert run(factory, asked=Constraints(min_images_per_s=6000)) == 3
    assert run(Factory(), asked=Constraints(min_images_per_s=7000)) is None
    factory = Factory(t3=1.2)
    assert run(factory, asked=Constraints(min_images_per_s=6000)) is None
    assert factory.tried == [3]


def test_one_board_says_nothing_of_another():
    points = [at(0, 990, 1100), at(1, 985, 1100, board="large")]
    factory = Factory(t0=0.5)
    assert run(factory, points) == 1
    assert factory.tried == [0, 1]


@pytest.mark.parametrize(
    ("goal", "first"), [("accuracy", 0), ("throughput", 3), ("smallest", 2), ("latency", 1)]
)
def test_the_goal_decides(goal, first):
    points = [
        at(0, 995, 2000),
        at(1, 990, 2000, latency_us=100),
        at(2, 985, 2000, share=0.1),
        at(3, 980, 4000),
    ]
    factory = Factory()
    assert run(factory, points, goal=goal) == first
    assert factory.tried == [first]


def test_what_is_learnt_is_the_worst_of_a_board():
    done = Factory(t1=1.2, t2=0.8)
    attempts = [done(POINTS[1]), done(POINTS[2])]
    found = learnt(attempts, "small")
    assert (found.speed, found.latency) == (pytest.approx(0.8), pytest.approx(1.25))
    assert learnt(attempts, "large").speed == 1


def test_latency_is_bounded_too():
    points = [at(0, 990, 1100, latency_us=900), at(1, 980, 1100, latency_us=400)]
    factory = Factory(t0=0.8)
    assert run(factory, points, Constraints(max_latency_us=1000)) == 1
    assert factory.tried == [0, 1]
