# SPDX-License-Identifier: BSD-2-Clause
"""What boards make of a network: the planner's designs, with their predicted speed and size."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from pysnn_hw.errors import PlanError
from pysnn_hw.explore import Prediction, designs_for, predict_designs
from pysnn_hw.explore.design import JUDGED_IMAGES, OBJECTIVES, Design, activity_of, sample_of
from pysnn_hw.plan import evaluate, load_board, plan, plan_each
from pysnn_hw.plan.budget import share
from tests.networks import random_images, random_network
from tests.unit.explore.points import design, record

RNG = np.random.default_rng(11)
NET = random_network(RNG, timesteps=1, spike_max=3, depth=2, residual=False)
IMAGES = random_images(RNG, NET, 8)


def small(name, luts):
    board = load_board(name)
    return board.model_copy(update={"budget": board.budget.model_copy(update={"luts": luts})})


def test_designs_are_the_planners():
    board = load_board("ulx3s-12f")
    activity = activity_of(NET, IMAGES)
    found = {d.objective: d for d in designs_for(NET, IMAGES, [board])}
    for objective, made in found.items():
        planned = plan(NET, board, activity, objective=objective)
        assert made.cycles == planned.cycles_per_image
        alone = [evaluate(NET, planned.schedule, board, activity_of(NET, x[None])) for x in IMAGES]
        assert made.latency_cycles == np.mean([one.latency_cycles for one in alone])
        assert (made.lut, made.bram) == (round(planned.cost.lut), planned.cost.bram)
        assert made.share == share(board, planned.cost)
        assert made.fits
        assert planned.clock is not None
        assert made.images_per_s == pytest.approx(1e6 * planned.clock.mhz / made.cycles)
        assert made.latency_us == pytest.approx(made.latency_cycles / planned.clock.mhz)
        assert made.hoped_clock_hz == pytest.approx(1e6 * planned.clock.high_mhz)
    assert {"balanced", "smallest"} <= set(found)
    assert found["smallest"].lut <= min(d.lut for d in found.values())


def test_cycles_are_predicted_for_more_images_than_are_planned_on():
    board, images = load_board("icebreaker"), random_images(RNG, NET, 99)
    planned = plan_each(NET, board, activity_of(NET, images), ("balanced",))[0]
    many = activity_of(NET, images, JUDGED_IMAGES)
    assert (activity_of(NET, images).images, many.images) == (8, 64)
    found = next(d for d in designs_for(NET, images, [board]) if d.objective == "balanced")
    assert found.cycles == evaluate(NET, planned.schedule, board, many).cycles_per_image


def test_samples_come_from_everywhere():
    assert sample_of(np.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert sample_of(np.arange(3), 8).tolist() == [0, 1, 2]


def test_each_objective_is_planned_as_alone():
    board, activity = load_board("icebreaker"), activity_of(NET, IMAGES)
    together = plan_each(NET, board, activity, OBJECTIVES)
    for objective, planned in zip(OBJECTIVES, together, strict=True):
        assert planned.schedule == plan(NET, board, activity, objective=objective).schedule


def test_no_design_twice():
    net = random_network(np.random.default_rng(3), timesteps=1, spike_max=1, depth=1, max_side=5)
    images = random_images(np.random.default_rng(3), net, 4)
    found = designs_for(net, images, [load_board("icebreaker"), load_board("hx8k")])
    assert {d.board for d in found} == {"icebreaker", "hx8k"}
    for board in ("icebreaker", "hx8k"):
        mine = [replace(d, objective="balanced") for d in found if d.board == board]
        assert len(set(mine)) == len(mine)


def test_what_does_not_fit_says_so_and_is_no_choice():
    cramped = small("icebreaker", 1400)
    (alone,) = designs_for(NET, IMAGES, [cramped])
    assert not alone.fits
    assert "LUT" in alone.shortfalls[0]
    assert alone.share > 1
    found = predict_designs(NET, IMAGES, [cramped, load_board("hx8k")])
    assert found.fits
    assert found.basis == "plan for hx8k"
    assert found.cycles in {d.cycles for d in found.designs if d.board == "hx8k"}
    assert not predict_designs(NET, IMAGES, [cramped]).fits


def test_a_network_without_a_core_is_refused(monkeypatch):
    def no_core(*_):
        raise PlanError("population x", "has no folding that can be built")

    monkeypatch.setattr("pysnn_hw.explore.design.plan_each", no_core)
    with pytest.raises(PlanError, match="no folding"):
        designs_for(NET, IMAGES, [load_board("hx8k")])


def test_a_prediction_survives_as_json():
    found = predict_designs(NET, IMAGES, [load_board("hx8k")])
    assert Prediction.from_json(json.loads(json.dumps(asdict(found)))) == found
    assert Prediction.from_json({"cycles": 1.0, "basis": "x", "fits": True}).designs == ()


@pytest.mark.parametrize(
    ("change", "no_dearer"),
    [
        ({}, True),
        ({"rate": 1001.0}, True),
        ({"rate": 999.0}, False),
        ({"share": 0.51}, False),
        ({"share": 0.4}, True),
        ({"latency_us": 2001.0}, False),
        ({"board": "large"}, False),
        ({"fits": False}, False),
    ],
)
def test_no_dearer(change, no_dearer):
    assert design(**change).no_dearer(design()) == no_dearer
    mine, other = (Prediction(1.0, "", True, (d,)) for d in (design(**change), design()))
    assert mine.no_dearer(other) == no_dearer


def test_every_design_must_be_matched():
    one = Prediction(1.0, "", True, (design(),))
    two = Prediction(9.0, "", True, (design(), design(9000.0)))
    assert two.no_dearer(one)
    assert not one.no_dearer(two)


def test_a_search_keeps_time_and_size_low():
    point = record(0, 990, design(1000.0), design(500.0, share=0.2), design(1e4, fits=False)).point
    assert point.costs == (pytest.approx(1000.0), 0.2)
    assert isinstance(point.prediction.designs[0], Design)
