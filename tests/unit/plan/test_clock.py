# SPDX-License-Identifier: BSD-2-Clause
"""The clock model: its arithmetic, and that it is the fit of the designs that are committed."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from pysnn_hw.errors import BoardError
from pysnn_hw.plan import clock, load_board, plan
from pysnn_hw.plan.board import Device, list_boards
from pysnn_hw.plan.clock import ClockFeatures, ClockModel, clock_model, speed_class
from tests.unit.plan.test_planner import board_of, case

SCRIPTS = Path(__file__).parents[3] / "scripts"
ROWS = json.loads((SCRIPTS / "sweep.json").read_text())


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("sweep_costs", SCRIPTS / "sweep_costs.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["sweep_costs"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["sweep_costs"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['name']}-{row['board']}")
def test_built_designs_are_predicted_within_15_percent(row):
    found = clock_model().clock(row["class"], ClockFeatures(**row["features"]))
    assert found.mhz == pytest.approx(row["fmax_mhz"], rel=0.15)
    assert found.low_mhz <= row["fmax_mhz"] <= found.high_mhz
    assert found.designs == sum(other["class"] == row["class"] for other in ROWS)
    for name, measured in row["measured"].items():
        assert row["formula"][name] == pytest.approx(measured, rel=0.15, abs=2), name


def test_the_model_is_the_fit_of_what_was_built(script):
    again = script.fitted(ROWS)
    assert again.period_ns == pytest.approx(clock_model().period_ns)
    assert again.factors == pytest.approx(clock_model().factors, abs=1e-6)


def test_a_known_law_is_found_again(script):
    law = ClockModel(
        period_ns={"a": 8.0, "b": 20.0},
        factors={"lanes": 0.3, "bits": 0.0, "fill": 0.0, "shared": 0.2},
        error={},
    )
    rows = []
    for speed in ("a", "b"):
        for lanes in (1, 2, 8, 64):
            for shared in (False, True):
                features = ClockFeatures(16, lanes, 0.0, shared)
                mhz = 1e3 / law.period(speed, features)
                rows.append({"class": speed, "features": vars(features), "fmax_mhz": mhz})
    found = script.fitted(rows, pull=1e-6)
    assert found.period_ns == pytest.approx(law.period_ns, rel=1e-3)
    assert found.factors == pytest.approx(law.factors, abs=1e-3)
    faster = [
        {**row, "fmax_mhz": row["fmax_mhz"] * (1 + row["features"]["shared"])} for row in rows
    ]
    assert script.fitted(faster, pull=1e-6).factors["shared"] == 0


def test_terms_grow_the_period():
    model = ClockModel(
        period_ns={"x": 10.0},
        factors={"lanes": 0.8, "bits": 0.1, "fill": 0.2, "shared": 0.25},
        error={"x": 0.01},
        designs={"x": 3},
    )
    plain = ClockFeatures(16, 1, 0.0, False)
    assert model.period("x", plain) == 10
    for other in (
        ClockFeatures(32, 1, 0.0, False),
        ClockFeatures(16, 2, 0.0, False),
        ClockFeatures(16, 1, 0.5, False),
        ClockFeatures(16, 1, 0.0, True),
    ):
        assert model.period("x", other) > 10.5
    found = model.clock("x", plain)
    assert (found.mhz, found.designs) == (100, 3)
    assert found.low_mhz == pytest.approx(92)
    assert found.high_mhz == pytest.approx(108)
    assert model.clock("unknown", plain) is None


def test_speed_classes():
    assert {speed_class(load_board(name).device) for name in list_boards()} >= {
        *("ecp5-6", "ecp5-8", "ice40-hx", "ice40-up")
    }
    gowin = Device(family="gowin", name="GW1N", package="GW1N-9C", speed="")
    assert speed_class(gowin) == "gowin-gw1n"


def test_a_plan_has_clock_and_images_per_second():
    net, activity = case("residual")
    alone = plan(net, board_of(), activity, objective="throughput")
    few = plan(net, board_of(luts=12_000, bram=24), activity, objective="throughput")
    assert any(core.shared for core in few.schedule.cores)
    assert few.clock.mhz < alone.clock.mhz
    assert few.images_per_s == pytest.approx(1e6 * few.clock.mhz / few.cycles_per_image)
    assert few.to_json()["clock"]["mhz"] == few.clock.mhz


def test_no_clock_above_what_a_board_may_have():
    net, activity = case("residual")
    board = board_of()
    free = plan(net, board, activity)
    limits = board.clock.model_copy(update={"most_hz": round(1e6 * free.clock.low_mhz) + 1_000_000})
    capped = plan(net, board.model_copy(update={"clock": limits}), activity)
    assert capped.schedule == free.schedule
    most = limits.most_hz / 1e6
    assert capped.clock.low_mhz == free.clock.low_mhz < most < free.clock.mhz
    assert capped.clock.mhz == capped.clock.high_mhz == most
    assert capped.images_per_s < free.images_per_s


def test_a_damaged_model_is_named(tmp_path, monkeypatch):
    (tmp_path / "clock_model.json").write_text('{"period_ns": 1}')
    monkeypatch.setattr(clock, "resource", lambda kind, name: tmp_path / name)
    clock_model.cache_clear()
    with pytest.raises(BoardError, match=r"clock_model\.json.*damaged"):
        clock_model()
    clock_model.cache_clear()
