# SPDX-License-Identifier: BSD-2-Clause
"""T-B1 to T-B8 of method ecc."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from pysnn_hw.convert import convert, loss_report, quantize
from pysnn_hw.convert.float_sim import simulate_float
from pysnn_hw.convert.keep_batchnorm import scaled_batchnorm
from pysnn_hw.convert.lower import lower
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.convert.scale import scale_channels
from pysnn_hw.data import load_dataset
from pysnn_hw.frontend import import_model
from pysnn_hw.golden import simulate
from pysnn_hw.ir.ann import Add, AnnGraph, BatchNorm, Conv2d, Flatten, Input, evaluate
from pysnn_hw.ir.snn import INPUT, FixedNetwork, Population, Projection
from pysnn_hw.ir.snn import Input as SpikeInput
from pysnn_hw.resources import resource
from tests.unit.convert.ann_graphs import GRAPHS, Builder, images, plain, residual


def counts_of(net, x):
    """Counts and scores of the clip-floor network: plain numpy, one layer after the other."""
    zero = np.reshape(net.input.zero_point, (-1, 1, 1))
    sent = {INPUT: (x.astype(np.int64) - zero).astype(net.projections[0].weight.dtype)}
    for p in net.populations:
        total = np.broadcast_to(p.bias.reshape(-1, 1, 1), (len(x), *p.shape))
        for q in net.into(p.name):
            total = total + layer(q, sent[q.source])
        if p.kind == "readout":
            scores = total.reshape(len(x), -1)
            break
        column = [v.reshape(-1, 1, 1) for v in (p.v_init, p.threshold)]
        sent[p.name] = np.clip(np.floor((total + column[0]) / column[1]), 0, p.spike_max)
    return sent, scores


def layer(projection, x):
    """Convolution, dense layer or scaling of what a projection's source sends."""
    if projection.pool is not None:
        windows = np.lib.stride_tricks.sliding_window_view(x, projection.pool.kernel, (2, 3))
        windows = windows[:, :, :: projection.pool.stride[0], :: projection.pool.stride[1]]
        x = windows.max((4, 5)) if projection.pool.mode == "max" else windows.sum((4, 5))
    if projection.kind == "linear":
        return (x.reshape(len(x), -1) @ projection.weight.T)[:, :, None, None]
    if projection.kind == "identity":
        return x * projection.weight[:, None, None]
    top, left, bottom, right = projection.padding
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    x = np.lib.stride_tricks.sliding_window_view(x, projection.weight.shape[2:], (2, 3))
    x = x[:, :, :: projection.stride[0], :: projection.stride[1]]
    parts = zip(
        np.split(x, projection.groups, 1),
        np.split(projection.weight, projection.groups),
        strict=True,
    )
    return np.concatenate(
        [np.tensordot(a, w, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2) for a, w in parts], 1
    )


def assert_equal_to_clip_floor(net, x):
    expected, scores = counts_of(net, x)
    if isinstance(net, FixedNetwork):
        found = simulate(net, x, trace=True)
        got = {name: s[:, 0] for name, s in found.trace.spikes.items()}
        np.testing.assert_array_equal(found.scores, scores)
    else:
        found = simulate_float(net, x, double=True)
        got = found.counts
        np.testing.assert_allclose(found.scores, scores, atol=1e-9 * np.abs(scores).max())
    assert got.keys() == expected.keys() - {INPUT}
    for name, counts in got.items():
        np.testing.assert_array_equal(counts, expected[name])
        assert counts.any()


@pytest.mark.parametrize("counts", [3, 16, 255])
@pytest.mark.parametrize("name", GRAPHS)
def test_b1_layer_synchronous_execution_is_the_clip_floor_network(name, counts):
    """T-B1: every neuron and image, in real numbers and in integers."""
    net = convert(GRAPHS[name](), images(), method="ecc", counts=counts)
    assert {p.spike_max for p in net.populations[:-1]} == {counts}
    assert_equal_to_clip_floor(net, images())
    assert_equal_to_clip_floor(quantize(net, 8, images()), images())


@pytest.fixture(scope="module")
def mnist():
    data = load_dataset("mnist")
    graph = import_model(resource("bundled", "mnist_cnn.onnx")).graph
    return convert(graph, data.x_train[:500], method="ecc", counts=16), data


def test_b1_on_mnist(mnist):
    """T-B1 on real images, a part of them."""
    net, data = mnist
    assert_equal_to_clip_floor(net, data.x_test[:100])
    assert_equal_to_clip_floor(quantize(net, 8), data.x_test[:100])


@pytest.mark.slow
def test_b1_on_all_of_mnist(mnist):
    """T-B1 on all 10,000 images."""
    net, data = mnist
    fixed = quantize(net, 8, data.x_train[:200])
    for first in range(0, len(data.x_test), 250):
        part = data.x_test[first : first + 250]
        assert_equal_to_clip_floor(net, part)
        assert_equal_to_clip_floor(fixed, part)


