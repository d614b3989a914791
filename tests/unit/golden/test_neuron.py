# SPDX-License-Identifier: BSD-2-Clause
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.golden.kernels import fire as compiled_fire
from pysnn_hw.golden.neuron import fire, integrate_fire


@pytest.mark.parametrize(
    ("u", "theta", "spike_max", "spike", "rest"),
    [
        (9, 10, 1, 0, 9),
        (10, 10, 1, 1, 0),
        (11, 10, 1, 1, 1),
        (29, 10, 1, 1, 19),
        (29, 10, 3, 2, 9),
        (30, 10, 3, 3, 0),
        (47, 10, 3, 3, 17),
        (0, 10, 3, 0, 0),
        (-1, 10, 3, 0, -1),
        (-25, 10, 3, 0, -25),
        (5, 1, 255, 5, 0),
    ],
)
def test_fire_at_the_edges(u, theta, spike_max, spike, rest):
    spikes, membranes = fire(u, theta, spike_max)
    assert (int(spikes), int(membranes)) == (spike, rest)


def test_clamp_follows_the_reset():
    spikes, membranes = fire([95, -95, 12], 10, 3, v_min=-20, v_max=40)
    assert spikes.tolist() == [3, 0, 1]
    assert membranes.tolist() == [40, -20, 2]


@given(st.lists(st.integers(-500, 500), min_size=1, max_size=20), st.integers(1, 300))
@settings(deadline=None)
def test_conservation(currents, theta):
    """INV-1: what went in is what was emitted plus what the membrane gained."""
    spikes, membrane = integrate_fire(currents, threshold=theta, spike_max=3, v_init=theta // 2)
    assert theta * spikes.sum() == sum(currents) + theta // 2 - membrane


@given(st.integers(-50, 400), st.integers(1, 200), st.integers(1, 32), st.data())
@settings(deadline=None)
def test_constant_current(z, theta, steps, data):
    """INV-2: N(T) = clip(floor((T z + v(0)) / theta), 0, T)."""
    start = data.draw(st.integers(0, theta - 1))
    spikes, _ = integrate_fire([z] * steps, threshold=theta, spike_max=1, v_init=start)
    assert spikes.sum() == min(max((steps * z + start) // theta, 0), steps)


LIMIT = {np.float32: 1 << 24, np.int32: 1 << 31}


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("spike_max", [1, 3, 7, 200, 255])
def test_compiled_fire_divides_exactly(dtype, spike_max):
    """Steered at u = k * theta - 1, k * theta, k * theta + 1, where rounding would show."""
    rng = np.random.default_rng(spike_max)
    k = rng.integers(0, spike_max + 3, 40_000)
    theta = np.maximum(1, rng.integers(0, LIMIT[dtype] - 1, k.size) // np.maximum(k, 1))
    theta[::2] = np.maximum(1, theta[::2] >> rng.integers(0, 20, k.size // 2))
    u = np.clip(k * theta + rng.integers(-1, 2, k.size), 1 - LIMIT[dtype], LIMIT[dtype] - 1)
    clamp = (-(1 << 20), 1 << 20)
    spikes, rest = fire(u, theta, spike_max, *clamp)
    membrane, out = u.astype(dtype), np.zeros(u.size, np.uint8)
    limits = np.array([0, spike_max, *clamp], dtype)
    count = compiled_fire(membrane, np.zeros(u.size, dtype), theta.astype(dtype), limits, out)
    np.testing.assert_array_equal(out, spikes)
    np.testing.assert_array_equal(membrane.astype(np.int64), rest)
    assert count == np.count_nonzero(spikes)
