# SPDX-License-Identifier: BSD-2-Clause
"""`explore` as a whole, on a network of a few neurons: bounds, builds, interruptions, workers."""

import json
import multiprocessing
import os
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw import api
from pysnn_hw.api import searching
from pysnn_hw.cli import main
from pysnn_hw.config import ExploreOptions, SearchOptions
from pysnn_hw.data import load_dataset
from pysnn_hw.errors import BoardError, FileFormatError, ModelError, PlanError
from pysnn_hw.explore import Attempt, Built
from pysnn_hw.golden import simulate
from pysnn_hw.ir.file import load
from pysnn_hw.plan import Schedule
from tests.unit.test_cli import FACTORY

SEARCH = SearchOptions(
    trials=3, images=30, calibration_images=20, max_timesteps=1, max_levels=3, methods=("rate",)
)
QUICK = ExploreOptions(("icebreaker",), search=SEARCH)


@pytest.fixture
def tiny(tmp_path):
    """A model, and data whose labels mean nothing."""
    (tmp_path / "tiny.py").write_text(FACTORY)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 6, 6), np.uint8), rng.integers(0, 3, 40)
    np.savez(tmp_path / "data.npz", x_test=x, y_test=y, x_train=x, y_train=y)
    return f"{tmp_path / 'tiny.py'}:make", str(tmp_path / "data.npz")


def fake(shares, tried):
    """Builds whose clock is the next of ``shares`` of the expected one; None does not build."""
    left = iter(shares)

    def build(point):
        tried.append(point)
        share, design = next(left), point.design
        if share is None:
            return Attempt(point, None, "no room")
        clock = share * design.clock_hz
        return Attempt(point, Built(clock, design.cycles, design.latency_cycles))

    return lambda _: build


def figures(found):
    """What a search found, whatever the order."""
    return sorted((d.name, d.board, d.plan_objective, d.accuracy, d.lut) for d in found.designs)


def test_the_answer_and_its_files(tiny, tmp_path):
    seen = []
    options = replace(QUICK, min_images_per_s=1000.0)
    out = tmp_path / "out"
    found = api.explore(*tiny, out, options, progress=lambda *step: seen.append(step))
    assert found.candidates == 3
    assert ("search", 3, 3) in seen
    chosen = found.chosen
    assert chosen in found.designs
    assert chosen.keeps_bounds
    assert chosen.images_per_s >= 1000
    assert chosen.images_per_s == pytest.approx(1e6 * chosen.clock_mhz / chosen.cycles_per_image)
    keeping = [d for d in found.designs if d.keeps_bounds]
    assert chosen.accuracy == max(d.accuracy for d in keeping)
    assert (found.built, found.builds) == (None, ())

    # Half of the images chose, the other half tells; the file is what was measured.
    net, data = load(found.network), load_dataset(tiny[1])
    order = np.random.default_rng(0).permutation(40)
    right = (simulate(net, data.x_test).classes == data.y_test)[order]
    assert (chosen.images, found.test_images) == (20, 20)
    assert chosen.accuracy == pytest.approx(right[:20].mean())
    assert found.test_accuracy == pytest.approx(right[20:].mean())
    schedule = Schedule.from_json(json.loads(found.schedule.read_text()))
    assert [p for core in schedule.cores for p in core.populations] == [
        p.name for p in net.populations
    ]
    document = json.loads(found.results.read_text())
    assert document["chosen"]["trial"] == chosen.trial
    page = found.page.read_text()
    assert found.reasons[0] in page
    assert chosen.name in page


