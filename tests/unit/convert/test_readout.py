# SPDX-License-Identifier: BSD-2-Clause
"""Readouts other than the potential, and early exit."""

from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.convert import convert, quantize
from pysnn_hw.convert.float_sim import simulate_float
from pysnn_hw.convert.readout import count_readout, exit_margin, with_early_exit
from pysnn_hw.errors import ModelError
from pysnn_hw.golden import simulate
from pysnn_hw.ir.check import check_fixed
from tests.unit.convert.ann_graphs import GRAPHS, images, plain

READOUTS = ("potential", "count", "first", "sampled")


def both(net, x):
    """Golden and float simulation of ``net`` in integers, which must agree; the former."""
    fixed = quantize(net, 8, x)
    check_fixed(fixed)
    golden, found = simulate(fixed, x, trace=True), simulate_float(fixed, x)
    np.testing.assert_array_equal(found.scores, golden.scores)
    np.testing.assert_array_equal(found.classes, golden.classes)
    np.testing.assert_array_equal(found.steps, golden.steps)
    return fixed, golden


@pytest.mark.parametrize("mode", READOUTS)
@pytest.mark.parametrize("name", ["max pool", "residual, conv", "ends in pooling"])
@pytest.mark.parametrize(("timesteps", "levels"), [(1, 4), (6, 1), (5, 3)])
def test_every_readout_becomes_a_file(name, mode, timesteps, levels):
    x = images()
    net = convert(GRAPHS[name](), x, timesteps=timesteps, levels=levels, readout=mode)
    assert net.provenance["readout"] == mode
    both(net, x)


def test_counts_are_those_of_the_last_layer():
    x = images()
    net = convert(plain(), x, timesteps=32, levels=1, readout="count")
    fixed, golden = both(net, x)
    assert fixed.populations[-1].name == "fc_count"
    counts = golden.trace.spikes["fc"].sum(1, dtype=int).reshape(len(x), -1)
    np.testing.assert_array_equal(golden.scores, counts)
    wanted = np.where(counts.max(1) > 0, counts.argmax(1), -1)
    np.testing.assert_array_equal(golden.classes, wanted)
    # Where the best class is well ahead, potential and count agree.
    potential = simulate_float(convert(plain(), x, timesteps=32, levels=1), x)
    top = np.sort(potential.scores, 1)[:, -2:]
    clear = top[:, 1] - np.maximum(top[:, 0], 0) > 3 * net.population("fc").threshold
    assert clear.sum() > 5
    np.testing.assert_array_equal(golden.classes[clear], potential.classes[clear])


def test_the_last_threshold_looks_at_positive_scores_of_all_classes():
    x = images()
    net = convert(plain(), x, timesteps=4, levels=2, bias_correction=False)
    last = net.populations[-1]
    scores = simulate_float(net, x).scores / 4
    low = replace(last, bias=last.bias - np.quantile(scores, 0.8))
    net = replace(net, populations=(*net.populations[:-1], low))
    scores = simulate_float(net, x).scores / 4
    assert 0 < scores.max() < -scores.min()
    firing = count_readout(net, x, calibration="max", spike_max=3, tau=0.25).population("fc")
    np.testing.assert_allclose(firing.threshold, [scores.max() / 3], rtol=1e-6)
    np.testing.assert_allclose(firing.v_init, firing.threshold / 4)


def test_a_silent_last_layer_has_no_class():
    x = images()
    net = convert(plain(), x, timesteps=4, levels=1, readout="count")
    last = net.population("fc")
    mute = replace(last, bias=last.bias - 1e3)
    populations = tuple(mute if p.name == "fc" else p for p in net.populations)
    _, golden = both(replace(net, populations=populations), x)
    assert (golden.classes == -1).all()


@pytest.mark.parametrize("timesteps", [6, 127, 128, 200])
def test_first_spikes_score_the_steps_left(timesteps):
    x = images(8)
    net = convert(plain(), x, timesteps=timesteps, levels=2, readout="first")
    fixed, golden = both(net, x)
    fired = golden.trace.spikes["fc"].reshape(len(x), timesteps, -1) > 0
    left = np.where(fired.any(1), timesteps - fired.argmax(1), 0)
    np.testing.assert_array_equal(golden.scores, left)
    assert 0 < left.max() <= timesteps
    assert len(fixed.populations) == (5 if timesteps <= 127 else 6)


