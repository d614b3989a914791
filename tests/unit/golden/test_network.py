# SPDX-License-Identifier: BSD-2-Clause
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.errors import DataError, NetworkError
from pysnn_hw.golden import simulate, simulate_batches
from pysnn_hw.golden.network import run_program
from pysnn_hw.golden.program import compile_program, exact_in_float32
from pysnn_hw.golden.reference import simulate_reference
from pysnn_hw.ir.snn import FixedNetwork, Input, Pool, Population, Projection
from tests.networks import random_images, random_network


def ints(*values):
    return np.array(values, np.int64)


def by_hand():
    """Two inputs, two neurons of threshold 10, two classes; everything can be followed on paper."""
    return FixedNetwork(
        2,
        Input((1, 1, 2), (3,), 0, 9),
        (
            Population("hidden", "fire", (2, 1, 1), ints(1, -1), ints(10), ints(5), 3, -8, 40),
            Population("out", "readout", (2, 1, 1), ints(2, 0), ints(), ints(7, 7), 0),
        ),
        (
            Projection("a", "input", "hidden", "linear", np.array([[2, 1], [-1, -3]])),
            Projection("b", "hidden", "out", "linear", np.array([[1, 5], [-2, 0]])),
        ),
    )


def test_by_hand():
    # x - 3 = (5, 6): currents 16 and -23, with biases 17 and -24.
    # hidden 0: u = 5 + 17 = 22 -> 2, rest 2; u = 19 -> 1, rest 9.
    # hidden 1: u = 5 - 24 = -19 -> 0, clamped to -8; u = -32 -> 0, clamped to -8.
    # out: 7 + (2 + 2) + (2 + 1) = 14; 7 - 4 - 2 = 1.
    result = simulate(by_hand(), ints(8, 9).reshape(1, 1, 1, 2), trace=True)
    assert result.trace.spikes["hidden"].reshape(2, 2).tolist() == [[2, 0], [1, 0]]
    assert result.trace.membranes["hidden"].ravel().tolist() == [9, -8]
    assert result.scores.tolist() == [[14, 1]]
    assert result.trace.membranes["out"].ravel().tolist() == [14, 1]
    assert result.classes.tolist() == [0]
    assert result.spikes["hidden"].tolist() == [2]
    assert result.sops["a"].tolist() == [4]  # two events, two targets, once per image
    assert result.sops["b"].tolist() == [4]  # two events, two targets


def test_ties_go_to_the_lowest_class():
    net = by_hand()
    silent = replace(net.projections[1], weight=np.zeros((2, 2), np.int64))
    readout = replace(net.populations[1], bias=ints(4), v_init=ints(0))
    net = replace(
        net,
        projections=(net.projections[0], silent),
        populations=(net.populations[0], readout),
    )
    result = simulate(net, np.full((3, 1, 1, 2), 9))
    assert result.scores.tolist() == [[8, 8]] * 3
    assert result.classes.tolist() == [0] * 3


def test_running_maximum():
    """C_i in one window: (1, 0), (1, 1), (1, 2), so that the events are 1, 0, 1."""
    net = FixedNetwork(
        3,
        Input((1, 1, 2), (0,), 0, 9),
        (
            Population("n", "fire", (1, 1, 2), ints(0), ints(6), ints(0), 1, -99, 99),
            Population("out", "readout", (1, 1, 1), ints(0), ints(), ints(0), 0),
        ),
        (
            Projection("a", "input", "n", "identity", ints(1)),
            Projection("b", "n", "out", "linear", ints(10)[None], pool=Pool("max", (1, 2), (1, 1))),
        ),
    )
    result = simulate(net, ints(2, 5).reshape(1, 1, 1, 2), trace=True)
    assert result.trace.spikes["n"].reshape(3, 2).tolist() == [[0, 0], [0, 1], [1, 1]]
    assert result.scores.tolist() == [[20]]
    assert result.sops["b"].tolist() == [2]


