# SPDX-License-Identifier: BSD-2-Clause
"""Cores that run several layers in turn, in a whole accelerator: every word equals golden."""

from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.golden import simulate
from pysnn_hw.ir.snn import INPUT, Neuron
from pysnn_hw.plan.activity import Activity
from pysnn_hw.plan.cycles import chain_timing
from pysnn_hw.plan.schedule import CorePlan, Schedule, simple_schedule
from pysnn_hw.verify import Pressure
from pysnn_hw.verify.compare import first_mismatch
from pysnn_hw.verify.design import Design
from pysnn_hw.verify.harness import (
    BUILD_FAST,
    NO_PRESSURE,
    build_harness,
    run_harness,
    write_vectors,
)
from pysnn_hw.verify.verilator import find_verilator
from tests.networks import random_images
from tests.unit.hdl.shared.programs import network

IMAGES = 6


def shared(net, cut=None, banks=(1, 3)):
    """All that may share a core in one, or in two from population number ``cut`` on."""
    base = simple_schedule(net, lanes=2)
    alone = {
        p.name
        for p in net.populations
        if p.kind == "readout" or any(q.source == INPUT for q in net.into(p.name))
    }
    inside = [p.name for p in net.populations if p.name not in alone]
    parts = [inside] if cut is None else [inside[:cut], inside[cut:]]
    found: list[CorePlan] = []
    for core in base.cores:
        if core.population in alone:
            found.append(core)
        for part in parts:
            if core.population == part[0]:
                found.append(CorePlan(tuple(part), (), 2, banks))
    return Schedule(tuple(replace(c, pool_at_sender=False) for c in found), base.family)


CASES = {
    "residual": (network("residual", 1, 15), None, (1, 3)),
    "many steps": (network("residual", 3, 3), None, (3, 3)),
    "several ways in": (network("wide", 2, 3), None, (1, 1)),
    "two shared cores": (network("residual", 2, 3), 2, (1, 3)),
    "signed": (network("residual", 2, 3, Neuron("signed")), None, (1, 3)),
}


@pytest.mark.cosim
@pytest.mark.parametrize("name", CASES)
def test_hardware_equals_golden(name, tmp_path):
    net, cut, banks = CASES[name]
    schedule = shared(net, cut, banks)
    design = Design(net, schedule)
    images = random_images(np.random.default_rng(2), net, IMAGES)
    golden = simulate(net, images, trace=True)
    executable = build_harness(find_verilator(), design, tmp_path, profile=BUILD_FAST)
    vectors = tmp_path / "images.bin"
    write_vectors(design, images, golden, vectors)
    for pressure in (Pressure(0.6, 0.4, 0.3, 1), NO_PRESSURE):
        run = run_harness(design, executable, vectors, IMAGES, pressure=pressure, patience=100_000)
        assert run.mismatches == 0, first_mismatch(design, golden, run.checks)
        assert not run.stalled
    activity = Activity.of(net, images, golden.trace.spikes, golden.steps)
    predicted = chain_timing(net, schedule, activity)
    assert predicted.accepted.tolist() == run.started.tolist()
    assert predicted.finished.tolist() == run.finished.tolist()
