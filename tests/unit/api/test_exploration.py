# SPDX-License-Identifier: BSD-2-Clause
"""`auto` as a whole, on a network of a few neurons and on the bundled one."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from pysnn_hw import api
from pysnn_hw.api import searching
from pysnn_hw.cli import main
from pysnn_hw.config import SearchOptions
from pysnn_hw.data import load_dataset
from pysnn_hw.errors import BoardError, DataError, FileFormatError, ModelError
from pysnn_hw.explore import Candidate
from pysnn_hw.golden import simulate
from pysnn_hw.ir.file import load
from pysnn_hw.resources import resource
from tests.unit.test_cli import FACTORY

QUICK = SearchOptions(
    trials=4, images=30, calibration_images=20, max_timesteps=2, max_levels=3, methods=("rate",)
)


@pytest.fixture
def tiny(tmp_path):
    """A model, and data whose labels are near enough to what it says."""
    (tmp_path / "tiny.py").write_text(FACTORY)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 6, 6), np.uint8), rng.integers(0, 3, 40)
    np.savez(tmp_path / "data.npz", x_test=x, y_test=y, x_train=x, y_train=y)
    return f"{tmp_path / 'tiny.py'}:make", str(tmp_path / "data.npz")


def knobs(found):
    names = Candidate.__dataclass_fields__
    return [tuple(getattr(point, name) for name in names) for point in found.points]


class Outside(HTMLParser):
    """Collects what a page would load from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "link", "img", "iframe"):
            self.found.append(tag)
        self.found += [v for k, v in attrs if k in ("src", "href") and not v.startswith("#")]


def test_the_answer_and_its_files(tiny, tmp_path):
    seen = []
    found = api.auto(
        *tiny, tmp_path / "out", options=QUICK, progress=lambda *step: seen.append(step)
    )
    assert len(found.points) == 4
    assert found.chosen in found.front
    assert {p.trial for p in found.front} == {p.trial for p in found.points if p.on_front}
    assert ("search", 4, 4) in seen
    assert found.chosen.images == 40

    # The file is what was measured: the golden simulator says the same of it.
    net, data = load(found.network), load_dataset(tiny[1])
    result = simulate(net, data.x_test)
    assert (result.classes == data.y_test).mean() == pytest.approx(found.chosen.accuracy)
    sops = sum(v.mean() for v in result.sops.values())
    assert sops == pytest.approx(found.chosen.sops_per_image)
    assert net.provenance["candidate"]["weight_bits"] == found.chosen.weight_bits

    document = json.loads(found.results.read_text())
    assert document["chosen"]["trial"] == found.chosen.trial
    assert len(document["points"]) == 4
    page = found.page.read_text()
    assert Outside(page).found == []
    assert found.reasons[0] in page
    assert "0.9 pJ per accumulate" in page


def test_a_search_goes_on(tiny, tmp_path):
    first = api.auto(*tiny, tmp_path / "a", options=replace(QUICK, trials=2))
    on = api.auto(*tiny, tmp_path / "a", options=QUICK)
    once = api.auto(*tiny, tmp_path / "b", options=QUICK)
    assert knobs(on)[:2] == knobs(first)
    assert knobs(on) == knobs(once)
    assert replace(on.chosen, trial=0) == replace(once.chosen, trial=0)