def test_padding_is_zero_after_the_zero_point():
    net = FixedNetwork(
        1,
        Input((1, 1, 1), (7,), 0, 9),
        (Population("out", "readout", (1, 1, 1), ints(0), ints(), ints(0), 0),),
        (
            Projection(
                "a",
                "input",
                "out",
                "conv2d",
                np.ones((1, 1, 3, 3), np.int64),
                padding=(1, 1, 1, 1),
            ),
        ),
    )
    result = simulate(net, ints(9).reshape(1, 1, 1, 1))
    assert result.scores.tolist() == [[2]]
    assert result.sops["a"].tolist() == [1]


def test_results_come_batch_by_batch_and_progress_is_told():
    rng = np.random.default_rng(3)
    net = random_network(rng)
    images = random_images(rng, net, 7)
    assert [len(r.classes) for r in simulate_batches(net, images, batch=3)] == [3, 3, 1]
    calls = []
    simulate(net, images, batch=3, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(3, 7), (6, 7), (7, 7)]


def test_any_integer_type_and_layout_of_images():
    rng = np.random.default_rng(4)
    net = next(n for n in (random_network(rng) for _ in range(99)) if n.input.maximum == 255)
    images = random_images(rng, net, 4)
    want = simulate(net, images).scores
    for cast in (np.uint8, np.int16, np.uint64):
        np.testing.assert_array_equal(simulate(net, images.astype(cast)).scores, want)
    np.testing.assert_array_equal(simulate(net, np.asfortranarray(images)).scores, want)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 1, 2, 1), int), r"shape \(2, 1, 2, 1\) does not fit"),
        (np.zeros((1, 1, 2), int), "does not fit the network's input; expected"),
        (np.zeros((0, 1, 1, 2), int), "there are none"),
        (np.zeros((2, 1, 1, 2)), "dtype float64 is not an integer type"),
        (np.zeros((2, 1, 1, 2), bool), "dtype bool is not an integer type"),
        (np.full((2, 1, 1, 2), 10), r"values 10\.\.10 leave the input's range 0\.\.9"),
        (np.full((2, 1, 1, 2), -1), r"values -1\.\.-1 leave"),
    ],
)
def test_unsuitable_images(images, message):
    with pytest.raises(DataError, match=message):
        simulate(by_hand(), images)


def test_unsuitable_network():
    with pytest.raises(NetworkError, match="timesteps"):
        simulate(replace(by_hand(), timesteps=0), np.zeros((1, 1, 1, 2), int))


def wide_network():
    """One sum of (2**16 - 1) * (127 + 126 + ...): far beyond 2**24, within 32 bits."""
    return FixedNetwork(
        1,
        Input((1, 3, 3), (0,), 0, (1 << 16) - 1),
        (
            Population("n", "fire", (1, 1, 1), ints(1), ints(3), ints(0), 7, -(1 << 30), 1 << 30),
            Population("out", "readout", (1, 1, 1), ints(0), ints(), ints(0), 0),
        ),
        (
            Projection("a", "input", "n", "linear", ints(*range(127, 118, -1))[None]),
            Projection("b", "n", "out", "linear", ints(3)[None]),
        ),
    )


def test_float32_is_used_only_where_it_is_exact():
    net = wide_network()
    images = np.full((1, 1, 3, 3), (1 << 16) - 1)
    assert not exact_in_float32(net)
    assert compile_program(net).weights.dtype == np.int32
    want = simulate_reference(net, images).trace.membranes["n"]
    have = simulate(net, images, trace=True).trace.membranes["n"]
    np.testing.assert_array_equal(have, want)
    wrong = run_program(net, compile_program(net, np.float32), images, trace=True)
    assert (wrong.trace.membranes["n"] != want).any()
    small = replace(net, input=replace(net.input, maximum=15))
    assert compile_program(small).weights.dtype == np.float32


@pytest.mark.parametrize("weight", [1, -1])
def test_the_limit_of_float32_is_two_to_the_24(weight):
    """drive + bias of one readout step: 255 * 1 + bias against 2**24."""

    def net(bias):
        readout = Population("out", "readout", (1, 1, 1), ints(bias), ints(), ints(0), 0)
        synapse = Projection("a", "input", "out", "linear", ints(weight)[None])
        return FixedNetwork(1, Input((1, 1, 1), (0,)), (readout,), (synapse,))

    assert exact_in_float32(net((1 << 24) - 256))
    assert not exact_in_float32(net((1 << 24) - 255))
