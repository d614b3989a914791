# SPDX-License-Identifier: BSD-2-Clause
"""The compiled simulator against the plain one, on random networks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.golden import simulate
from pysnn_hw.golden.network import run_program
from pysnn_hw.golden.program import compile_program
from pysnn_hw.golden.reference import simulate_reference
from pysnn_hw.ir.snn import PLAIN, Neuron
from tests.networks import EXTRAS, random_images, random_network

WITHOUT_LEAK = [
    PLAIN,
    Neuron(strict=True),
    Neuron(reset="hard"),
    Neuron("signed"),
    Neuron("memory"),
    Neuron("memory", reset="hard"),
]
SEEDS = st.integers(0, 2**32 - 1)
capped = settings(deadline=None, max_examples=60)


def assert_equal_results(have, want):
    np.testing.assert_array_equal(have.scores, want.scores, strict=True)
    np.testing.assert_array_equal(have.classes, want.classes, strict=True)
    np.testing.assert_array_equal(have.steps, want.steps, strict=True)
    pairs = [(have.spikes, want.spikes), (have.sops, want.sops)]
    if have.trace is not None:
        pairs += [(have.trace.spikes, want.trace.spikes)]
        pairs += [(have.trace.membranes, want.trace.membranes)]
    for a, b in pairs:
        assert list(a) == list(b)
        for name in b:
            np.testing.assert_array_equal(a[name], b[name], strict=True, err_msg=name)


def draw(seed, **options):
    rng = np.random.default_rng(seed)
    net = random_network(rng, **options)
    return net, random_images(rng, net, 5)


@given(SEEDS)
@capped
def test_equals_the_reference(seed):
    net, images = draw(seed)
    assert_equal_results(simulate(net, images, trace=True), simulate_reference(net, images))


@given(SEEDS)
@settings(deadline=None, max_examples=120)
def test_equals_the_reference_with_all_extras(seed):
    net, images = draw(seed, extras=EXTRAS)
    assert_equal_results(simulate(net, images, trace=True), simulate_reference(net, images))


@given(SEEDS)
@capped
def test_both_working_types_are_exact(seed):
    net, images = draw(seed)
    want = simulate_reference(net, images)
    for dtype in (np.int32, None):
        program = compile_program(net, dtype)
        assert_equal_results(run_program(net, program, images, trace=True), want)


@pytest.mark.parametrize("options", [
    {"pools": ("max",), "timesteps": 6, "depth": 3},
    {"pools": ("sum",), "timesteps": 1, "spike_max": 15},
    {"residual": True, "depth": 3},
    {"timesteps": 40, "spike_max": 1},
    {"spike_max": 255, "timesteps": 2, "neurons": [PLAIN, Neuron(strict=True)]},
    {"spike_max": 127, "neurons": [Neuron("signed"), Neuron("memory")]},
])  # fmt: skip
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_reference_at_the_corners(seed, options):
    net, images = draw(seed, **options)
    assert_equal_results(simulate(net, images, trace=True), simulate_reference(net, images))


@given(SEEDS, st.integers(1, 7), st.integers(1, 7), st.integers(1, 3))
@capped
def test_blocks_batches_and_threads_leave_no_trace(seed, block, batch, threads):
    """INV-11: an image's result depends on that image alone, however the work is cut."""
    net, images = draw(seed)
    want = simulate(net, images, trace=True, threads=1)
    assert_equal_results(simulate(net, images, trace=True, batch=batch, threads=threads), want)
    program = compile_program(net)
    assert_equal_results(run_program(net, program, images, trace=True, block=block), want)
    backwards = simulate(net, images[::-1], threads=1)
    np.testing.assert_array_equal(backwards.scores[::-1], want.scores)


@given(SEEDS, st.integers(2, 5))
@capped
def test_a_common_factor_changes_nothing(seed, factor):
    """INV-8: weights, biases, thresholds, clamps and starts times a factor: the same spikes."""
    # Leaking rounds, so it does not scale.
    net, images = draw(seed, neurons=WITHOUT_LEAK)
    weights = max(int(np.abs(p.weight).max()) for p in net.projections)
    if weights * factor > 127:
        shrunk = [replace(p, weight=np.fix(p.weight / factor).astype(int)) for p in net.projections]
        net = replace(net, projections=tuple(shrunk))
    scaled = replace(
        net,
        projections=tuple(replace(p, weight=p.weight * factor) for p in net.projections),
        populations=tuple(
            replace(
                p,
                bias=p.bias * factor,
                threshold=p.threshold * factor,
                v_init=p.v_init * factor,
                v_min=None if p.v_min is None else p.v_min * factor,
                v_max=None if p.v_max is None else p.v_max * factor,
            )
            for p in net.populations
        ),
    )
    one, many = simulate(net, images, trace=True), simulate(scaled, images, trace=True)
    for name, spikes in one.trace.spikes.items():
        np.testing.assert_array_equal(many.trace.spikes[name], spikes)
    np.testing.assert_array_equal(many.scores, one.scores * factor)


@given(SEEDS)
@capped
def test_input_channels_may_be_permuted(seed):
    """INV-9: with the weights of the first layers permuted alike, nothing else changes."""
    net, images = draw(seed)
    first = [p for p in net.projections if p.source == "input" and p.kind == "conv2d"]
    if len(first) != 1 or first[0].groups > 1:
        return
    order = np.random.default_rng(seed).permutation(net.input.shape[0])
    permuted = replace(
        net,
        input=replace(net.input, zero_point=tuple(net.input.zero_point[c] for c in order)),
        projections=tuple(
            replace(p, weight=p.weight[:, order]) if p is first[0] else p for p in net.projections
        ),
    )
    have = simulate(permuted, np.ascontiguousarray(images[:, order]), trace=True)
    assert_equal_results(have, simulate(net, images, trace=True))
