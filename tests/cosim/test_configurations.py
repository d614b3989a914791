# SPDX-License-Identifier: BSD-2-Clause
"""Everything that a network may ask of the hardware, one at a time: every word equals golden, and
the timing model says to the cycle when results come."""

import numpy as np
import pytest

from pysnn_hw.golden import simulate
from pysnn_hw.plan.activity import Activity
from pysnn_hw.plan.cycles import chain_timing
from pysnn_hw.verify import Pressure, run_dataset
from pysnn_hw.verify.harness import BUILD_FAST
from tests.configurations import IMAGES, NAMES, PROBED, configuration, probe_ends


@pytest.mark.cosim
@pytest.mark.parametrize("name", NAMES)
def test_hardware_equals_golden(name, tmp_path):
    found = configuration(name)
    options = {"folder": tmp_path, "profile": BUILD_FAST, "jobs": 1, "patience": 100_000}
    seed = NAMES.index(name)
    pressed = run_dataset(
        found.net, found.schedule, found.images, pressure=Pressure(0.6, 0.4, 0.3, seed), **options
    )
    assert pressed.mismatches == 0, pressed.first
    free = run_dataset(found.net, found.schedule, found.images, **options)
    assert free.mismatches == 0, free.first
    assert len(free.classes) == len(pressed.classes) == IMAGES
    golden = simulate(found.net, found.images, trace=True)
    activity = Activity.of(found.net, found.images, golden.trace.spikes, golden.steps)
    predicted = chain_timing(found.net, found.schedule, activity)
    assert predicted.accepted.tolist() == free.started.tolist()
    assert predicted.finished.tolist() == free.finished.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_every_population_is_neither_silent_nor_saturated(name):
    found = configuration(name)
    trace = simulate(found.net, found.images, trace=True).trace
    for population in found.net.populations[:-1]:
        spikes = trace.spikes[population.name]
        assert 0.02 < (spikes != 0).mean() < 0.98
        assert spikes.max() >= min(2, population.spike_max)
    negative = any(spikes.min() < 0 for spikes in trace.spikes.values())
    assert negative == any(p.spike_min < 0 for p in found.net.populations)


def test_probe_runs_meet_all_their_corners():
    """Silent neurons and others, both shifts and none, and membranes right at the borders."""
    met = {"mask": set(), "shift": set()}
    for name in PROBED:
        found = configuration(name)
        net, rule = found.net, found.net.probe.rule
        trace = simulate(probe_ends(net), found.images, trace=True).trace
        for population in net.populations[:-1]:
            v, theta = trace.membranes[population.name], population.per_neuron("threshold")
            fired = trace.spikes[population.name].any(axis=1)
            corners = {
                "mask": {"0": v == 0, "1": v == 1, "below": v < -1, "above": v > theta},
                "shift": {
                    "-1 and fired": (v == -1) & fired,
                    "0 and fired": (v == 0) & fired,
                    "below and not fired": (v < 0) & ~fired,
                    "theta": v == theta,
                    "theta - 1": v == theta - 1,
                },
            }
            met[rule] |= {what for what, where in corners[rule].items() if where.any()}
    assert met["mask"] == {"0", "1", "below", "above"}
    assert len(met["shift"]) == 5


@pytest.mark.parametrize("name", PROBED)
def test_probe_runs_change_what_follows(name):
    """Without its verdict the run proper would have other spikes in every population."""
    found = configuration(name)
    net, steps = found.net, found.net.probe.steps
    spikes = simulate(net, found.images, trace=True).trace.spikes
    plain = simulate(probe_ends(net), found.images, trace=True).trace
    for population in net.populations[:-1]:
        before = spikes[population.name][:, :steps]
        assert (before == plain.spikes[population.name]).all()
        after = spikes[population.name][:, steps:]
        silent = plain.membranes[population.name] <= 0
        if net.probe.rule == "mask":
            assert not after[np.broadcast_to(silent[:, None], after.shape)].any()
            assert after.any()
            assert silent.any()
