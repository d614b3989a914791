# SPDX-License-Identifier: BSD-2-Clause
"""INV-1 to INV-11 of the canonical neuron (integrate, then fire, soft reset), exact in integers.

Each is checked against a closed form, on the golden simulator: either on a single neuron whose
current over time is drawn freely, or on whole random networks.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pysnn_hw.golden import simulate
from pysnn_hw.golden.neuron import integrate_fire
from pysnn_hw.ir.snn import INPUT, PLAIN, FixedNetwork, Input, Neuron, Population, Projection
from tests.networks import random_images, random_network, unclamped

TRIALS = settings(deadline=None, max_examples=60)
FEW_TRIALS = settings(deadline=None, max_examples=25)
seeds = st.integers(0, 2**32 - 1)
ints = partial(np.array, dtype=np.int64)
CONSERVING = [PLAIN, Neuron(strict=True), Neuron("memory"), Neuron("signed")]
"""Neurons that lose nothing: neither by a leak nor by a hard reset."""


def fire(name, bias, threshold, v_init, spike_max=1, low=-(2**31), high=2**31 - 1):
    channels = len(bias)
    arrays = (ints(bias), ints(threshold), ints(v_init))
    return Population(name, "fire", (channels, 1, 1), *arrays, spike_max, low, high)


def readout(channels):
    empty = ints([])
    return Population("out", "readout", (channels, 1, 1), ints([0]), empty, ints([0]), 0)


def linear(source, target, weight):
    return Projection(f"{source}_{target}", source, target, "linear", ints(weight))


def neuron(bias, threshold, v_init, timesteps, spike_max=1):
    """One neuron per entry of ``bias``, which is its whole current, the same in every step."""
    count = len(bias)
    zero = np.zeros((count, 1))
    return FixedNetwork(
        timesteps,
        Input((1, 1, 1), (0,), 0, 1),
        (fire("n", bias, threshold, v_init, spike_max), readout(count)),
        (linear(INPUT, "n", zero), linear("n", "out", np.eye(count))),
    )


def constant_counts(z, threshold, v_init, timesteps, spike_max=1):
    """Spike counts of neurons with the constant currents ``z``, int64 (len(z),)."""
    net = neuron(z, np.broadcast_to(threshold, np.shape(z)), [v_init], timesteps, spike_max)
    return simulate(net, np.zeros((1, 1, 1, 1), np.int64)).scores[0]


def driven(currents, threshold, v_init):
    """Spikes (T,) and the final membrane of one binary neuron with a freely chosen current.

    The current of step t is made by sources that fire from their own step on, one each: their
    weights are the differences between steps.
    """
    steps = len(currents)
    clock = Population(
        "clock",
        "fire",
        (steps, 1, 1),
        ints([1]),
        ints([1] * steps),
        ints([-t for t in range(steps)]),
        1,
        -(2**20),
        2**20,
    )
    weight = ints(np.diff(currents, prepend=0)).reshape(1, steps)
    net = FixedNetwork(
        steps,
        Input((1, 1, 1), (0,), 0, 1),
        (clock, fire("n", [0], [threshold], [v_init]), readout(1)),
        (
            linear(INPUT, "clock", np.zeros((steps, 1))),
            Projection("clock_n", "clock", "n", "linear", weight),
            linear("n", "out", [[1]]),
        ),
    )
    trace = simulate(net, np.zeros((1, 1, 1, 1), np.int64), trace=True).trace
    return trace.spikes["n"][0, :, 0, 0, 0].astype(np.int64), int(trace.membranes["n"][0, 0, 0, 0])


@st.composite
def varying(draw, low, high):
    """Threshold and the currents of up to 10 steps, within low..high times the threshold."""
    threshold = draw(st.integers(1, 40))
    limits = int(np.ceil(low * threshold)), int(np.floor(high * threshold))
    currents = draw(st.lists(st.integers(*limits), min_size=1, max_size=10))
    return threshold, currents


@TRIALS
@given(varying(-1.5, 1.5), st.integers(-50, 50))
def test_inv_1_conservation(case, v_init):
    threshold, currents = case
    spikes, membrane = driven(currents, threshold, v_init)
    assert threshold * spikes.sum() == sum(currents) + v_init - membrane


@FEW_TRIALS
@given(seeds)
def test_inv_1_conservation_in_networks(seed):
    rng = np.random.default_rng(seed)
    net = unclamped(random_network(rng, pools=("sum",), neurons=CONSERVING))
    images = random_images(rng, net, 3)
    trace = simulate(net, images, trace=True).trace
    for population in net.populations[:-1]:
        charge = total_current(net, population.name, images, trace.spikes)
        column = [population.per_channel(k)[:, None, None] for k in ("threshold", "v_init")]
        counts = trace.spikes[population.name].sum(1, dtype=np.int64)
        left = charge + column[1] - trace.membranes[population.name]
        np.testing.assert_array_equal(column[0] * counts, left)


def total_current(net, name, images, spikes):
    """Weighted spikes and biases of all steps, int64 (N, C, H, W), by a plain sum over taps."""
    bias = net.population(name).per_channel("bias")[:, None, None]
    total = net.timesteps * bias
    for p in net.into(name):
        view = p.as_conv(net.shape_of(p.source))
        if p.source == INPUT:
            zero = np.reshape(net.input.zero_point, (-1, 1, 1))
            x = net.timesteps * (images - zero)
        else:
            x = spikes[p.source].sum(1, dtype=np.int64)
        if p.pool is not None:
            windows = np.lib.stride_tricks.sliding_window_view(x, p.pool.kernel, (2, 3))
            x = windows[:, :, :: p.pool.stride[0], :: p.pool.stride[1]].sum((4, 5))
        top, left, bottom, right = view.padding
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        taps = np.lib.stride_tricks.sliding_window_view(x, view.weight.shape[2:], (2, 3))
        taps = taps[:, :, :: view.stride[0], :: view.stride[1]]
        taps = taps.reshape(len(x), view.groups, -1, *taps.shape[2:])
        weight = view.weight.reshape(view.groups, -1, *view.weight.shape[1:])
        current = np.einsum("ngcyxij,gocij->ngoyx", taps, weight)
        total = total + current.reshape(len(x), -1, *current.shape[3:])
    return total


@TRIALS
@given(
    st.lists(st.integers(-60, 60), min_size=1, max_size=8),
    st.integers(1, 40),
    st.integers(1, 12),
    st.sampled_from([1, 3, 15]),
    st.data(),
)
def test_inv_2_constant_input(z, threshold, timesteps, spike_max, data):
    v_init = data.draw(st.integers(0, threshold - 1))
    counts = constant_counts(z, threshold, v_init, timesteps, spike_max)
    closed = (timesteps * ints(z) + v_init) // threshold
    np.testing.assert_array_equal(counts, np.clip(closed, 0, spike_max * timesteps))


@TRIALS
@given(varying(0, 1), st.data())
def test_inv_3_order_does_not_matter_within_the_threshold(case, data):
    threshold, currents = case
    v_init = data.draw(st.integers(0, threshold - 1))
    expected = (sum(currents) + v_init) // threshold
    shuffled = data.draw(st.permutations(currents))
    assert driven(currents, threshold, v_init)[0].sum() == expected
    assert driven(shuffled, threshold, v_init)[0].sum() == expected


def test_inv_4_uneven_currents_give_extra_spikes():
    currents = [15, -15, 15, -15]
    spikes, membrane = driven(currents, threshold=10, v_init=5)
    assert sum(currents) == 0
    assert spikes.tolist() == [1, 0, 1, 0]
    assert membrane == -15


@TRIALS
@given(st.integers(1, 200), st.integers(1, 64), st.data())
def test_inv_5_half_a_threshold_halves_the_error(threshold, timesteps, data):
    z = np.arange(threshold + 1)
    floor = constant_counts(z, threshold, 0, timesteps)
    half = constant_counts(z, threshold, threshold // 2, timesteps)
    for k in data.draw(st.lists(st.integers(0, threshold), max_size=5)):
        exact = Fraction(k, threshold)
        assert abs(Fraction(int(floor[k]), timesteps) - exact) <= Fraction(1, timesteps)
        # An odd threshold's half is rounded down: at most half a unit more.
        slack = Fraction(threshold % 2, 2 * threshold * timesteps)
        assert abs(Fraction(int(half[k]), timesteps) - exact) <= Fraction(1, 2 * timesteps) + slack
    assert (floor * threshold <= timesteps * z).all()


def test_inv_5_root_mean_square_is_halved():
    z, threshold, timesteps = np.arange(1000), 1000, 4
    rms = [
        np.sqrt(((constant_counts(z, threshold, v, timesteps) / 4 - z / 1000) ** 2).mean())
        for v in (0, 500)
    ]
    np.testing.assert_allclose(rms, [0.1444, 0.0722], atol=6e-4)


def hard_reset(z, threshold, timesteps):
    """Spikes of a neuron that forgets what exceeds the threshold."""
    v = count = 0
    for _ in range(timesteps):
        v += z
        if v >= threshold:
            v, count = 0, count + 1
    return count


def fire_then_integrate(z, threshold, timesteps):
    """Spikes of a neuron that fires strictly above the threshold, before it integrates."""
    v = count = 0
    for _ in range(timesteps):
        spike = v > threshold
        v, count = v + z - threshold * spike, count + spike
    return count


constant_below_threshold = st.integers(1, 60).flatmap(
    lambda threshold: st.tuples(st.integers(1, threshold), st.just(threshold), st.integers(1, 40))
)


@TRIALS
@given(constant_below_threshold)
def test_inv_6_reset_to_zero_loses_charge(case):
    z, threshold, timesteps = case
    assert hard_reset(*case) == timesteps // -(-threshold // z)
    assert hard_reset(*case) <= constant_counts([z], threshold, 0, timesteps)[0]


def test_inv_6_ours_is_not_reset_to_zero():
    assert hard_reset(99, 100, 100) == 50
    assert constant_counts([99], 100, 0, 100)[0] == 99


@TRIALS
@given(constant_below_threshold)
def test_inv_7_firing_before_integrating_lags(case):
    z, threshold, timesteps = case
    closed = -(-(timesteps - 1) * z // threshold) - 1
    assert fire_then_integrate(*case) == np.clip(closed, 0, timesteps - 1)
    assert fire_then_integrate(*case) <= constant_counts([z], threshold, 0, timesteps)[0]


def test_inv_7_ours_integrates_first_and_fires_at_the_threshold():
    assert fire_then_integrate(10, 10, 8) == 6
    assert constant_counts([10], 10, 0, 8)[0] == 8


@FEW_TRIALS
@given(seeds, st.sampled_from([2, 4, 8]))
def test_inv_8_scaling_everything_changes_no_spike(seed, factor):
    rng = np.random.default_rng(seed)
    net = unclamped(random_network(rng, neurons=CONSERVING))
    small = replace(
        net,
        projections=tuple(replace(p, weight=p.weight // 8) for p in net.projections),
    )
    scaled = replace(
        small,
        populations=tuple(
            replace(
                p,
                bias=p.bias * factor,
                threshold=p.threshold * factor,
                v_init=p.v_init * factor,
            )
            for p in small.populations
        ),
        projections=tuple(replace(p, weight=p.weight * factor) for p in small.projections),
    )
    images = random_images(rng, net, 3)
    ours, theirs = (simulate(n, images, trace=True) for n in (small, scaled))
    for name, spikes in ours.trace.spikes.items():
        np.testing.assert_array_equal(theirs.trace.spikes[name], spikes)
    np.testing.assert_array_equal(theirs.scores, factor * ours.scores)


@FEW_TRIALS
@given(seeds)
def test_inv_9_permuting_channels(seed):
    rng = np.random.default_rng(seed)
    net = random_network(rng, depth=2, residual=False)
    first, second = net.populations[:2]
    assume(all(p.groups == 1 for p in net.projections))
    order = rng.permutation(first.channels)
    permuted = replace(
        net,
        populations=(
            replace(first, **{k: first.per_channel(k)[order] for k in PARAMETERS}),
            *net.populations[1:],
        ),
        projections=tuple(permute(net, p, first.name, order) for p in net.projections),
    )
    images = random_images(rng, net, 3)
    ours, theirs = (simulate(n, images, trace=True) for n in (net, permuted))
    np.testing.assert_array_equal(
        theirs.trace.spikes[first.name], ours.trace.spikes[first.name][:, :, order]
    )
    np.testing.assert_array_equal(theirs.trace.spikes[second.name], ours.trace.spikes[second.name])
    np.testing.assert_array_equal(theirs.scores, ours.scores)


PARAMETERS = ("bias", "threshold", "v_init")


def permute(net, projection, name, order):
    """``projection`` with the channels of population ``name`` in another order."""
    weight = projection.weight
    if projection.target == name:
        weight = weight[order]
    if projection.source == name and projection.kind == "linear":
        shape = projection.in_shape(net.shape_of(name))
        weight = weight.reshape(len(weight), *shape)[:, order].reshape(weight.shape)
    elif projection.source == name:
        weight = weight[:, order]
    return replace(projection, weight=weight)


@FEW_TRIALS
@given(seeds, st.integers(2, 4))
def test_inv_10_splitting_the_fan_in(seed, parts):
    """Projections split into several, in any order, leave every spike and membrane as it was."""
    rng = np.random.default_rng(seed)
    net = random_network(rng)
    pieces = []
    for p in net.projections:
        owner = rng.integers(0, parts, p.weight.shape)
        pieces += [
            replace(p, name=f"{p.name}.{k}", weight=np.where(owner == k, p.weight, 0))
            for k in rng.permutation(parts)
        ]
    images = random_images(rng, net, 3)
    ours, theirs = (
        simulate(n, images, trace=True) for n in (net, replace(net, projections=tuple(pieces)))
    )
    np.testing.assert_array_equal(theirs.scores, ours.scores)
    for name in ours.trace.membranes:
        np.testing.assert_array_equal(theirs.trace.membranes[name], ours.trace.membranes[name])
    for name, spikes in ours.trace.spikes.items():
        np.testing.assert_array_equal(theirs.trace.spikes[name], spikes)


@FEW_TRIALS
@given(seeds, st.integers(1, 3))
def test_inv_11_images_do_not_disturb_each_other(seed, batch):
    rng = np.random.default_rng(seed)
    net = random_network(rng)
    images = random_images(rng, net, 4)
    together = simulate(net, images, trace=True, batch=batch)
    for i in range(len(images)):
        alone = simulate(net, images[i : i + 1], trace=True)
        np.testing.assert_array_equal(alone.scores[0], together.scores[i])
        for name, membranes in alone.trace.membranes.items():
            np.testing.assert_array_equal(membranes[0], together.trace.membranes[name][i])
        for name, spikes in alone.trace.spikes.items():
            np.testing.assert_array_equal(spikes[0], together.trace.spikes[name][i])


@TRIALS
@given(
    st.lists(st.integers(-150, 150), min_size=1, max_size=8),
    st.integers(1, 100),
    st.integers(1, 3),
)
def test_signed_neurons_with_memory_end_at_the_closed_form(currents, threshold, spike_max):
    """Once drained, the count is that of the sum of all currents, whatever their order."""
    start = threshold // 2
    drain = [0] * (sum(map(abs, currents)) // threshold + 2)
    spikes, _ = integrate_fire(
        ints(currents + drain),
        threshold=threshold,
        spike_max=spike_max,
        v_init=start,
        neuron=Neuron("memory"),
    )
    assert (np.cumsum(spikes) >= 0).all()
    assert spikes.sum() == max(0, (sum(currents) + start) // threshold)


@TRIALS
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 12))
def test_inv_6_hard_reset_with_constant_current(current, threshold, steps):
    """A spike every ``ceil(threshold / current)`` steps."""
    spikes, _ = integrate_fire(
        ints([current] * steps), threshold=threshold, spike_max=1, neuron=Neuron(reset="hard")
    )
    assert spikes.sum() == steps // -(-threshold // current)


@TRIALS
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 12))
def test_strict_neurons_fire_like_inv_7(current, extra, steps):
    """Constant current z <= theta, v(0) = 0, u > theta: ceil(steps * z / theta) - 1 spikes."""
    threshold = current + extra - 1
    spikes, _ = integrate_fire(
        ints([current] * steps), threshold=threshold, spike_max=1, neuron=Neuron(strict=True)
    )
    assert spikes.sum() == max(0, -(-steps * current // threshold) - 1)