def test_what_is_measured_is_not_measured_again(tiny, tmp_path, monkeypatch):
    found = api.auto(*tiny, tmp_path / "a", options=QUICK)

    def never(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(searching, "measure_finally", never)
    monkeypatch.setattr(searching.Subject, "network", never)
    again = api.auto(*tiny, tmp_path / "a", options=QUICK)
    assert again.points == found.points


def test_two_workers_share_a_search(tiny, tmp_path):
    found = api.auto(*tiny, tmp_path / "out", options=replace(QUICK, trials=6, workers=2))
    assert len(found.points) == 6
    assert len(set(knobs(found))) == 6
    assert found.chosen.images == 40
    # The same folder, one process: nothing is left to do.
    again = api.auto(*tiny, tmp_path / "out", options=replace(QUICK, trials=6))
    assert again.points == found.points


def test_a_study_may_live_elsewhere_and_belongs_to_one_subject(tiny, tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    options = replace(QUICK, trials=1)
    api.auto(*tiny, tmp_path / "a", options=options, study=url)
    assert (tmp_path / "shared.db").exists()
    with pytest.raises(FileFormatError, match="another model, data set, bounds"):
        api.auto(*tiny, tmp_path / "b", options=replace(options, max_levels=2), study=url)


def test_limits_that_nothing_keeps_are_said(tiny, tmp_path):
    found = api.auto(*tiny, tmp_path / "out", options=replace(QUICK, max_sops=1.0))
    assert "No point keeps the limits" in found.reasons[0]
    assert all("SOPs per image" in p.note for p in found.points)


def test_cycles_of_a_board(tiny, tmp_path):
    options = replace(QUICK, trials=2, board="ulx3s-12f", cheapest="cycles")
    found = api.auto(*tiny, tmp_path / "out", options=options)
    assert found.chosen.cycles_from == "plan for ulx3s-12f"
    assert found.chosen.fits
    assert "fewest predicted cycles" in found.reasons[0] or "comes closest" in found.reasons[0]
    with pytest.raises(BoardError, match="nowhere"):
        api.auto(*tiny, tmp_path / "out", options=replace(options, board="nowhere"))


def test_methods_that_train_are_asked_for(tiny, tmp_path):
    options = replace(QUICK, methods=("qcfs",), allow_training=True, training_images=30, trials=1)
    found = api.auto(*tiny, tmp_path / "out", options=options)
    assert found.chosen.method == "qcfs"
    with pytest.raises(ModelError, match="needs training"):
        api.auto(*tiny, tmp_path / "b", options=replace(options, allow_training=False))


def test_time_is_up(tiny, tmp_path):
    with pytest.raises(ModelError, match="nothing was measured in time"):
        api.auto(*tiny, tmp_path / "out", options=replace(QUICK, timeout=1e-6))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trials": 0}, "trials: must be at least 1"),
        ({"workers": 0}, "workers: must be at least 1"),
        ({"timeout": -1.0}, "timeout: must be positive"),
        ({"methods": ("none",)}, "'none' is unknown"),
    ],
)
def test_refused(tiny, tmp_path, change, said):
    with pytest.raises(ModelError, match=said):
        api.auto(*tiny, tmp_path / "out", options=replace(QUICK, **change))


def test_images_for_thresholds_are_needed(tiny, tmp_path):
    model, data = tiny
    arrays = np.load(data)
    np.savez(tmp_path / "test.npz", x_test=arrays["x_test"], y_test=arrays["y_test"])
    with pytest.raises(DataError, match="no training images"):
        api.auto(model, tmp_path / "test.npz", tmp_path / "out", options=QUICK)


def test_on_the_command_line(tiny, tmp_path, capfd):
    model, data = tiny
    line = ["auto", model, "--data", data, "-o", tmp_path / "out", "--trials", 2, "--images", 30]
    line += ["--max-timesteps", 1, "--methods", "rate", "--calibration-images", 20]
    assert main([str(a) for a in [*line, "--json"]]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert len(answer["points"]) == 2
    assert main([str(a) for a in line]) == 0
    out = capfd.readouterr().out
    assert "* chosen: rate T=1" in out
    assert answer["reasons"][0] in out
    assert main([str(a) for a in [*line, "--study", "nonsense://x"]]) == 2
    assert "error: nonsense://x: cannot hold the record" in capfd.readouterr().err


def test_the_bundled_network_keeps_its_accuracy(tmp_path):
    options = SearchOptions(
        trials=3, images=300, final_images=600, calibration_images=100, max_timesteps=1
    )
    found = api.auto(resource("bundled", "mnist_small.onnx"), "mnist", tmp_path, options=options)
    assert found.chosen.images == 600
    assert found.chosen.loss <= 0.5
    assert found.chosen.sops_per_image < found.original_macs / 3
    assert found.chosen.energy_uj < found.original_energy_uj
