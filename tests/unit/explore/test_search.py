# SPDX-License-Identifier: BSD-2-Clause
"""Measuring a network, giving up early, and what goes into the last round."""

import numpy as np
import pytest

from pysnn_hw.explore import Candidate, Limits, Point, Prediction, Rules, Tally, finalists, tally
from pysnn_hw.explore.record import Record
from pysnn_hw.explore.search import why_stop
from pysnn_hw.golden import simulate
from tests.networks import random_images, random_network


def counts(correct, images=1000, sops=100, agreeing=None):
    agreeing = correct if agreeing is None else agreeing
    return Tally(images, correct, images, agreeing, {"a": images * sops}, 1)


def point(correct, images=1000, sops=100, cycles=10.0, **knobs):
    return Point(Candidate(**knobs), counts(correct, images, sops), Prediction(cycles, "test"), 1.0)


def record(number, rungs, *, cycles=10.0, stopped="", **knobs):
    last = Point(Candidate(**knobs), rungs[-1], Prediction(cycles, "test"), 1.0)
    return Record(number, last.candidate, False, rungs=tuple(rungs), point=last, stopped=stopped)


RULES = Rules((100, 1000), Limits(sops=200, cycles=50))


def test_tallies_of_parts_add_up():
    rng = np.random.default_rng(3)
    net = random_network(rng)
    images = random_images(rng, net, 12)
    labels, original = rng.integers(0, 3, 12), rng.integers(0, 3, 12)
    whole = tally(net, images, labels, original, threads=1)
    parts = [tally(net, images[s], labels[s], original[s]) for s in (slice(5), slice(5, 12))]
    assert parts[0] + parts[1] == whole
    found = simulate(net, images)
    assert whole.correct == (found.classes == labels).sum()
    assert whole.agreeing == (found.classes == original).sum()
    assert whole.original_correct == (original == labels).sum()
    assert whole.sops_per_image == pytest.approx(sum(v.mean() for v in found.sops.values()))
    assert whole.spikes_per_image == pytest.approx(sum(v.mean() for v in found.spikes.values()))
    assert Tally.from_json(whole.to_json()) == whole


def test_loss_is_in_points_and_knows_its_error():
    found = Tally(400, 380, 384, 364, {"a": 4000}, 1)
    assert found.loss == pytest.approx(1.0)
    assert found.loss_error == pytest.approx(100 * 6 / 400)
    assert found.sops_per_image == 10


def test_what_is_too_dear_is_given_up():
    assert why_stop(point(990), 0, [], RULES) == ""
    assert "200 SOPs" in why_stop(point(990, sops=201), 0, [], RULES)
    assert "50 cycles" in why_stop(point(990, cycles=51.0), 0, [], RULES)
    assert "more than 10 points" in why_stop(point(800), 0, [], RULES)
    assert why_stop(point(885), 0, [], RULES) == ""


def test_what_is_clearly_beaten_is_given_up():
    better = record(7, [counts(99, 100), counts(990)])
    assert "trial 7" in why_stop(point(930), 1, [better], RULES)
    assert why_stop(point(985), 1, [better], RULES) == ""
    assert why_stop(point(930, sops=99), 1, [better], RULES) == ""
    assert why_stop(point(930, cycles=9.0), 1, [better], RULES) == ""


def test_only_the_same_images_are_compared():
    early = record(7, [counts(99, 100)])
    assert why_stop(point(930), 1, [early], RULES) == ""
    assert why_stop(point(90, 100), 0, [early], RULES) != ""


def test_the_last_round():
    records = [
        record(0, [counts(999, sops=150)], levels=5),
        record(1, [counts(997, sops=120)], levels=4),
        record(2, [counts(900, sops=50)], levels=2),
        record(3, [counts(999, sops=40)], levels=1, stopped="lame"),
        record(4, [counts(990, sops=110)], levels=3),
    ]
    best = finalists(records, Limits(), tolerance=0.5, price="sops", count=3)
    assert [r.number for r in best] == [1, 0, 4]
    assert [
        r.number for r in finalists(records, Limits(), tolerance=20, price="sops", count=1)
    ] == [2]
