# SPDX-License-Identifier: BSD-2-Clause
"""Networks that become integers without rounding."""

from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.convert.integers import as_integers
from pysnn_hw.golden import simulate
from pysnn_hw.ir.snn import Input, Neuron, Population, Projection, Readout, SnnNetwork

NONE, ZERO = np.zeros(0), np.zeros(1)


def network(weight, *, threshold=(1.0,), bias=(0.0,), start=0.0, neuron=None, readout=None):
    """Two inputs, two neurons, and a readout of two classes."""
    neuron = neuron or Neuron()
    start = np.asarray(start, np.float64).reshape((1,) if np.ndim(start) == 0 else (2, 1, 1))
    out = np.eye(2) if readout is None else readout
    return SnnNetwork(
        8,
        Input((2, 1, 1), (0, 0), 0, 3),
        (
            Population(
                "n", "fire", (2, 1, 1), np.array(bias), np.array(threshold), start, 3, neuron=neuron
            ),
            Population("r", "readout", (2, 1, 1), ZERO, NONE, ZERO, 0),
        ),
        (
            Projection("a", "input", "n", "linear", np.array(weight)),
            Projection("b", "n", "r", "linear", out),
        ),
    )


def test_each_channel_takes_the_smallest_unit_that_is_whole():
    fixed = as_integers(network([[0.5, -0.25], [1.0, 3.0]], bias=[0.125, 1.0], start=[0.5, 2.0]))
    np.testing.assert_array_equal(fixed.projections[0].weight, [[4, -2], [1, 3]])
    np.testing.assert_array_equal(fixed.populations[0].bias, [1, 1])
    np.testing.assert_array_equal(fixed.populations[0].threshold, [8, 1])
    np.testing.assert_array_equal(fixed.populations[0].v_init.ravel(), [4, 2])
    assert fixed.projections[0].weight.dtype == np.int64


def test_large_numbers_become_small():
    fixed = as_integers(network([[512.0, -1024.0], [256.0, 0.0]], threshold=[2048.0]))
    np.testing.assert_array_equal(fixed.projections[0].weight, [[2, -4], [1, 0]])
    np.testing.assert_array_equal(fixed.populations[0].threshold, [8, 8])


def test_classes_share_a_unit_because_they_are_compared():
    fixed = as_integers(network(np.eye(2), readout=np.array([[0.5, 1.0], [3.0, 0.0]])))
    np.testing.assert_array_equal(fixed.projections[1].weight, [[1, 2], [6, 0]])


def test_counting_stays_counting():
    net = network(np.eye(2))
    last = Projection("b", "n", "r", "identity", np.ones(2))
    net = replace(net, projections=(net.projections[0], last), readout=Readout("count"))
    np.testing.assert_array_equal(as_integers(net).projections[1].weight, [1, 1])


@pytest.mark.parametrize(
    ("net", "bits"),
    [
        (network([[0.1, 0.5], [1.0, 1.0]]), 8),
        (network(np.eye(2), threshold=[1 / 3]), 8),
        (network(np.eye(2), bias=[0.0, 0.3]), 8),
        (network(np.eye(2), start=[0.3, 0.0]), 8),
        (network([[1.0, 128.0], [1.0, 1.0]]), 8),
        (network([[1.0, 8.0], [1.0, 1.0]]), 4),
        (network([[1.0, 2.0**-21], [1.0, 1.0]]), 8),
        (network(np.eye(2), neuron=Neuron(leak=3)), 8),
    ],
)
def test_what_needs_rounding(net, bits):
    assert as_integers(net, bits) is None


def test_the_largest_weight_is_that_of_the_bits():
    assert as_integers(network([[1.0, 127.0], [1.0, 1.0]])) is not None
    assert as_integers(network([[1.0, 7.0], [1.0, 1.0]]), 4) is not None


def test_scores_are_those_of_real_numbers():
    rng = np.random.default_rng(0)
    weight, readout = rng.integers(-8, 9, (2, 2)) / 8, np.array([[0.25, -1.0], [0.75, 0.5]])
    net = network(weight, bias=[0.25, -0.5], readout=readout)
    images = rng.integers(0, 4, (20, 2, 1, 1))
    found = simulate(as_integers(net), images).scores
    v, total = np.zeros((20, 2)), np.zeros((20, 2))
    for _ in range(net.timesteps):
        v += images[:, :, 0, 0] @ net.projections[0].weight.T + net.populations[0].bias
        spikes = np.clip(np.floor(v), 0, 3)
        v -= spikes
        total += spikes @ net.projections[1].weight.T
    assert total.any()
    np.testing.assert_array_equal(found, total * 4)