def test_the_same_question_again_measures_nothing_and_another_bound_neither(
    tiny, tmp_path, monkeypatch
):
    first = api.explore(*tiny, tmp_path / "a", QUICK)

    def never(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(searching, "measure_finally", never)
    monkeypatch.setattr(searching.Subject, "network", never)
    again = api.explore(*tiny, tmp_path / "a", QUICK)
    assert again.designs == first.designs
    assert again.chosen == first.chosen
    bounded = api.explore(*tiny, tmp_path / "a", replace(QUICK, min_images_per_s=10.0))
    assert figures(bounded) == figures(first)


def test_a_bound_that_cannot_be_kept(tiny, tmp_path):
    options = replace(QUICK, min_images_per_s=1e9)
    with pytest.raises(PlanError) as caught:
        api.explore(*tiny, tmp_path / "out", options)
    said = str(caught.value)
    assert said.startswith("explore: none of 3 candidates should come to at least 1,000,000,000")
    assert "without the bound of 1,000,000,000 images/s some would" in said
    assert "images/s instead of 1,000,000,000 images/s on icebreaker" in said
    assert "name a larger board" in said
    # What was found is there to look at.
    document = json.loads((tmp_path / "out" / "explore.json").read_text())
    assert document["chosen"] is None
    assert len(document["designs"]) >= 3
    assert "Nothing keeps the bounds" in (tmp_path / "out" / "explore.html").read_text()


def test_a_bound_that_luck_may_keep(tiny, tmp_path):
    fastest = max(d.images_per_s for d in api.explore(*tiny, tmp_path / "out", QUICK).designs)
    options = replace(QUICK, min_images_per_s=1.05 * fastest)
    with pytest.raises(PlanError, match="let --build try whether its clock comes out better"):
        api.explore(*tiny, tmp_path / "out", options)
    # Which it does: the upper end of what is predicted is enough.
    tried = []
    found = api.explore(
        *tiny, tmp_path / "out", replace(options, build=True), builder=fake([1.4], tried)
    )
    assert found.built.images_per_s >= 1.05 * fastest
    assert not found.chosen.keeps_bounds


def test_what_falls_short_is_followed_by_the_next(tiny, tmp_path):
    expected = api.explore(*tiny, tmp_path / "out", QUICK)
    slowest = min(d.images_per_s for d in expected.designs)
    tried = []
    options = replace(QUICK, build=True, min_images_per_s=0.5 * slowest)
    found = api.explore(*tiny, tmp_path / "out", options, builder=fake([None, 0.9], tried))
    assert len(tried) == len(found.builds) == 2
    assert found.builds[0].problem == "no room"
    assert found.built is not None
    assert found.built == found.builds[1]
    assert found.chosen == found.built.design
    assert found.built.images_per_s == pytest.approx(0.9 * found.chosen.images_per_s)
    assert any("cannot be placed and routed (no room)" in text for text in found.reasons)
    assert load(found.network).provenance["candidate"]["levels"] == found.chosen.levels

    tried.clear()
    slow = api.explore(*tiny, tmp_path / "out", options, builder=fake([0.1, 0.9, 0.9], tried))
    assert [b.keeps_bounds for b in slow.builds] == [False, True]
    assert slow.built == slow.builds[1]
    assert any("falls short" in text for text in slow.reasons)
    assert "images/s instead of" in slow.builds[0].missed[0]


def test_nothing_that_was_built_keeps_the_bound(tiny, tmp_path):
    options = replace(QUICK, build=True, max_builds=2, min_images_per_s=1000.0)
    tried = []
    with pytest.raises(PlanError, match="the closest, rate T=1") as caught:
        api.explore(*tiny, tmp_path / "out", options, builder=fake([1e-6] * 9, tried))
    assert "images/s instead of 1,000 images/s" in str(caught.value)
    document = json.loads((tmp_path / "out" / "explore.json").read_text())
    assert len(document["builds"]) == len(tried) >= 1
    with pytest.raises(PlanError, match=r"2 designs that were built can be .*no room.*allow mo"):
        api.explore(*tiny, tmp_path / "out", options, builder=fake([None] * 9, tried))


def test_two_workers_find_what_one_finds(tiny, tmp_path):
    alone = api.explore(*tiny, tmp_path / "a", QUICK)
    workers = replace(QUICK, search=replace(SEARCH, workers=2))
    shared = api.explore(*tiny, tmp_path / "b", workers)
    assert figures(shared) == figures(alone)
    assert replace(shared.chosen, trial=0) == replace(alone.chosen, trial=0)


def interrupted(model, data, out, stop):
    """Runs until ``stop`` (what, done) is told of, and then dies as if killed."""

    def progress(what, done, total):
        if (what, done) == stop:
            os._exit(9)

    api.explore(model, data, out, QUICK, progress=progress)


@pytest.mark.parametrize("stop", [("search", 2), ("measure the best", 1)])
def test_what_is_killed_goes_on(tiny, tmp_path, stop):
    process = multiprocessing.get_context("spawn").Process(
        target=interrupted, args=(*tiny, tmp_path / "killed", stop)
    )
    process.start()
    process.join(280)
    assert process.exitcode == 9
    assert not (tmp_path / "killed" / "explore.json").exists()
    found = api.explore(*tiny, tmp_path / "killed", QUICK)
    once = api.explore(*tiny, tmp_path / "once", QUICK)
    assert found.designs == once.designs
    assert (found.chosen, found.test_accuracy) == (once.chosen, once.test_accuracy)


def test_any_of_several_boards(tiny, tmp_path):
    options = replace(QUICK, boards=("hx8k", "icebreaker"), objective="smallest", min_accuracy=0.01)
    found = api.explore(*tiny, tmp_path / "out", options)
    assert {d.board for d in found.designs} == {"hx8k", "icebreaker"}
    assert found.chosen.board == "icebreaker"
    other = replace(options, boards=("icebreaker",))
    with pytest.raises(FileFormatError, match="another model, data set, bounds"):
        api.explore(*tiny, tmp_path / "out", other)


def test_all_test_images_may_choose(tiny, tmp_path):
    found = api.explore(*tiny, tmp_path / "out", replace(QUICK, validation_share=1.0))
    assert (found.chosen.images, found.test_images, found.test_accuracy) == (40, 0, None)


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"boards": ()}, BoardError, "none is named"),
        ({"boards": ("hx8k", "hx8k")}, BoardError, "one is named twice"),
        ({"boards": ("nowhere",)}, BoardError, "unknown"),
        ({"objective": "throughput"}, PlanError, "needs a bound on accuracy"),
        ({"max_builds": 0}, PlanError, "max builds: must be at least 1"),
        ({"validation_share": 0.0}, PlanError, "validation share: must lie above 0"),
        ({"min_images_per_s": -1.0}, PlanError, "min images/s: must be positive"),
        ({"search": replace(SEARCH, trials=0)}, ModelError, "trials: must be at least 1"),
    ],
)
def test_refused(tiny, tmp_path, change, kind, said):
    with pytest.raises(kind, match=said):
        api.explore(*tiny, tmp_path / "out", replace(QUICK, **change))


def test_on_the_command_line(tiny, tmp_path, capfd):
    model, data = tiny
    line = ["explore", model, "--data", data, "-o", tmp_path / "out", "--trials", 2]
    line += ["--max-timesteps", 1, "--methods", "rate", "--calibration-images", 20]
    line += ["--images", 20, "--board", "icebreaker", "--min-rate", 100]
    assert main([str(a) for a in [*line, "--json"]]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["chosen"]["board"] == "icebreaker"
    assert found["bounds"] == "at least 100 images/s"
    assert main([str(a) for a in line]) == 0
    out = capfd.readouterr().out
    assert "* chosen: rate T=1" in out
    assert found["reasons"][0] in out
    assert main([str(a) for a in [*line, "--min-accuracy", 99.99]]) == 2
    said = capfd.readouterr().err
    assert "error: explore: none of 2 candidates" in said
    assert "99.99 %" in said
