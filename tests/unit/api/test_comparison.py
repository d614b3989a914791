# SPDX-License-Identifier: BSD-2-Clause
"""`compare` as a whole, on a network of a few neurons."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw import api
from pysnn_hw.api import comparison
from pysnn_hw.api.comparison import telling
from pysnn_hw.cli import main
from pysnn_hw.config import CompareOptions
from pysnn_hw.errors import ModelError
from pysnn_hw.explore import OWN, Candidate
from pysnn_hw.explore.comparison import Examined, spike_rates
from pysnn_hw.golden import simulate
from tests.networks import random_images, random_network
from tests.unit.api.test_exploration import Outside, tiny

__all__ = ["tiny"]

QUICK = CompareOptions(
    methods=("rate", "signed", "qcfs"),
    timesteps=(1, 2),
    levels=(2, 8),
    limit=30,
    detail_images=10,
    calibration_images=20,
    training_images=30,
)


@pytest.fixture
def compared(tiny, tmp_path):
    return api.compare(*tiny, tmp_path / "compare.html", options=QUICK)


def at(found, method, timesteps, levels):
    return next(
        p for p in found.points if p.candidate == Candidate(method, timesteps, levels, 8, OWN)
    )


def test_every_point_is_there_and_what_cannot_be_is_said(compared):
    assert len(compared.points) == 3 * 2 * 2
    refused = {
        (p.candidate.method, p.candidate.timesteps, p.candidate.levels)
        for p in compared.points
        if p.problem
    }
    assert refused == {("qcfs", 2, 2), ("qcfs", 2, 8), ("signed", 2, 8)}
    page = compared.page.read_text()
    assert page.count("not possible: ") == 3
    assert "one timestep" in at(compared, "qcfs", 2, 2).problem
    assert set(compared.left_out).isdisjoint(QUICK.methods)
    assert f"Not asked for: {', '.join(compared.left_out)}." in page


def test_figures(compared):
    point = at(compared, "rate", 1, 8)
    assert point.images == 30
    assert point.accuracy == pytest.approx(point.original_accuracy, abs=0.04)
    assert len(point.layers) == 1
    assert point.layers[0].fixed_correlation > 0.99
    assert sum(point.rates) == pytest.approx(1.0)
    assert at(compared, "rate", 2, 8).sops > point.sops
    few, many = at(compared, "rate", 1, 2), at(compared, "rate", 2, 2)
    assert few.layers[0].fixed_rmse > many.layers[0].fixed_rmse
    assert point.energy_pj > few.energy_pj
    # At T = 1 there is nothing to take back.
    same = at(compared, "signed", 1, 8)
    assert replace(same, candidate=point.candidate) == point


def test_the_page_stands_alone_and_shows_everything(compared):
    page = compared.page.read_text()
    assert Outside(page).found == []
    assert page.count("<svg") == 7
    for said in ("0.9 pJ per accumulate", "4.6 pJ per multiply-accumulate", "Where errors enter"):
        assert said in page
    for point in compared.points:
        if not point.problem:
            assert f"{100 * point.accuracy:.2f} %" in page


def test_it_goes_on_from_what_is_known(compared, tiny, tmp_path, monkeypatch):
    known = len(json.loads(compared.results.read_text())["points"])
    assert known == len(compared.points)
    done = []

    def examine(subject, candidate, **rest):
        done.append(candidate)
        return Examined(candidate, "not now")

    monkeypatch.setattr(comparison, "examine", examine)
    more = replace(QUICK, timesteps=(1, 2, 4), methods=("rate",))
    found = api.compare(*tiny, compared.page, options=more)
    assert [(c.timesteps, c.levels) for c in done] == [(4, 2), (4, 8)]
    assert found.points[:4] == compared.points[:4]
    done.clear()
    # On other images nothing is known.
    with pytest.raises(ModelError, match="nothing could be converted: not now"):
        api.compare(*tiny, compared.page, options=replace(more, limit=20, timesteps=(1,)))
    assert len(done) == 2


def test_a_damaged_record_is_written_anew(tiny, tmp_path):
    page, options = tmp_path / "a.html", replace(QUICK, methods=("rate",), timesteps=(1,))
    (tmp_path / "a.json").write_text('{"fingerprint": 3, "points": ')
    assert not any(p.problem for p in api.compare(*tiny, page, options=options).points)


def test_where_layers_are_looked_at():
    def point(method, timesteps, accuracy, problem=""):
        candidate = Candidate(method, timesteps, 2, 8, OWN)
        return Examined(candidate, problem, accuracy=accuracy, original_accuracy=0.9)

    points = [
        *(point("rate", 1, 0.9), point("cos", 1, 0.1)),
        *(point("rate", 2, 0.8), point("cos", 2, 0.88)),
        *(point("rate", 4, 0.88), point("cos", 4, 0.9)),
        *(point("rate", 8, 0.5), point("cos", 8, 0.0, "no")),
    ]
    assert telling(points) == (2, 2)


def test_spike_rates_by_hand():
    rng = np.random.default_rng(5)
    net = random_network(rng, timesteps=3, spike_max=3, depth=1)
    images = random_images(rng, net, 4)
    trace = simulate(net, images, trace=True).trace
    total = np.concatenate([np.abs(s.sum(1, dtype=int)).ravel() for s in trace.spikes.values()])
    found = spike_rates(net, images)
    assert found[0] == pytest.approx((total == 0).mean())
    assert found[-1] == pytest.approx((total / 9 > 0.95).mean())
    # 3 of 9: a third lies in the seventh bin, from 0.30 to 0.35.
    assert found[7] == pytest.approx((total == 3).mean())


@pytest.mark.parametrize(
    ("page", "change", "said"),
    [
        ("a.txt", {}, "let it end in .html"),
        ("a.html", {"timesteps": (0,)}, "timesteps: must be positive"),
        ("a.html", {"limit": 0}, "limit: must be at least 1"),
        ("a.html", {"methods": ("none",)}, "'none' is unknown"),
        ("a.html", {"detail": (3, 2)}, "T = 3, n = 2 is not among"),
    ],
)
def test_refused(tiny, tmp_path, page, change, said):
    with pytest.raises(ModelError, match=said):
        api.compare(*tiny, tmp_path / page, options=replace(QUICK, **change))


def test_on_the_command_line(tiny, tmp_path, capfd):
    model, data = tiny
    line = ["compare", model, "--data", data, "-o", tmp_path / "c.html", "--methods", "rate,signed"]
    line += ["--timesteps", "2", "--levels", "2,8", "--limit", 20, "--detail", "2,2"]
    line = [str(a) for a in [*line, "--detail-images", 10, "--calibration-images", 20]]
    assert main([*line, "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert len(answer["points"]) == 4
    assert answer["detail"] == [2, 2]
    assert main(line) == 0
    out = capfd.readouterr().out
    assert "not possible: signed:" in out
    assert main([*line, "--detail", "2"]) == 2
    assert "--detail takes T,N" in capfd.readouterr().err
    assert main([*line, "--levels", "1.5"]) == 2
    assert "--levels takes whole numbers" in capfd.readouterr().err
