# SPDX-License-Identifier: BSD-2-Clause
"""The planner takes every kind of input, pooling and readout, and counts what they cost."""

from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.errors import PlanError
from pysnn_hw.golden import simulate
from pysnn_hw.hdl.spec import CoreSpec
from pysnn_hw.ir.snn import Readout
from pysnn_hw.plan import load_board, plan
from pysnn_hw.plan.activity import Activity
from pysnn_hw.plan.cycles import chain_timing
from pysnn_hw.plan.network_cost import input_cost, judge_cost, network_cost
from pysnn_hw.plan.schedule import keeps_current
from tests.configurations import configuration
from tests.networks import random_network

NEW = (
    "bernoulli",
    "events_beside_spikes",
    "sampled_events",
    "early_exit",
    "gate_overlapping",
    "max_with_gaps",
)


def activity_of(found):
    golden = simulate(found.net, found.images, trace=True)
    return Activity.of(found.net, found.images, golden.trace.spikes, golden.steps)


@pytest.mark.parametrize("name", NEW)
def test_a_plan_fits_and_hardware_follows_it(name):
    found = configuration(name)
    planned = plan(found.net, load_board("ulx3s-85f"), activity_of(found))
    assert planned.fits
    for core in planned.schedule.cores:
        assert CoreSpec(found.net, planned.schedule, core).repeats == (
            found.net.timesteps if keeps_current(found.net, core.population) else 1
        )


def test_an_early_exit_is_predicted_to_be_earlier():
    found = configuration("early_exit")
    early = activity_of(found)
    late = Activity(early.inputs, early.spikes)
    timing = [chain_timing(found.net, found.schedule, a) for a in (early, late)]
    sooner = early.steps < found.net.timesteps
    assert sooner.any()
    assert not sooner.all()
    gained = timing[1].latency - timing[0].latency
    assert (gained[sooner] > 0).all()


def test_costs_of_inputs_and_readouts():
    found = configuration("bernoulli")
    constant = replace(found.net, input=replace(found.net.input, encoding="constant", seed=0))
    assert input_cost(found.net, "ecp5").bram == 1  # keeps the image
    assert input_cost(replace(found.net, timesteps=1), "ecp5").bram == 0
    assert input_cost(constant, "ecp5").lut < input_cost(found.net, "ecp5").lut
    assert judge_cost(constant, "ecp5").lut == 0
    sampled = replace(constant, readout=Readout("sampled", seed=1, noise=(-3, 3) * 128))
    assert judge_cost(sampled, "ecp5").bram == 1  # the table
    margin = replace(constant, readout=Readout(margin=3))
    plain = network_cost(constant, found.schedule, "ecp5").lut
    assert network_cost(margin, found.schedule, "ecp5").lut > plain


def test_a_readout_that_keeps_a_current_is_refused():
    """It would have to add the current at every timestep, but never fires."""
    net = random_network(np.random.default_rng(0), timesteps=2, depth=1, pools=())
    alone = replace(net.populations[0], kind="readout", spike_max=0, threshold=np.zeros(0))
    net = replace(net, populations=(alone,), projections=net.projections[:1])
    found = configuration("bernoulli")
    core = replace(found.schedule.cores[0], populations=(alone.name,))
    with pytest.raises(PlanError, match="the readout sees the constant input"):
        CoreSpec(net, replace(found.schedule, cores=(core,)), core)
