# SPDX-License-Identifier: BSD-2-Clause
"""From words that differ to the neuron that differs."""

import numpy as np
import pytest

from pysnn_hw.golden import simulate
from pysnn_hw.plan.schedule import simple_schedule
from pysnn_hw.verify.compare import first_mismatch
from pysnn_hw.verify.design import Design
from tests.networks import random_images, random_network


@pytest.fixture(scope="module")
def setting():
    """A network of two fire populations, one on two lanes; four images and their golden result."""
    for seed in range(100):
        rng = np.random.default_rng(seed)
        net = random_network(rng, timesteps=3, spike_max=7, depth=2, pools=(), residual=False)
        design = Design(net, simple_schedule(net, lanes=2))
        if any(probe.lanes == 2 for probe in design.probes):
            images = random_images(rng, net, 4)
            return design, simulate(net, images, trace=True)
    raise AssertionError("no such network")


def checks(design, result):
    """Findings of a run without any mismatch."""
    steps, images = design.net.timesteps, len(result.scores)
    sizes = [("scores", 0, images * design.classes)]
    for probe in design.probes:
        sizes.append(("spikes", probe.population, images * steps * probe.words))
        sizes.append(("membranes", probe.population, images * probe.words))
    blank = {"mismatches": 0, "first": 0, "cycle": 0, "index": 0, "got": []}
    return [
        {"stream": what, "population": k, "seen": n, "items": n, **blank} for what, k, n in sizes
    ]


def broken(design, result, what, population, position, change, count=1):
    """The finding that ``change`` was applied to the expected word at ``position``."""
    probe = next(p for p in design.probes if p.population == population)
    words = probe.spikes(result.trace) if what == "spikes" else probe.membranes(result.trace)
    got = words.reshape(-1, words.shape[-1])[position].copy()
    got[0] ^= change
    found = checks(design, result)
    for check in found:
        if (check["stream"], check["population"]) == (what, population):
            index = position % probe.words
            check.update(mismatches=count, first=position, index=index, got=got.tolist(), cycle=9)
    return found


def test_equal_runs_have_no_mismatch(setting):
    design, result = setting
    assert first_mismatch(design, result, checks(design, result)) is None


@pytest.mark.parametrize(("what", "name"), [("spikes", "spike"), ("membranes", "membrane")])
def test_the_neuron_is_named(setting, what, name):
    design, result = setting
    probe = design.probes[1]
    per_image = probe.words * (3 if what == "spikes" else 1)
    index = probe.words - 2
    step = 1 if what == "spikes" else 0
    position = 2 * per_image + step * probe.words + index
    found = first_mismatch(design, result, broken(design, result, what, 1, position, 1), 100)
    y, x, group = probe.order[index]
    assert (found.image, found.population, found.what) == (102, probe.name, name)
    assert found.timestep == (1 if what == "spikes" else 2)
    assert (found.channel, found.y, found.x) == (group * probe.lanes, y, x)
    trace = result.trace.spikes if what == "spikes" else result.trace.membranes
    values = trace[probe.name][2]
    expected = values[1, found.channel, y, x] if what == "spikes" else values[found.channel, y, x]
    assert found.expected == expected
    assert found.got == expected ^ 1
    assert f"population {probe.name}, timestep {found.timestep}, image 102" in str(found)


def test_the_lane_within_the_word_is_found(setting):
    design, result = setting
    probe = next(p for p in design.probes if p.lanes == 2)
    flip = 1 << probe.spike_bits
    found = first_mismatch(
        design, result, broken(design, result, "spikes", probe.population, 0, flip)
    )
    assert found.channel == probe.order[0][2] * 2 + 1


def test_an_earlier_timestep_comes_before_an_earlier_population(setting):
    design, result = setting
    first, second = design.probes
    late = broken(design, result, "spikes", 0, first.words * 2, 1)
    early = broken(design, result, "spikes", 1, second.words, 1)
    both = [a if a["mismatches"] else b for a, b in zip(late, early, strict=True)]
    found = first_mismatch(design, result, both)
    assert (found.population, found.timestep) == (second.name, 1)


def test_wrong_score_wrong_winner_and_missing_words(setting):
    design, result = setting
    words = design.expected_output(result)
    label = design.classes - 1
    for bit, what in ((0, "score"), (32, "winner")):
        got = words[1, label].copy()
        got[bit // 32] ^= 1 << bit % 32
        found = checks(design, result)
        position = design.classes + label
        found[0].update(mismatches=1, first=position, got=got.tolist())
        mismatch = first_mismatch(design, result, found)
        assert (mismatch.what, mismatch.image, mismatch.channel) == (what, 1, label)
        assert mismatch.population == design.net.populations[-1].name
        assert mismatch.got == mismatch.expected ^ 1
    found = checks(design, result)
    found[1]["seen"] -= 1
    mismatch = first_mismatch(design, result, found)
    assert (mismatch.what, mismatch.image, mismatch.timestep) == ("missing", 3, 2)


def test_a_word_out_of_turn(setting):
    design, result = setting
    found = broken(design, result, "spikes", 0, 3, 0)
    found[1]["index"] = 4
    mismatch = first_mismatch(design, result, found)
    assert (mismatch.what, mismatch.expected, mismatch.got) == ("order", 3, 4)
