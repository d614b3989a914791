# SPDX-License-Identifier: BSD-2-Clause
"""`explore --build` with the real tools, on a network small enough for a test."""

import json

import numpy as np
import pytest

from pysnn_hw import api
from pysnn_hw.config import ExploreOptions, SearchOptions
from pysnn_hw.plan import load_board
from tests.unit.test_cli import FACTORY

pytestmark = [pytest.mark.cosim, pytest.mark.synth, pytest.mark.slow, pytest.mark.timeout(1800)]

SEARCH = SearchOptions(
    trials=2, images=20, calibration_images=20, max_timesteps=1, max_levels=3, methods=("rate",)
)
ASKED = ExploreOptions(
    ("icebreaker",), min_images_per_s=500.0, build=True, simulated_images=10, search=SEARCH
)


def test_the_best_is_built_measured_and_not_built_again(tmp_path, monkeypatch):
    (tmp_path / "tiny.py").write_text(FACTORY)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 6, 6), np.uint8), rng.integers(0, 3, 40)
    np.savez(tmp_path / "data.npz", x_test=x, y_test=y, x_train=x, y_train=y)
    arguments = (f"{tmp_path / 'tiny.py'}:make", str(tmp_path / "data.npz"), tmp_path / "out")
    found = api.explore(*arguments, ASKED)

    built = found.built
    assert built is not None
    assert built.keeps_bounds
    assert built.bitstream.stat().st_size > 10_000
    assert built.clock_mhz <= built.fmax_mhz
    assert built.images_per_s == pytest.approx(1e6 * built.clock_mhz / built.cycles_per_image)
    assert built.images_per_s >= 500
    assert 100 < built.lut["used"] < built.lut["available"] == load_board("icebreaker").budget.luts
    # Images that come alone find every core idle: no faster than back to back, and as predicted.
    assert built.latency_cycles == pytest.approx(built.design.latency_cycles, rel=0.2)
    assert built.cycles_per_image == pytest.approx(built.design.cycles_per_image, rel=0.2)
    simulated = next((tmp_path / "out" / "designs").rglob("measured.json"))
    figures = json.loads(simulated.read_text())
    assert (figures["images"], figures["lone_images"], figures["mismatches"]) == (10, 8, 0)
    assert figures["spikes_compared"] > 0
    assert "keeps the bounds" in " ".join(found.reasons)

    def never(*_):
        raise AssertionError("ran again")

    monkeypatch.setattr("pysnn_hw.api.stages.board.run_verb", never)
    monkeypatch.setattr("pysnn_hw.api.design_builds.run_dataset", never)
    again = api.explore(*arguments, ASKED)
    assert again.builds == found.builds
    assert again.chosen == found.chosen
