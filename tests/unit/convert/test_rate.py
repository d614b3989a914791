# SPDX-License-Identifier: BSD-2-Clause
"""T-A1 to T-A10 of the classic conversion.

T-A2 is in test_fold_batchnorm; T-A4 (INV-1) also in tests/property/test_invariants, and of random
networks; percentiles and dead layers are in test_calibrate.
"""

from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.convert import Preprocessing, convert, quantize
from pysnn_hw.convert.float_sim import simulate_float
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.data import load_dataset
from pysnn_hw.frontend import import_model
from pysnn_hw.golden import simulate
from pysnn_hw.ir.ann import evaluate
from pysnn_hw.ir.snn import (
    INPUT,
    FixedNetwork,
    Input,
    Pool,
    Population,
    Projection,
    Readout,
)
from pysnn_hw.resources import resource
from tests.unit.convert.ann_graphs import GRAPHS, images
from tests.unit.convert.test_ecc import layer

PREPROCESSING = Preprocessing(mean=(0.2, 0.4), std=(0.5, 0.7))


def unrounded(net, x):
    """Scores of ``net`` whose neurons send the rate itself: clipped, but not rounded."""
    zero = np.reshape(net.input.zero_point, (-1, 1, 1))
    sent = {INPUT: x - zero.astype(np.float64)}
    for p in net.populations:
        total = p.bias.reshape(-1, 1, 1) + sum(layer(q, sent[q.source]) for q in net.into(p.name))
        if p.kind == "readout":
            break
        sent[p.name] = np.clip(total / p.threshold.reshape(-1, 1, 1), 0, p.spike_max)
    return total.reshape(len(x), -1)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", GRAPHS)
def test_a1_normalised_network_is_the_original(name, per_channel):
    """T-A1: with every scale at its largest activation nothing clips, so rates are exact."""
    graph, x = GRAPHS[name](), images()
    net = convert(
        graph,
        x,
        calibration="max",
        per_channel=per_channel,
        preprocessing=Preprocessing(std=(0.5, 0.7)),
        bias_correction=False,
    )
    prepared, absorbed = prepare(graph, Preprocessing(std=(0.5, 0.7)))
    expected, _ = evaluate(prepared, absorbed.apply(x).astype(np.float64))
    found = unrounded(net, x)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    original, _ = evaluate(graph, Preprocessing(std=(0.5, 0.7)).apply(x))
    np.testing.assert_array_equal(found.argmax(1), original.argmax(1))


