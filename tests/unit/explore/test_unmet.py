# SPDX-License-Identifier: BSD-2-Clause
"""Why nothing qualifies: the bound that binds, and what comes closest."""

from pysnn_hw.explore import Constraints, why_unmet
from tests.unit.explore.points import at

POINTS = [
    at(0, 995, 600),
    at(1, 990, 800),
    at(2, 900, 4000),
    at(3, 999, 9000, fits=False),
]


def test_the_rate_binds():
    found = why_unmet(POINTS, Constraints(min_images_per_s=5000), "accuracy")
    assert found.binding == ("min_images_per_s",)
    assert found.closest is POINTS[2]
    assert "none of 4 candidates should come to at least 5,000 images/s on small" in found.problem
    assert "without the bound of 5,000 images/s some would" in found.problem
    assert "4,000 images/s instead of 5,000 images/s" in found.problem
    assert "fewer images per second" in found.hint


def test_the_accuracy_binds():
    found = why_unmet(POINTS, Constraints(min_accuracy=0.997), "throughput")
    assert found.binding == ("min_accuracy",)
    assert found.closest is POINTS[0]
    assert "99.50 % accuracy instead of 99.70 % accuracy" in found.problem
    assert "ask for less accuracy" in found.hint


def test_either_of_two():
    found = why_unmet(POINTS, Constraints(1000, None, 0.99), "accuracy")
    assert found.binding == ("min_images_per_s", "min_accuracy")
    assert found.closest is POINTS[1]
    assert "without the bound of 1,000 images/s or 99.00 % accuracy" in found.problem


def test_several_at_once():
    found = why_unmet(POINTS, Constraints(5000, 1.0, None), "accuracy")
    assert found.binding == ()
    assert "several bounds stand in the way" in found.problem
    assert "relax" in found.hint


def test_nothing_fits():
    points = [at(0, 990, fits=False, share=1.4), at(1, 900, fits=False, share=1.2)]
    found = why_unmet(points, Constraints(), "accuracy")
    assert found.binding == ("board",)
    assert found.closest is points[1]
    assert "none of 2 candidates fits on small" in found.problem
    assert "needs 31 BRAM of 27 (4 too many)" in found.problem
