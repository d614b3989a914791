# SPDX-License-Identifier: BSD-2-Clause
"""The neuron that is trained: what it is in integers, in the paper's order, and with a leak."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.convert.encoding import with_bernoulli_input
from pysnn_hw.convert.float_sim import simulate_float
from pysnn_hw.convert.hybrid.unrolled import Unrolled, random_spikes
from pysnn_hw.errors import ModelError
from pysnn_hw.golden import simulate
from pysnn_hw.ir.snn import Neuron, Pool
from tests.networks import random_images, random_network, unclamped
from tests.unit.convert.hybrid_nets import IDLE, as_input, dense, images_of, random_dense, run

TRIALS = settings(max_examples=60, deadline=None)
FEW_TRIALS = settings(max_examples=12, deadline=None)


def authors_code(weights, thresholds, x, steps, leak=1.0):
    """Fire, then integrate, in the order of the authors' code; spikes and membranes per step."""
    m = [np.zeros(len(w)) for w in weights]
    spikes, membranes = [], []
    for _ in range(steps):
        sent, fired = x, []
        for k, (weight, theta) in enumerate(zip(weights, [*thresholds, None], strict=True)):
            if theta is None:
                m[k] = m[k] + weight @ sent
                continue
            o = (m[k] > theta).astype(float)
            m[k] = leak * m[k] + weight @ sent - theta * o
            fired.append(o)
            sent = o
        spikes.append(fired)
        membranes.append([v.copy() for v in m])
    return spikes, membranes


def integer_case(seed):
    rng = np.random.default_rng(seed)
    sizes = (5, 7, 6, 3)
    weights = [rng.integers(-6, 10, (b, a)).astype(float) for a, b in pairwise(sizes)]
    return weights, [float(rng.integers(5, 300)), float(rng.integers(4, 30))], rng.integers(0, 9, 5)


