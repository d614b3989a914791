# SPDX-License-Identifier: BSD-2-Clause
"""Bounds: kept or not, by how much, and in which words."""

import pytest

from pysnn_hw.errors import PlanError
from pysnn_hw.explore import Constraints, Performance

DONE = Performance(0.97, 500.0, 2000.0)


@pytest.mark.parametrize(
    ("bounds", "missed"),
    [
        ({}, ()),
        ({"min_images_per_s": 500}, ()),
        ({"min_images_per_s": 501}, ("min_images_per_s",)),
        ({"max_latency_us": 2000}, ()),
        ({"max_latency_us": 1999}, ("max_latency_us",)),
        ({"min_accuracy": 0.97}, ()),
        ({"min_accuracy": 0.971}, ("min_accuracy",)),
        (
            {"min_images_per_s": 600, "max_latency_us": 2500, "min_accuracy": 0.98},
            ("min_images_per_s", "min_accuracy"),
        ),
    ],
)
def test_what_is_missed(bounds, missed):
    assert Constraints(**bounds).missed(DONE) == missed


def test_by_how_much():
    asked = Constraints(1000, 1000, 0.99)
    assert asked.excess(DONE) == pytest.approx(
        {"min_images_per_s": 2, "max_latency_us": 2, "min_accuracy": 3}
    )
    assert asked.shortfalls(DONE) == (
        "500 images/s instead of 1,000 images/s",
        "2,000 us of latency instead of 1,000 us of latency",
        "97.00 % accuracy instead of 99.00 % accuracy",
    )
    assert asked.without("max_latency_us").given == ("min_images_per_s", "min_accuracy")
    assert str(asked.without("max_latency_us")) == (
        "at least 1,000 images/s and at least 99.00 % accuracy"
    )
    assert str(Constraints(0.25)) == "at least 0.25 images/s"


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"min_images_per_s": 0.0}, "min images/s: must be positive, not 0"),
        ({"max_latency_us": -1.0}, "max latency: must be positive, not -1"),
        ({"min_accuracy": 1.0}, "between 0 and 100 %, not 100 %"),
        ({"min_accuracy": 0.0}, "between 0 and 100 %, not 0 %"),
    ],
)
def test_bounds_that_make_no_sense(bounds, said):
    with pytest.raises(PlanError, match=said):
        Constraints(**bounds).check()
