# SPDX-License-Identifier: BSD-2-Clause
"""Gradients through spikes, against a recursion written out by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pysnn_hw.convert.hybrid.surrogate import NEVER, fire, linear_slope, stdb_slope
from pysnn_hw.convert.hybrid.training import HybridTraining
from pysnn_hw.convert.hybrid.unrolled import Unrolled
from tests.unit.convert.hybrid_nets import as_input, images_of, random_dense

ALPHA, BETA = 0.4, 0.3


def recursion(net, x, g, surrogate, cutoff=None):
    """Gradients of ``sum(g * scores)`` by weight, in float64 (methods.md 4.4)."""
    weights = [p.weight for p in net.projections]
    theta = float(net.populations[0].threshold[0])
    keeps = 1 - 2.0 ** -net.populations[0].neuron.leak if net.populations[0].neuron.leak else 1.0
    steps, layers, images = net.timesteps, len(weights) - 1, len(x)
    sent = [[x] * steps]
    slopes = []
    for weight in weights[:-1]:
        v = np.zeros((images, len(weight)))
        last = np.full(v.shape, -1000)
        spikes, slope = [], []
        for t in range(steps):
            u = keeps * v + sent[-1][t] @ weight.T
            s = (u > theta).astype(float)
            if surrogate == "stdb":
                elapsed = t - last
                d = ALPHA * np.exp(-BETA * elapsed)
                if cutoff is not None:
                    d[elapsed > cutoff] = 0
            else:
                d = ALPHA * np.maximum(0, 1 - np.abs(u / theta - 1))
            last = np.where(s > 0, t, last)
            v = u - theta * s
            spikes.append(s)
            slope.append(d)
        sent.append(spikes)
        slopes.append(slope)
    found = [None] * (layers + 1)
    found[layers] = sum(g.T @ sent[layers][t] for t in range(steps))
    arriving = [g @ weights[-1]] * steps
    for k in reversed(range(layers)):
        g_u, total, below = np.zeros_like(slopes[k][0]), 0.0, [None] * steps
        for t in reversed(range(steps)):
            g_u = slopes[k][t] / theta * arriving[t] + keeps * g_u
            total = total + g_u.T @ sent[k][t]
            below[t] = g_u @ weights[k]
        found[k], arriving = total, below
    return found, sent[1:]


@pytest.mark.parametrize("segment", [0, 2])
@pytest.mark.parametrize("leak", [0, 2])
@pytest.mark.parametrize(("surrogate", "cutoff"), [("linear", None), ("stdb", None), ("stdb", 1)])
def test_c5_gradients_are_those_of_the_recursion(surrogate, cutoff, leak, segment):
    net = random_dense(1, timesteps=5, leak=leak)
    training = HybridTraining(
        surrogate=surrogate, alpha=ALPHA, beta=BETA, stdb_cutoff=cutoff, segment=segment
    )
    images = images_of(net, 6)
    g = np.random.default_rng(5).normal(size=(6, 3))
    model = Unrolled(net, training)
    scores = model.scores(as_input(net, images), torch.Generator())
    (scores * torch.from_numpy(g)).sum().backward()
    wanted, spikes = recursion(net, images.reshape(6, -1), g, surrogate, cutoff)
    # The case holds neurons that never fire, and some that fire twice.
    assert (sum(spikes[0]) == 0).any()
    assert (sum(spikes[0]) > 1).any()
    for projection, gradient in zip(net.projections, wanted, strict=True):
        got = model.weights[projection.name].grad.numpy()
        assert np.abs(gradient).max() > 1e-3
        np.testing.assert_allclose(got, gradient, rtol=1e-3, atol=1e-5 * np.abs(gradient).max())


def test_at_a_spike_stdb_counts_from_the_spike_before():
    training = HybridTraining(surrogate="stdb", alpha=1.0, beta=1.0)
    theta, fired = torch.tensor(1.0), torch.full((1,), float(NEVER))
    slopes = []
    for step, membrane in enumerate([2.0, 0.0, 2.0, 0.0]):
        u = torch.tensor([membrane], requires_grad=True)
        spikes, fired = fire(u, theta, fired, step, training)
        spikes.backward()
        slopes.append(u.grad.item())
    np.testing.assert_allclose(slopes, [0.0, np.exp(-1), np.exp(-2), np.exp(-1)], rtol=1e-6)


def test_c6_long_silence_is_not_lost_to_underflow():
    elapsed = torch.tensor([103.0, 104.0, 250.0])
    np.testing.assert_allclose(
        stdb_slope(elapsed, 0.3, 0.01), 0.3 * np.exp(-0.01 * elapsed.numpy()), rtol=1e-6
    )
    # As the authors' code computes it, and how the cutoff has the same.
    underflown = 0.3 * torch.exp(-elapsed) ** 0.01
    assert underflown[1:].tolist() == [0.0, 0.0]
    assert stdb_slope(elapsed, 0.3, 0.01, 103)[1:].tolist() == [0.0, 0.0]
    assert stdb_slope(elapsed, 0.3, 0.01, 103)[0] > 0.1


def test_a_neuron_that_never_fired_learns_next_to_nothing():
    slope = stdb_slope(torch.tensor([0.0 - NEVER]), 0.3, 0.01).item()
    assert slope == pytest.approx(0.3 * np.exp(-10), rel=1e-6)


def test_the_linear_slope_is_a_triangle():
    n = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 3.0])
    np.testing.assert_allclose(
        linear_slope(n, 0.3), [0, 0, 0.15, 0.3, 0.225, 0, 0], rtol=1e-6, atol=0
    )


def test_spikes_are_exactly_zero_or_one():
    """The term that carries the gradient adds nothing to them."""
    u = torch.linspace(-5, 5, 10_001, requires_grad=True)
    spikes, _ = fire(u, torch.tensor(0.7), torch.full_like(u, NEVER), 0, replace(HybridTraining()))
    assert set(spikes.tolist()) == {0.0, 1.0}
    np.testing.assert_array_equal(spikes.detach() > 0, u.detach() > 0.7)
