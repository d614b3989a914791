# SPDX-License-Identifier: BSD-2-Clause
"""Everything that a network may ask of the hardware, one at a time: every word equals golden, and
the timing model says to the cycle when results come."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pysnn_hw.golden import simulate
from pysnn_hw.plan.activity import Activity, pooled
from pysnn_hw.plan.cycles import chain_timing
from pysnn_hw.verify import Pressure
from pysnn_hw.verify.compare import first_mismatch
from pysnn_hw.verify.design import Design, classes_of
from pysnn_hw.verify.harness import (
    BUILD_FAST,
    NO_PRESSURE,
    build_harness,
    run_harness,
    write_vectors,
)
from pysnn_hw.verify.verilator import find_verilator
from tests.configurations import IMAGES, NAMES, PROBED, configuration, probe_ends


class Compiled:
    """Harnesses of configurations, compiled on two cores: one for now, one for the next test."""

    def __init__(self, names: list[str], folder: Path, pool: ThreadPoolExecutor) -> None:
        self.names, self.folder, self.pool = names, folder, pool
        self.found: dict[str, tuple[Design, Future[Path]]] = {}

    def __getitem__(self, name: str) -> tuple[Design, Path]:
        position = self.names.index(name)
        for near in self.names[position : position + 2]:
            if near not in self.found:
                self.found[near] = self._start(near)
        design, executable = self.found[name]
        return design, executable.result()

    def _start(self, name: str) -> tuple[Design, Future[Path]]:
        config = configuration(name)
        design = Design(config.net, config.schedule)
        _ = design.verilog  # in this thread
        folder = self.folder / name
        folder.mkdir()
        return design, self.pool.submit(
            build_harness, find_verilator(), design, folder, profile=BUILD_FAST
        )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    with ThreadPoolExecutor(2) as pool:
        yield Compiled(list(NAMES), tmp_path_factory.mktemp("configurations"), pool)


@pytest.mark.cosim
@pytest.mark.parametrize("name", NAMES)
def test_hardware_equals_golden(name, compiled):
    found = configuration(name)
    design, executable = compiled[name]
    golden = simulate(found.net, found.images, trace=True)
    vectors = executable.parents[1] / "images.bin"
    write_vectors(design, found.images, golden, vectors)
    for pressure in (Pressure(0.6, 0.4, 0.3, NAMES.index(name)), NO_PRESSURE):
        run = run_harness(design, executable, vectors, IMAGES, pressure=pressure, patience=100_000)
        assert run.mismatches == 0, first_mismatch(design, golden, run.checks)
        assert not run.stalled
    activity = Activity.of(found.net, found.images, golden.trace.spikes, golden.steps)
    classes = classes_of(found.net, *design.scores(run.output))
    assert classes.tolist() == golden.classes.tolist()
    predicted = chain_timing(found.net, found.schedule, activity)
    if len(design.boot_words):  # cores get ready meanwhile: the first image is faster
        assert predicted.interval.tolist() == np.diff(run.finished).tolist()
    else:
        assert predicted.accepted.tolist() == run.started.tolist()
        assert predicted.finished.tolist() == run.finished.tolist()


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


@pytest.mark.parametrize("name", ["mask_max", "mask_gate", "mask_T4", "shift_T3"])
def test_pooling_that_did_not_start_again_after_a_probe_would_show(name):
    found = configuration(name)
    spikes = simulate(found.net, found.images, trace=True).trace.spikes
    net, wrong = found.net, replace(found.net, probe=None)
    assert any(
        (pooled(net, spikes[p.source], p.pool) != pooled(wrong, spikes[p.source], p.pool)).any()
        for p in net.projections
        if p.pool is not None
    )


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


def test_readouts_meet_their_corners():
    """No spike at all, votes that differ, and exits before the end, at it and without a lead."""
    results = {}
    for name in ("count", "count_exit", "sampled", "early_exit", "early_exit_events"):
        found = configuration(name)
        results[name] = simulate(found.net, found.images)
    classes = results["count"].classes
    assert classes.min() == -1 < classes.max()
    assert (results["sampled"].scores > 0).sum() > IMAGES
    for name in ("count_exit", "early_exit"):
        net, result = configuration(name).net, results[name]
        assert len(set(result.steps.tolist())) > 1
        leads = np.diff(np.sort(result.scores, axis=1)[:, -2:])[:, 0]
        assert (leads[result.steps < net.timesteps] >= net.readout.margin).all()
    assert (results["early_exit_events"].steps < 6).any()