@TRIALS
@given(st.integers(1, 60), st.integers(1, 60), st.integers(2, 12))
def test_c1_constant_current_fires_like_inv_7(current, extra, steps):
    """One layer of the authors' order over T steps is ours over T - 1."""
    theta = current + extra - 1
    net = dense([np.ones((1, 1)), np.ones((1, 1))], [theta], timesteps=steps - 1)
    spikes, _ = run(net, np.full((1, 1, 1, 1), current))
    expected = np.clip(-(-(steps - 1) * current // theta) - 1, 0, steps - 1)
    theirs, _ = authors_code([np.ones((1, 1))] * 2, [theta], np.array([current]), steps)
    assert spikes["h0"].sum() == sum(s[0].sum() for s in theirs) == expected


@FEW_TRIALS
@given(st.integers(0, 10**6))
def test_c2_c9_the_authors_order_is_ours_with_a_register_per_layer(seed):
    weights, thresholds, x = integer_case(seed)
    steps = 6
    theirs, membranes = authors_code(weights, thresholds, x, steps + 2)
    net = dense(weights, thresholds, timesteps=steps)
    spikes, v = run(net, x.reshape(1, -1, 1, 1))
    for layer, name in enumerate(("h0", "h1")):
        late = np.array([step[layer] for step in theirs])
        assert not late[: layer + 1].any()
        ours = spikes[name].reshape(steps, -1)
        np.testing.assert_array_equal(late[layer + 1 : layer + 1 + steps], ours)
        # Their stored membrane is ours before the reset, which they do one step later.
        stored = membranes[steps - 1 + layer][layer]
        np.testing.assert_array_equal(stored - thresholds[layer] * ours[-1], v[name].ravel())
    np.testing.assert_array_equal(membranes[steps + 1][2], v["out"].ravel())


def test_c9_with_a_leak_the_orders_differ():
    """Ours leaks what is left after the reset, the authors' code what was there before it."""
    net = dense([np.ones((1, 1)), np.ones((1, 1))], [12.0], timesteps=2, leak=2)
    _, v = run(net, np.full((1, 1, 1, 1), 16))
    assert v["h0"].item() == 0.75 * (16 - 12) + 16 - 12
    _, m = authors_code([np.ones((1, 1))] * 2, [12.0], np.array([16.0]), 2, leak=0.75)
    assert m[1][0][0] == 0.75 * 16 + 16 - 12


@FEW_TRIALS
@given(st.integers(0, 10**6))
def test_c3_without_a_leak_nothing_is_lost(seed):
    weights, thresholds, x = integer_case(seed)
    net = dense(weights, thresholds, timesteps=7, start=0.5)
    spikes, v = run(net, x.reshape(1, -1, 1, 1))
    driven = 7 * weights[0] @ x
    counts = spikes["h0"].sum(0).ravel()
    np.testing.assert_allclose(
        v["h0"].ravel(), driven - thresholds[0] * (counts - 0.5), rtol=0, atol=1e-3
    )
    inner = weights[1] @ counts - thresholds[1] * (spikes["h1"].sum(0).ravel() - 0.5)
    np.testing.assert_allclose(v["h1"].ravel(), inner, rtol=0, atol=1e-3)


@pytest.mark.parametrize("leak", [1, 3])
def test_c4_an_impulse_decays(leak):
    net = dense([np.ones((1, 1)), np.ones((1, 1))], [1000.0], timesteps=6, start=0.9, leak=leak)
    spikes, v = run(net, np.zeros((1, 1, 1, 1), int))
    assert spikes["h0"].sum() == 0
    np.testing.assert_allclose(v["h0"].item(), 900 * (1 - 2.0**-leak) ** 6, rtol=1e-6)


@pytest.mark.parametrize("factor", [0.25, 8.0])
def test_c8_scaling_weights_and_thresholds_changes_no_spike(factor):
    net = random_dense(timesteps=9)
    weights = [p.weight * factor for p in net.projections]
    scaled = dense(weights, [0.9 * factor] * 2, timesteps=9)
    ours, theirs = (run(n, images_of(net, 8))[0] for n in (net, scaled))
    assert ours["h1"].any()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


@FEW_TRIALS
@given(st.integers(0, 10**6))
def test_in_integers_it_is_the_golden_network(seed):
    rng = np.random.default_rng(seed)
    # What is trained has no clamps.
    net = unclamped(random_network(rng, spike_max=1, neurons=[Neuron(strict=True)], pools=("sum",)))
    images = random_images(rng, net, 3)
    want = simulate(net, images, trace=True)
    spikes, _ = run(net, images)
    for name, values in want.trace.spikes.items():
        np.testing.assert_array_equal(spikes[name].swapaxes(0, 1), values)
    scores = Unrolled(net, IDLE).scores(as_input(net, images), torch.Generator())
    np.testing.assert_array_equal(scores.detach().numpy(), want.scores)


@pytest.mark.parametrize("leak", [0, 2])
def test_in_floating_point_it_is_the_simulated_network(leak):
    net = random_dense(3, timesteps=9, leak=leak)
    images = images_of(net, 20)
    scores = Unrolled(net, IDLE).scores(as_input(net, images), torch.Generator())
    want = simulate_float(net, images).scores
    assert (np.abs(scores.detach().numpy() - want) < 1e-3).mean() > 0.95


def test_random_spikes_have_the_law_of_the_hardware():
    """127 is the peak and always fires, 0 never; others by |x| / 128, from 64 on by one more."""
    x = torch.tensor([0.0, 127.0, -100.0, 20.0]).expand(20_000, 4)
    sent = random_spikes(x, 127, torch.Generator().manual_seed(0)).mean(0).numpy()
    assert sent[0] == 0
    assert sent[1] == 1
    np.testing.assert_allclose(sent[2:], [-101 / 128, 20 / 128], atol=0.015)


@FEW_TRIALS
@given(st.integers(0, 10**6))
def test_random_input_drives_the_network_as_in_integers(seed):
    """Other bits, the same rates: scores agree on average over images that are all the same."""
    rng = np.random.default_rng(seed)
    net = with_bernoulli_input(random_dense(seed, timesteps=40), 1 + seed)
    images = np.repeat(images_of(net, 1, seed), 60, 0)
    scores = Unrolled(net, IDLE).scores(as_input(net, images), torch.Generator().manual_seed(seed))
    ours = scores.detach().numpy()
    theirs = simulate_float(
        replace(net, input=replace(net.input, seed=int(rng.integers(1, 99)))), images[:1]
    ).scores
    assert (np.abs(theirs - ours.mean(0)) <= 6 * ours.std(0) + 1e-6).all()


def test_refusals():
    net = random_dense()
    lax = replace(net, populations=tuple(replace(p, neuron=Neuron()) for p in net.populations))
    with pytest.raises(ModelError, match="h0: is no strict neuron"):
        Unrolled(lax, IDLE)
    graded = replace(net, populations=(replace(net.populations[0], spike_max=3),))
    with pytest.raises(ModelError, match="h0: is no strict neuron"):
        Unrolled(graded, IDLE)
    pool = Pool("max", (1, 1), (1, 1))
    pooled = replace(net, projections=(replace(net.projections[0], pool=pool),))
    with pytest.raises(ModelError, match="max pooling"):
        Unrolled(pooled, IDLE)