@pytest.mark.parametrize(("timesteps", "levels"), [(1, 4), (7, 1), (16, 2)])
@pytest.mark.parametrize("calibration", ["mse", "max"])
def test_a3_first_layer_counts_follow_the_closed_form(timesteps, levels, calibration):
    """T-A3: INV-2 for every neuron of the first layer, in integers."""
    x = images()
    options = {"timesteps": timesteps, "levels": levels, "calibration": calibration}
    fixed = quantize(convert(GRAPHS["residual"](), x, preprocessing=PREPROCESSING, **options))
    first = fixed.populations[0]
    zero = np.reshape(fixed.input.zero_point, (-1, 1, 1))
    (projection,) = fixed.into(first.name)
    current = layer(projection, x.astype(np.int64) - zero) + first.bias.reshape(-1, 1, 1)
    theta, start = (v.reshape(-1, 1, 1) for v in (first.threshold, first.v_init))
    expected = np.clip((timesteps * current + start) // theta, 0, timesteps * first.spike_max)
    trace = simulate(fixed, x, trace=True).trace
    np.testing.assert_array_equal(trace.spikes[first.name].sum(1, dtype=int), expected)


@pytest.mark.parametrize("name", ["max pool", "residual, pooled"])
def test_a4_charge_is_conserved_in_converted_networks(name):
    """T-A4: threshold times spikes plus what the membrane gained is the sum of all currents."""
    x, steps = images(), 9
    fixed = quantize(convert(GRAPHS[name](), x, timesteps=steps, levels=1))
    trace = simulate(fixed, x, trace=True).trace
    zero = np.reshape(fixed.input.zero_point, (-1, 1, 1))
    total = {name: s.sum(1, dtype=np.int64) for name, s in trace.spikes.items()}
    for p in fixed.populations[:-1]:
        charge = steps * p.bias.reshape(-1, 1, 1)
        for q in fixed.into(p.name):
            # A running maximum sends, all in all, the largest of the totals.
            source = (x - zero) * steps if q.source == INPUT else total[q.source]
            charge = charge + layer(q, source)
        theta, start = (v.reshape(-1, 1, 1) for v in (p.threshold, p.v_init))
        np.testing.assert_array_equal(
            theta * total[p.name] + trace.membranes[p.name] - start, charge
        )


def test_a5_nothing_saturates_at_the_largest_activation():
    """T-A5: at p = 100 only the largest activation itself asks for a spike in every step."""
    x, steps = images(), 20
    ratios = {}
    for calibration in ("max", "percentile"):
        net = convert(
            GRAPHS["average pool"](),
            x,
            timesteps=steps,
            levels=1,
            calibration=calibration,
            percentile=90,
            bias_correction=False,
        )
        first = net.populations[0]
        (projection,) = net.into(first.name)
        zero = np.reshape(net.input.zero_point, (-1, 1, 1))
        current = layer(projection, x.astype(np.int64) - zero) + first.bias.reshape(-1, 1, 1)
        ratios[calibration] = current / first.threshold.reshape(-1, 1, 1)
        full = simulate_float(net, x).counts[first.name] == steps
        assert full.any()
        assert (ratios[calibration][full] > 1 - 0.51 / steps).all()
    np.testing.assert_allclose(ratios["max"].max((0, 2, 3)), 1, rtol=1e-5)
    assert ratios["percentile"].max() > 1.1


def test_a6_errors_fall_like_one_over_the_steps():
    """T-A6: per layer, from T = 32 to 256, by about the same factor."""
    x, graph = images(), GRAPHS["relu after pool"]()
    prepared, absorbed = prepare(graph, Preprocessing())
    names = ["relu1", "relu2"]
    _, kept = evaluate(prepared, absorbed.apply(x), keep=names)
    errors = []
    for steps in (32, 64, 128, 256):
        net = convert(graph, x, timesteps=steps, levels=1, calibration="max", bias_correction=False)
        counts = simulate_float(net, x).counts
        scaled = {n: kept[n] / net.population(n).threshold.reshape(-1, 1, 1) for n in names}
        errors.append([np.abs(counts[n] / steps - scaled[n]).mean() for n in names])
    errors = np.array(errors)
    ratios = errors[0] / errors[-1]
    assert ((ratios > 4) & (ratios < 14)).all()
    assert (errors[:, 1] < 4 * errors[:, 0]).all()


def trains(mode, spikes):
    """Network of neurons that repeat random input events, pooled (2, 2) by ``mode``."""
    one, zero = np.ones(1, np.int64), np.zeros(1, np.int64)
    steps, _, height, width = spikes.shape[1:]
    out = (1, height // 2, width // 2)
    size, pool = out[1] * out[2], Pool(mode, (2, 2), (2, 2))
    return FixedNetwork(
        steps,
        Input((1, height, width), (0,), 0, 1, "events"),
        (
            Population("n", "fire", (1, height, width), zero, one, zero, 1, 0, 1),
            Population("out", "readout", (size, 1, 1), zero, np.empty(0, np.int64), zero, 0),
        ),
        (
            Projection("in", INPUT, "n", "identity", one),
            Projection(
                "to",
                "n",
                "out",
                "linear",
                np.eye(size, dtype=np.int64),
                pool=pool,
            ),
        ),
        Readout(),
    )


def windows(spikes):
    """(N, T, windows, 4) members in row-major order."""
    n, steps, _, height, width = spikes.shape
    cut = spikes.reshape(n, steps, height // 2, 2, width // 2, 2).transpose(0, 1, 2, 4, 3, 5)
    return cut.reshape(n, steps, -1, 4)


def test_a7_the_running_maximum_is_exact():
    """T-A7: all that it sends is the largest count of the window."""
    spikes = (np.random.default_rng(0).random((20, 32, 1, 6, 8)) < 0.4).astype(np.int64)
    scores = simulate(trains("max", spikes), spikes).scores
    np.testing.assert_array_equal(scores, windows(spikes).sum(1).max(-1))


def test_a8_the_gate_follows_the_first_of_the_busiest():
    """T-A8: the toolbox's rule, counts up to and with this step, ties to the first index."""
    spikes = (np.random.default_rng(1).random((20, 32, 1, 6, 8)) < 0.4).astype(np.int64)
    members = windows(spikes)
    passed = np.zeros((20, 12), np.int64)
    for n, w in np.ndindex(20, 12):
        counts = [0] * 4
        for t in range(32):
            counts = [c + s for c, s in zip(counts, members[n, t, w], strict=True)]
            passed[n, w] += members[n, t, w, counts.index(max(counts))]
    found = simulate(trains("gate", spikes), spikes).scores
    np.testing.assert_array_equal(found, passed)
    np.testing.assert_array_equal(simulate_float(trains("gate", spikes), spikes).scores, passed)
    assert (found > members.sum(1).max(-1)).any()


@pytest.mark.parametrize("levels", [(0, 255), (-128, 127), (0, 15)])
def test_a9_random_events_have_the_mean_of_the_pixel(levels):
    """T-A9: within four deviations, and the same bits every time."""
    low, high = levels
    steps, zero = 2000, np.zeros(1, np.int64)
    entry = Input((1, 4, 4), (0,), low, high, "bernoulli", 1234567)
    net = FixedNetwork(
        steps,
        entry,
        (Population("out", "readout", (16, 1, 1), zero, np.empty(0, np.int64), zero, 0),),
        (Projection("in", INPUT, "out", "linear", np.eye(16, dtype=np.int64)),),
    )
    x = np.linspace(low, high, 16).astype(np.int64).reshape(1, 1, 4, 4)
    scores = simulate(net, x).scores
    np.testing.assert_array_equal(simulate(net, x).scores, scores)
    rate = x.ravel() / entry.peak
    deviation = np.sqrt(np.maximum(np.abs(rate) * (1 - np.abs(rate)), 1e-9) / steps)
    # The comparison with random bits rounds a rate by less than one part of the peak.
    limit = 4 * deviation + 1 / entry.peak
    assert (np.abs(scores[0] / steps - rate) < limit).all()
    other = replace(net, input=replace(entry, seed=7654321))
    assert (simulate(other, x).scores != scores).any()


def test_a10_rates_correlate_with_activations():
    """T-A10: the toolbox's own thresholds, on MNIST at T = 100 with binary spikes."""
    data = load_dataset("mnist")
    graph = import_model(resource("bundled", "mnist_cnn.onnx")).graph
    net = convert(
        graph,
        data.x_train[:200],
        timesteps=100,
        levels=1,
        calibration="percentile",
        readout="count",
    )
    x = data.x_test[:50]
    prepared, absorbed = prepare(graph, Preprocessing())
    hidden = [p.name for p in net.populations[:-2]]
    logits, kept = evaluate(prepared, absorbed.apply(x), keep=hidden)
    found = simulate_float(net, x)
    for name in hidden:
        theta = net.population(name).per_channel("threshold")[:, None, None]
        rates = found.counts[name] * theta
        assert np.corrcoef(rates.ravel(), kept[name].ravel())[0, 1] > 0.99
    assert np.corrcoef(found.scores.ravel(), np.maximum(logits, 0).ravel())[0, 1] > 0.9