def neuron(threshold, v_init, spike_max):
    """One neuron that sees its input pixel as current."""
    shape, one = (1, 1, 1), np.ones(1, np.int64)
    limit = 1 << 20
    return FixedNetwork(
        1,
        SpikeInput(shape, (0,), -4096, 4096),
        (
            Population(
                *("n", "fire", shape, 0 * one, threshold * one, v_init * one, spike_max),
                *(-limit, limit),
            ),
            Population("out", "readout", shape, 0 * one, np.empty(0, np.int64), 0 * one, 0),
        ),
        (
            Projection("in", INPUT, "n", "identity", one),
            Projection("to", "n", "out", "identity", one),
        ),
    )


@pytest.mark.parametrize("theta", [1, 7, 16, 100])
def test_b2_tau_rounds_or_floors_or_lies_between(theta):
    """T-B2: tau 0.5 is round-half-up, 0 is floor, counts grow with tau."""
    currents = np.arange(-40, 5 * theta).reshape(-1, 1, 1, 1)
    found = {
        tau: simulate(neuron(theta, int(tau * theta), 4), currents).scores.ravel()
        for tau in (0, 0.25, 0.5, 2 / 3, 1)
    }
    currents = currents.ravel()
    np.testing.assert_array_equal(found[0], np.clip(currents // theta, 0, 4))
    half_up = np.floor((2 * currents + theta - theta % 2) / (2 * theta))
    np.testing.assert_array_equal(found[0.5], np.clip(half_up, 0, 4))
    assert all((a <= b).all() for a, b in pairwise(found.values()))


@pytest.mark.parametrize("tau", [0, 0.3, 0.5, 2 / 3, 1])
def test_tau_survives_quantisation(tau):
    net = convert(residual(), images(), method="ecc", counts=16, tau=tau)
    fixed = quantize(net, 8, images())
    for p, q in zip(net.populations[:-1], fixed.populations[:-1], strict=True):
        np.testing.assert_allclose(p.v_init, tau * p.threshold)
        np.testing.assert_array_equal(q.v_init, np.floor(tau * q.threshold + 1e-6))


def test_tre_loses_less_than_floor():
    graph, x = residual(), images()
    prepared, absorbed = prepare(graph, Preprocessing())
    wanted, _ = evaluate(prepared, absorbed.apply(x))
    errors = []
    for tau in (0.5, 0.0):
        net = convert(graph, x, method="ecc", counts=8, tau=tau, bias_correction=False)
        errors.append(np.abs(simulate_float(net, x).scores - wanted).mean())
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("tau", [-0.1, 1.1, float("nan")])
def test_tau_out_of_range(tau):
    with pytest.raises(Exception, match=r"tau: must be in 0\.\.1"):
        convert(plain(), images(), tau=tau)


def test_b3_twice_the_steps_is_twice_the_charge():
    """T-B3: charge, that is threshold times count plus membrane, of the first layer."""
    charges = []
    for timesteps in (4, 8):
        net = quantize(convert(plain(), images(), method="ecc", levels=1, bias_correction=False))
        net = replace(net, timesteps=timesteps)
        first = net.populations[0]
        wide = replace(first, v_init=0 * first.v_init, v_min=-(1 << 30), v_max=1 << 30)
        net = replace(net, populations=(wide, *net.populations[1:]))
        trace = simulate(net, images(), trace=True).trace
        total = trace.spikes[first.name].sum(1, dtype=np.int64)
        theta = first.threshold.reshape(-1, 1, 1)
        charges.append(total * theta + trace.membranes[first.name])
    np.testing.assert_array_equal(charges[1], 2 * charges[0])


@pytest.mark.parametrize("eps", [1e-3, 1e-5, 0.1])
@pytest.mark.parametrize("scales", [(3.0, 0.2), (0.05, 7.0)])
def test_b4_scaled_normalisation(eps, scales):
    """T-B4: exact with epsilon scaled like the variance, visibly wrong without."""
    b = Builder(3)
    b.conv("conv", 2, 5)
    b.batchnorm("bn", 5, eps=eps, spread=1e-4)
    conv, layer = b.nodes[1:]
    source, target = scales
    scaled = scaled_batchnorm(layer, source, target)
    wrong = replace(scaled, eps=eps)
    thin = replace(conv, bias=conv.bias / source)
    x = np.random.default_rng(0).random((4, 2, 8, 8))

    def run(first, second, values):
        return evaluate(AnnGraph((b.nodes[0], first, second), "bn"), values)[0]

    expected = run(conv, layer, x) / target
    limit = 1e-9 * np.abs(expected).max()
    np.testing.assert_allclose(run(thin, scaled, x / source), expected, rtol=0, atol=limit)
    assert np.abs(run(thin, wrong, x / source) - expected).max() > 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("eps", [1e-3, 1e-5, 0.1])
def test_b4_both_forms_send_the_same_spikes(eps):
    """T-B4: folded or kept, the same counts, and the same integers once rounded."""
    b = Builder(8)
    b.conv("conv1", 2, 6)
    b.batchnorm("bn1", 6, eps=eps, spread=1e-4)
    entry = b.relu("relu1")
    b.conv("conv2", 6, 6)
    b.batchnorm("bn2", 6, eps=eps)
    b.add(Add, "sum", b.last, entry)
    b.relu("relu2")
    b.add(Flatten, "flat")
    b.linear("fc", 384, 5)
    folded, kept = (
        convert(b.graph(), images(), method="ecc", counts=16, batchnorm=form)
        for form in ("folded", "kept")
    )
    conv1, conv2 = (n for n in b.nodes if isinstance(n, Conv2d))
    bn1, bn2 = (n for n in b.nodes if isinstance(n, BatchNorm))
    weights = {p.name: p.weight for p in kept.projections}
    for conv, bn in ((conv1, bn1), (conv2, bn2)):
        sign = np.sign(bn.gamma)[:, None, None, None]
        np.testing.assert_allclose(weights[conv.name], sign * conv.weight, rtol=1e-9)
    assert (np.sign(bn1.gamma) < 0).any()
    assert kept.population("relu1").threshold.shape == (6,)
    a, c = (simulate_float(net, images(), double=True) for net in (folded, kept))
    for name, counts in a.counts.items():
        np.testing.assert_array_equal(c.counts[name], counts)
    np.testing.assert_allclose(c.scores, a.scores, rtol=1e-9)
    fixed = [quantize(net) for net in (folded, kept)]
    for p, q in zip(*(net.projections for net in fixed), strict=True):
        np.testing.assert_array_equal(p.weight, q.weight)
    ann = np.zeros(len(images()), np.int64)
    reports = [
        loss_report(b.graph(), net, whole, images(), ann).populations
        for net, whole in zip((folded, kept), fixed, strict=True)
    ]
    assert [p.fixed_correlation for p in reports[1]] == pytest.approx(
        [p.fixed_correlation for p in reports[0]]
    )


def test_b4_a_gain_of_zero_is_left_alone():
    b = Builder(8)
    b.conv("conv1", 2, 6)
    b.batchnorm("bn1", 6)
    b.nodes[-1].gamma[2] = 0
    b.relu("relu1")
    b.add(Flatten, "flat")
    b.linear("fc", 384, 5)
    folded, kept = (
        convert(b.graph(), images(), method="ecc", counts=16, batchnorm=form)
        for form in ("folded", "kept")
    )
    assert np.isfinite(kept.population("relu1").threshold).all()
    a, c = (simulate_float(net, images(), double=True) for net in (folded, kept))
    np.testing.assert_array_equal(a.counts["relu1"], c.counts["relu1"])


@pytest.mark.parametrize("bits", [9, 12])
@pytest.mark.parametrize("largest", [0.33, 0.54, 1.7])
def test_b5_weights_over_their_largest_want_the_threshold_over_it_too(bits, largest):
    """T-B5: kappa / m keeps counts within one, kappa * m does not (regression guard)."""
    net = convert(plain(), images(), method="ecc", counts=64, bias_correction=False)
    first = net.populations[0].name
    before = np.abs(net.into(first)[0].weight).max()
    net = scale_channels(net, first, np.array([largest / before]))
    m = np.abs(net.into(first)[0].weight).max()
    assert m == pytest.approx(largest)
    unit = scale_channels(net, first, np.array([1 / m]))
    grid = 2.0 ** (bits - 1)
    rounded = replace(unit.into(first)[0], weight=np.rint(unit.into(first)[0].weight * grid) / grid)
    unit = replace(unit, projections=(rounded, *unit.projections[1:]))
    wrong = net.population(first).threshold * m
    population = replace(unit.population(first), threshold=wrong, v_init=wrong / 2)
    inverted = replace(unit, populations=(population, *unit.populations[1:]))
    expected, found, off = (
        simulate_float(n, images(), double=True).counts[first] for n in (net, unit, inverted)
    )
    assert np.abs(found - expected).max() <= 1
    assert np.abs(off - expected).max() > 10


@pytest.mark.parametrize("per_channel", [False, True])
def test_b6_operands_of_a_sum_share_one_scale(per_channel):
    """T-B6: along two residual blocks, at the largest of all, so that identities weigh as much."""
    b = Builder(4)
    b.conv("conv0", 2, 4)
    skip = b.relu("relu0")
    for k in (1, 2):
        b.conv(f"conv{k}a", 4, 4, skip)
        b.relu(f"inner{k}")
        b.add(Add, f"sum{k}", b.conv(f"conv{k}b", 4, 4), skip)
        skip = b.relu(f"outer{k}")
    b.add(Flatten, "flat")
    b.linear("fc", 256, 5)
    net = convert(b.graph(), images(), method="ecc", counts=16, per_channel=per_channel)
    alone = convert(b.graph(), images(), calibration="max", counts=16, per_channel=per_channel)
    group = [net.population(name).threshold for name in ("relu0", "outer1", "outer2")]
    apart = [alone.population(name).threshold for name in ("relu0", "outer1", "outer2")]
    for theta in group:
        np.testing.assert_array_equal(theta, np.max(apart, axis=0))
    for name in ("inner1", "inner2"):
        own = alone.population(name).threshold
        np.testing.assert_array_equal(net.population(name).threshold, own)
    for p in net.projections:
        if p.kind == "identity":
            np.testing.assert_allclose(p.weight, np.broadcast_to(group[0], p.weight.shape))


def test_pooled_layers_have_their_own_scale():
    net = convert(GRAPHS["pool twice"](), images(), method="ecc", counts=16)
    prepared, absorbed = prepare(GRAPHS["pool twice"](), Preprocessing())
    _, kept = evaluate(prepared, absorbed.apply(images()), keep=["pool1"])
    np.testing.assert_allclose(net.population("pool1").threshold * 16, kept["pool1"].max())
    assert {layer.name for layer in lower(prepared).layers} >= {"pool1"}


@pytest.mark.parametrize("theta", [2, 10, 64])
@pytest.mark.parametrize("tau", [0, 0.5])
def test_b7_a_neuron_is_silent_up_to_the_threshold_less_its_start(theta, tau):
    """T-B7: one below makes no spike, the value itself does."""
    least = theta - int(tau * theta)
    x = np.array([least - 1, least]).reshape(-1, 1, 1, 1)
    scores = simulate(neuron(theta, int(tau * theta), 15), x).scores.ravel()
    np.testing.assert_array_equal(scores, [0, 1])


def test_b8_time_steps_differ_from_layers_mostly_by_one():
    """T-B8: the first layer not at all; later ones because currents come unevenly."""
    x = images(100)
    steps = quantize(convert(residual(), x, method="ecc", timesteps=16, levels=1), 8)
    layers = replace(steps, timesteps=1, populations=tuple(map(counting, steps.populations)))
    one = {
        name: s.sum(1, dtype=int) for name, s in simulate(steps, x, trace=True).trace.spikes.items()
    }
    # T steps of a constant current are T times the bias and the input; spikes are counted already.
    both = counts_of(times_bias(layers, 16), x)[0]
    np.testing.assert_array_equal(one["relu0"], both["relu0"])
    difference = np.concatenate([(one[n] - both[n]).ravel() for n in ("relu1", "relu2")])
    histogram = np.bincount(np.abs(difference).astype(int), minlength=3) / difference.size
    assert 0 < 1 - histogram[0] < 0.3
    assert histogram[1] > 0.8 * histogram[1:].sum()


def counting(population):
    return replace(population, spike_max=16) if population.kind == "fire" else population


def times_bias(net, steps):
    populations = tuple(replace(p, bias=p.bias * steps) for p in net.populations)
    projections = tuple(
        replace(p, weight=p.weight * steps) if p.source == INPUT else p for p in net.projections
    )
    return replace(net, populations=populations, projections=projections)


def test_the_default_calibration_is_the_maximum_per_layer():
    net = convert(plain(), images(), method="ecc", counts=10, bias_correction=False)
    assert net.provenance["calibration"] == "max"
    assert net.provenance["counts"] == 10
    assert "levels" not in net.provenance
    assert net.populations[0].threshold.shape == (1,)
    prepared, absorbed = prepare(plain(), Preprocessing())
    _, kept = evaluate(prepared, absorbed.apply(images()), keep=["relu1"])
    np.testing.assert_allclose(net.population("relu1").threshold * 10, kept["relu1"].max())
    robust = convert(plain(), images(), method="ecc", calibration="percentile", percentile=90)
    assert robust.population("relu1").threshold < kept["relu1"].max() / 15


def test_input_nodes_are_not_spikes_of_a_group():
    """A sum with the image itself: the input has no threshold to share."""
    nodes = Builder(5, (3, 8, 8))
    nodes.conv("conv", 3, 3)
    nodes.add(Add, "sum", "conv", "image")
    nodes.relu("relu")
    nodes.add(Flatten, "flat")
    nodes.linear("fc", 192, 4)
    assert isinstance(nodes.nodes[0], Input)
    x = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8), dtype=np.uint8)
    net = convert(nodes.graph(), x, method="ecc", counts=16)
    assert_equal_to_clip_floor(net, x)
