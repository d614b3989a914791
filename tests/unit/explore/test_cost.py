# SPDX-License-Identifier: BSD-2-Clause
"""Energy and cycles."""

import numpy as np
import pytest

from pysnn_hw.explore.cycles import NOMINAL_LANES, predict
from pysnn_hw.explore.energy import dense_pj, sop_pj, spiking_pj
from pysnn_hw.golden import simulate
from pysnn_hw.ir.snn import Input, Population, Projection, SnnNetwork
from pysnn_hw.plan import Activity, load_board, plan, simple_schedule
from pysnn_hw.plan.activity import core_cycles
from tests.networks import random_images, random_network


def test_price_of_a_spike():
    assert [sop_pj(n) for n in (1, 4, 5, 6, 8)] == pytest.approx([0.9, 3.6, 4.5, 4.6, 4.6])


def test_energy_by_hand():
    fire = Population(
        "h", "fire", (2, 1, 1), np.array([0.0, 0.5]), np.ones(1), np.zeros(1), spike_max=3
    )
    out = Population("o", "readout", (3, 1, 1), np.zeros(3), np.empty(0), np.zeros(1), 0)
    net = SnnNetwork(
        4,
        Input((5, 1, 1), (0,) * 5),
        (fire, out),
        (
            Projection("a", "input", "h", "linear", np.ones((2, 5))),
            Projection("b", "h", "o", "linear", np.ones((3, 2))),
        ),
    )
    biases = 0.9 * 1
    assert dense_pj(net) == pytest.approx(biases + 4.6 * 10 + 4.6 * 6)
    found = spiking_pj(net, {"a": 10.0, "b": 7.0})
    assert found == pytest.approx(4 * biases + 4.6 * 10 + 1.8 * 7)


@pytest.fixture
def case():
    rng = np.random.default_rng(11)
    net = random_network(rng, pools=("sum",), depth=2, residual=False)
    return net, random_images(rng, net, 20)


def test_nominal_cycles_are_those_of_the_slowest_core(case):
    net, images = case
    sample = images[[0, 3, 5, 8, 11, 14, 16, 19]]
    trace = simulate(net, sample, trace=True).trace
    activity = Activity.of(net, sample, trace.spikes)
    schedule = simple_schedule(net, lanes=NOMINAL_LANES, banked=True)
    busy = [core_cycles(net, schedule, activity, core).total for core in schedule.cores]
    found = predict(net, images)
    assert (found.cycles, found.fits) == (max(busy), True)
    assert "nominal" in found.basis


def test_a_board_has_its_own_plan(case):
    net, images = case
    board = load_board("ulx3s-85f")
    sample = images[[0, 3, 5, 8, 11, 14, 16, 19]]
    trace = simulate(net, sample, trace=True).trace
    planned = plan(net, board, Activity.of(net, sample, trace.spikes))
    found = predict(net, images, board)
    assert (found.cycles, found.fits) == (planned.cycles_per_image, planned.fits)
    assert found.basis == "plan for ulx3s-85f"
