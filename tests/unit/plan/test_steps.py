# SPDX-License-Identifier: BSD-2-Clause
"""What a probe run and start values per neuron mean to the planner: steps, markers, memories."""

from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.golden import simulate
from pysnn_hw.golden.reference import pooled as pooled_step
from pysnn_hw.ir.snn import Pool, Probe
from pysnn_hw.plan.activity import Activity, core_cycles, pooled
from pysnn_hw.plan.board import load_board
from pysnn_hw.plan.core_cost import core_cost
from pysnn_hw.plan.memory import block_count
from pysnn_hw.plan.planner import plan
from pysnn_hw.plan.tokens import INFERENCE, PROBE, STEP, port_tokens, repeats
from tests.configurations import configuration


def activity_of(found):
    trace = simulate(found.net, found.images, trace=True).trace
    return Activity.of(found.net, found.images, trace.spikes)


@pytest.mark.parametrize("mode", ["sum", "max", "gate"])
def test_pooling_starts_again_after_a_probe(mode):
    net = configuration("mask_T4").net
    values = np.random.default_rng(1).integers(0, 4, (3, net.total_steps, 2, 4, 6))
    pool = Pool(mode, (2, 3), (2, 3))
    steps = []
    for t in range(net.total_steps):
        first = 0 if t < net.probe.steps else net.probe.steps
        steps.append(pooled_step(values[:, first : t + 1], pool))
    assert (pooled(net, values, pool) == np.stack(steps, axis=1)).all()
    if mode != "sum":
        assert (pooled(replace(net, probe=None), values, pool) != np.stack(steps, axis=1)).any()


def test_markers_tell_the_end_of_a_probe():
    found = configuration("mask_T4")  # a probe of 3 steps, then 4
    activity = activity_of(found)
    markers = [STEP, STEP, PROBE, STEP, STEP, STEP, INFERENCE] * len(found.images)
    for projection in found.net.projections:
        core = found.schedule.core_of(projection.target)
        steps = port_tokens(found.net, found.schedule, activity, core, projection.name).steps
        expected = [INFERENCE] * len(found.images) if projection.source == "input" else markers
        assert steps[steps < 0].tolist() == expected
    first, *others = found.net.populations
    assert repeats(found.net, first) == 7
    assert {repeats(found.net, p) for p in others} == {1}


def test_a_probe_costs_its_steps_in_cycles():
    found = configuration("mask_T4")
    activity = activity_of(found)
    bare = replace(found.net, probe=None)
    short = Activity(activity.inputs, {k: v[:, 3:] for k, v in activity.spikes.items()})
    for core in found.schedule.cores[:-1]:
        with_probe = core_cycles(found.net, found.schedule, activity, core)
        without = core_cycles(bare, found.schedule, short, core)
        assert with_probe.overhead == without.overhead / 4 * 7
        assert with_probe.fire > 1.5 * without.fire


@pytest.mark.parametrize("family", ["ecp5", "ice40"])
def test_start_values_per_neuron_take_a_memory(family):
    found = configuration("own_starts_T3")
    for core in found.schedule.cores[:-1]:
        population = found.net.population(core.population)
        one = replace(population, v_init=population.per_neuron("v_init")[:, 0, 0])
        others = tuple(one if p.name == one.name else p for p in found.net.populations)
        plain = replace(found.net, populations=others)
        with_memory = core_cost(found.net, found.schedule, core, family)
        without = core_cost(plain, found.schedule, core, family)
        words = population.size // core.lanes
        assert with_memory.bram - without.bram >= block_count(family, words, core.lanes * 4)
        assert with_memory.spram == without.spram == 0


def test_flags_of_a_probe_take_a_memory():
    found = configuration("shift_T1")
    mask = replace(found.net, probe=Probe(4, "mask"))
    bare = replace(found.net, timesteps=4, probe=None)  # membranes as wide as those of the mask
    for core in found.schedule.cores[:-1]:
        none = core_cost(bare, found.schedule, core, "ecp5")
        silent = core_cost(mask, found.schedule, core, "ecp5")
        shifted = core_cost(found.net, found.schedule, core, "ecp5")
        assert none.bram < silent.bram == shifted.bram
        assert none.lut < silent.lut < shifted.lut


@pytest.mark.parametrize("name", ["own_starts_T3", "mask_T4", "shift_T3"])
def test_the_planner_folds_such_networks(name):
    found = configuration(name)
    planned = plan(found.net, load_board("ulx3s-85f"), activity_of(found))
    assert planned.fits
    assert planned.cycles_per_image > 0
