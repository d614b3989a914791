# SPDX-License-Identifier: BSD-2-Clause
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.convert import convert, quantize
from pysnn_hw.convert.moments import Moments, input_moments
from pysnn_hw.convert.rounding import round_nearest, round_with_feedback
from pysnn_hw.golden import simulate
from pysnn_hw.ir.ann import GlobalAvgPool
from pysnn_hw.ir.snn import INPUT
from tests.unit.convert.ann_graphs import Builder, images, overlapping, plain


def correlated(inputs=40, count=3000, seed=0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(0, 1, (inputs, 8))
    return np.maximum(rng.normal(0, 1, (count, 8)) @ mixing.T, 0)


def moments_of(x):
    return Moments(x.mean(0)[None], (x.T @ x / len(x))[None])


@pytest.mark.parametrize("limit", [3, 7])
def test_feedback_lowers_the_error_of_the_current(limit):
    x = correlated()
    weights = np.random.default_rng(1).normal(0, limit / 3, (6, 40))
    nearest, fed_back = (
        round_nearest(weights, limit),
        round_with_feedback(weights, limit, moments_of(x)),
    )
    for rounded in (nearest, fed_back):
        assert (rounded == np.rint(rounded)).all()
        assert np.abs(rounded).max() <= limit
    errors = [((x @ (weights - r).T) ** 2).mean() for r in (nearest, fed_back)]
    assert errors[1] < 0.5 * errors[0]


def test_uncorrelated_inputs_are_rounded_to_the_nearest():
    weights = np.random.default_rng(2).normal(0, 3, (4, 10))
    diagonal = Moments(np.zeros((1, 10)), np.diag(np.arange(1.0, 11))[None])
    np.testing.assert_array_equal(
        round_with_feedback(weights, 7, diagonal), round_nearest(weights, 7)
    )


def test_groups_are_rounded_apart():
    x, y = correlated(seed=3), correlated(seed=4)
    weights = np.random.default_rng(5).normal(0, 2, (6, 40))
    both = Moments(
        np.concatenate([moments_of(x).mean, moments_of(y).mean]),
        np.concatenate([moments_of(x).second, moments_of(y).second]),
    )
    together = round_with_feedback(weights, 7, both)
    np.testing.assert_array_equal(together[:3], round_with_feedback(weights[:3], 7, moments_of(x)))
    np.testing.assert_array_equal(together[3:], round_with_feedback(weights[3:], 7, moments_of(y)))


def test_inputs_that_never_come_are_rounded_to_the_nearest():
    weights = np.random.default_rng(6).normal(0, 3, (2, 5))
    silent = Moments(np.zeros((1, 5)), np.zeros((1, 5, 5)))
    np.testing.assert_array_equal(
        round_with_feedback(weights, 7, silent), round_nearest(weights, 7)
    )


@pytest.mark.parametrize("build", [plain, overlapping])
def test_moments_predict_mean_currents(build):
    """The mean current through every projection is weight times mean input."""
    net = convert(build(), images(), timesteps=3, levels=2)
    fixed = quantize(net)
    moments = input_moments(fixed, images())
    spikes = simulate(fixed, images(), trace=True).trace.spikes
    rates = {name: s.mean(1, dtype=np.float64) for name, s in spikes.items()}
    rates[INPUT] = images().astype(np.float64) - np.reshape(net.input.zero_point, (-1, 1, 1))
    for p in fixed.projections:
        found = moments[p.name]
        view = p.as_conv(fixed.shape_of(p.source))
        assert found.mean.shape == (view.groups, np.prod(view.weight.shape[1:]))
        assert found.second.shape == (*found.mean.shape, found.mean.shape[1])
        np.testing.assert_allclose(found.squares, np.einsum("gkk->gk", found.second))
        assert (found.squares >= found.mean**2 - 1e-6).all()
    fc, last = fixed.projections[-1], fixed.populations[-1]
    mean = simulate(fixed, images()).scores.mean(0) / fixed.timesteps - last.bias
    np.testing.assert_allclose(fc.weight @ moments[fc.name].mean[0], mean, rtol=1e-4, atol=1e-3)


def test_large_fan_ins_keep_the_diagonal_only(monkeypatch):
    net = convert(plain(), images())
    full = input_moments(net, images())
    monkeypatch.setattr("pysnn_hw.convert.moments.MAX_FAN_IN", 20)
    small = input_moments(net, images())
    for name, found in small.items():
        np.testing.assert_allclose(found.squares, full[name].squares, rtol=1e-5)
    assert small["conv2"].second.ndim == 2
    assert small["conv1"].second.ndim == 3
    assert np.abs(quantize(net, 4, images()).projections[1].weight).max() <= 7


def test_moments_see_the_padding_on_its_own_side():
    b = Builder(12)
    b.conv("conv", 2, 3)
    b.nodes[-1] = replace(b.nodes[-1], padding=(0, 1, 2, 0))
    b.relu("relu")
    b.add(GlobalAvgPool, "gap")
    net = convert(b.graph(), images())
    x = images().astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, ((0, 0), (0, 0), (0, 2), (1, 0))), (3, 3), (2, 3)
    )
    found = input_moments(net, images())["conv"].mean[0]
    np.testing.assert_allclose(found, windows.mean((0, 2, 3)).reshape(-1), rtol=1e-5)