def test_votes_are_samples_of_the_softmax():
    """Over many steps, shares of votes come close to the mean softmax of the potentials."""
    x = images(6)
    net = convert(plain(), x, timesteps=4096, levels=1, readout="sampled", bias_correction=False)
    # Potentials that stay as they are: all input at once, and nothing afterwards.
    last = net.populations[-1]
    still = replace(last, bias=0 * last.bias, v_init=np.array([0.4, -1.0, 0.0, 1.2, 0.8]))
    mute = tuple(replace(p, weight=0 * p.weight) for p in net.projections)
    net = replace(net, populations=(*net.populations[:-1], still), projections=mute)
    found = simulate_float(net, x)
    assert (found.scores.sum(1) == 4096).all()
    softmax = np.exp(still.v_init) / np.exp(still.v_init).sum()
    np.testing.assert_allclose(found.scores[0] / 4096, softmax, atol=0.03)
    np.testing.assert_array_equal(found.scores, found.scores[[0] * 6])


def test_samples_follow_the_seed():
    x = images()
    first, second, third = (
        simulate_float(convert(plain(), x, timesteps=8, readout="sampled", seed=seed), x).scores
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != third).any()


def history(*rows):
    """One image with two classes whose lead is given step by step; negative: the second leads."""
    return np.array([[[max(v, 0.0), max(-v, 0.0)] for v in row] for row in rows])


def test_the_margin_keeps_wrong_leads_out():
    wrong_at_first = history([-2, 1, 3], [1, 2, 4], [5, 6, 7])
    found = exit_margin(wrong_at_first, 1.0)
    assert 2 < found < 2.01
    assert exit_margin(wrong_at_first, 1.0, whole=True) == 3
    assert exit_margin(wrong_at_first, 0.6) < 0.1
    assert exit_margin(history([1, 2, 3]), 1.0, whole=True) == 1


@pytest.mark.parametrize("agreement", [0.9, 1.0])
@pytest.mark.parametrize("mode", ["potential", "count"])
def test_early_exit_keeps_the_promise_on_the_calibration_images(mode, agreement):
    x = images(200)
    options = {"timesteps": 16, "levels": 2, "readout": mode, "bias_correction": False}
    net = convert(plain(), x, early_exit=agreement, **options)
    assert net.readout.margin > 0
    found, whole = simulate_float(net, x), simulate_float(convert(plain(), x, **options), x)
    assert (found.classes == whole.classes).mean() >= agreement
    assert found.steps.mean() < 14
    lower = replace(net, readout=replace(net.readout, margin=0.9 * net.readout.margin))
    sooner = simulate_float(lower, x)
    assert sooner.steps.mean() <= found.steps.mean()


def test_early_exit_in_integers():
    x = images(200)
    net = convert(plain(), x, timesteps=16, levels=2, early_exit=1.0)
    fixed, golden = both(net, x)
    assert isinstance(fixed.readout.margin, int)
    assert golden.steps.min() < 16
    again = with_early_exit(fixed, x, 1.0)
    whole = simulate(replace(fixed, readout=replace(fixed.readout, margin=0)), x)
    np.testing.assert_array_equal(simulate(again, x).classes, whole.classes)
    assert again.readout.margin == int(again.readout.margin)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"early_exit": 0.9}, "early_exit: needs more than one timestep"),
        ({"early_exit": 0.9, "timesteps": 4, "readout": "sampled"}, "early_exit: needs"),
        ({"early_exit": 1.1}, r"early_exit: must be in 0\.\.1"),
        ({"readout": "loudest"}, "readout: 'loudest' is unknown; use potential, count"),
        ({"readout": "first", "method": "srp", "timesteps": 4}, "readout: first does not go"),
        ({"seed": 0, "readout": "sampled"}, r"seed: must be 1\.\."),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ModelError, match=message):
        convert(plain(), images(), **options)
