# SPDX-License-Identifier: BSD-2-Clause
"""Which design point is best, which are on the front, and which trials are looked at closely."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.explore import Constraints, contenders, design_front, design_points
from pysnn_hw.explore.design_point import Correction
from tests.unit.explore.points import at, design, record


def best(points, goal):
    return min(points, key=lambda p: p.rank(goal)).trial


def test_each_goal_has_its_best():
    points = [
        at(0, 990, 500, share=0.9, latency_us=3000),
        at(1, 980, 900, share=0.8, latency_us=2500),
        at(2, 970, 700, share=0.8, latency_us=900),
        at(3, 960, 100, share=0.2, latency_us=9000),
        at(4, 960, 100, share=0.1, latency_us=9000, board="large"),
    ]
    found = {g: best(points, g) for g in ("accuracy", "throughput", "latency", "smallest")}
    assert found == {"accuracy": 0, "throughput": 1, "latency": 2, "smallest": 3}


def test_of_equally_accurate_designs_the_smaller_comes_first():
    assert best([at(0, 990, 900, share=0.9), at(0, 990, 300, share=0.3)], "accuracy") == 0
    small, fast = at(0, 990, 300, share=0.3), at(0, 990, 900, share=0.9)
    assert min([fast, small], key=lambda p: p.rank("accuracy")) is small


def test_what_qualifies():
    asked = Constraints(min_images_per_s=1500, max_latency_us=2000)
    assert not at(0, 990, 1000).qualifies(asked)
    assert at(0, 990, 1000).qualifies(asked, Correction(1.5, 1.0))
    assert not at(0, 990, 1000).qualifies(asked, Correction(1.5, 1.1))
    assert at(0, 990, 1000).qualifies(asked, at(0, 990, 1000).hope)
    assert at(0, 990, 1500).qualifies(asked)
    assert not at(0, 990, 1500, fits=False).qualifies(asked)


figures = st.tuples(
    st.integers(980, 983), st.sampled_from([100.0, 200.0, 300.0]), st.sampled_from([0.2, 0.4, 0.6])
)


@settings(deadline=None, max_examples=60)
@given(st.lists(figures, min_size=1, max_size=8))
def test_the_front_is_what_nothing_beats(some):
    points = [at(k, right, rate, share=share) for k, (right, rate, share) in enumerate(some)]
    front = design_front(points)
    assert front
    for k, mine in enumerate(some):
        beaten = any(
            other[0] >= mine[0] and other[1] >= mine[1] and other[2] <= mine[2] and other != mine
            for other in some
        )
        assert (points[k] in front) == (not beaten)
    rates = [p.design.images_per_s for p in front]
    assert rates == sorted(rates, reverse=True)


def test_what_does_not_fit_is_not_on_the_front():
    assert [p.trial for p in design_front([at(0, 999, fits=False), at(1, 900)])] == [1]


def test_every_design_of_the_best_measurement():
    records = [
        record(0, 990, design(100), design(200), final=4900),
        record(1, 980, design(300)),
    ]
    points = design_points(records)
    assert [(p.trial, p.design.images_per_s) for p in points] == [
        (0, pytest.approx(100)),
        (0, pytest.approx(200)),
        (1, pytest.approx(300)),
    ]
    assert points[0].point.tally.images == 5000


def test_contenders_are_those_that_keep_the_bounds_and_those_that_may():
    records = [
        record(0, 999, design(200)),  # far too slow
        record(1, 995, design(700)),  # fast enough with a better clock
        record(2, 990, design(1200)),
        record(3, 985, design(1100)),
        record(4, 998, design(2000, fits=False)),
    ]
    asked = Constraints(min_images_per_s=1000)
    chosen = contenders(records, asked, "accuracy", 9)
    assert [r.number for r in chosen] == [2, 1, 3, 0]
    assert [r.number for r in contenders(records, asked, "accuracy", 2)] == [2, 1]
    assert [r.number for r in contenders(records, asked, "throughput", 2)] == [2, 3]


def test_an_accuracy_that_may_be_chance_is_looked_at_again():
    # The first misses both bounds by less, but no luck could make it keep them.
    records = [record(0, 998, design(500)), record(1, 997, design(1200))]
    asked = Constraints(min_images_per_s=1000, min_accuracy=0.999)
    assert [r.number for r in contenders(records, asked, "throughput", 1)] == [1]
