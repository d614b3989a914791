# SPDX-License-Identifier: BSD-2-Clause
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.errors import NetworkError
from pysnn_hw.ir.check import check_fixed, check_network
from pysnn_hw.ir.snn import FixedNetwork, Input, Pool, Population, Projection
from tests.networks import random_network


def ints(*values):
    return np.array(values, np.int64)


def network():
    """Input (2, 6, 6) -conv-> a (4, 6, 6) -pool, conv-> b (4, 3, 3) -linear-> out (3, 1, 1)."""
    ones = np.ones
    fire = {"bias": ints(1), "v_init": ints(5), "spike_max": 3, "v_min": -900, "v_max": 900}
    return FixedNetwork(
        4,
        Input((2, 6, 6), (3, 7)),
        (
            Population("a", "fire", (4, 6, 6), threshold=ints(10, 20, 30, 40), **fire),
            Population("b", "fire", (4, 3, 3), threshold=ints(10), **fire),
            Population("out", "readout", (3, 1, 1), ints(0), ints(), ints(0), 0),
        ),
        (
            Projection(
                "in", "input", "a", "conv2d", ones((4, 1, 3, 3), int), (1, 1), (1, 1, 1, 1), 2
            ),
            Projection("ab", "a", "b", "identity", ones(4, int), pool=Pool("max", (2, 2), (2, 2))),
            Projection("bo", "b", "out", "linear", ones((3, 36), int)),
        ),
    )


def with_population(net, index, **changes):
    parts = list(net.populations)
    parts[index] = replace(parts[index], **changes)
    return replace(net, populations=tuple(parts))


def with_projection(net, index, **changes):
    parts = list(net.projections)
    parts[index] = replace(parts[index], **changes)
    return replace(net, projections=tuple(parts))


def test_good_networks_pass():
    check_fixed(network())
    for seed in range(50):
        check_fixed(random_network(np.random.default_rng(seed)))


BROKEN_POPULATIONS = [
    (0, {"name": "b"}, "'b': the name is used twice"),
    (0, {"name": "input"}, "the name is reserved"),
    (0, {"name": ""}, "empty"),
    (0, {"name": "a\n"}, "printable"),
    (0, {"kind": "readout"}, "a readout must come last"),
    (2, {"kind": "fire"}, "the last population must be a readout"),
    (0, {"kind": "leaky"}, "neither fire nor readout"),
    (0, {"shape": (4, 6, 0)}, "not three positive sizes"),
    (0, {"shape": (4, 6, 5)}, r"gives shape \(4, 6, 6\), but 'a' has \(4, 6, 5\)"),
    (2, {"shape": (1, 3, 1), "bias": ints(0)}, r"a readout is \(classes, 1, 1\)"),
    (0, {"bias": ints(1, 2)}, r"'a': bias: shape \(2,\) is neither \(1,\) nor \(4,\)"),
    (0, {"bias": ints()}, "bias: shape"),
    (0, {"threshold": ints(1, 0, 2, 3)}, "threshold: 0 is not positive"),
    (0, {"threshold": ints()}, "threshold: shape"),
    (0, {"v_init": ints([1])}, "v_init: shape"),
    (0, {"v_init": ints(901)}, "901 is above v_max 900"),
    (0, {"v_init": ints(0, 0, -901, 0)}, "-901 is below v_min -900"),
    (0, {"spike_max": 0}, "spike_max: 0 is outside"),
    (0, {"spike_max": 256}, "spike_max: 256 is outside"),
    (2, {"threshold": ints(1)}, "a readout has neither"),
    (2, {"spike_max": 1}, "a readout has neither"),
    (2, {"v_min": 0}, "a readout is never clamped"),
    (2, {"v_max": 0}, "a readout is never clamped"),
]


@pytest.mark.parametrize(("index", "changes", "message"), BROKEN_POPULATIONS)
def test_broken_population(index, changes, message):
    with pytest.raises(NetworkError, match=message):
        check_network(with_population(network(), index, **changes))


BROKEN_PROJECTIONS = [
    (0, {"name": "ab"}, "'ab': the name is used twice"),
    (0, {"source": "c"}, "source: 'c' does not exist"),
    (0, {"target": "c"}, "target: 'c' is not a population"),
    (0, {"target": "input"}, "target: 'input' is not a population"),
    (1, {"source": "b"}, "'b' does not come after 'b'"),
    (1, {"source": "out"}, "'b' does not come after 'out'"),
    (2, {"source": "a"}, "'b': no projection starts here"),
    (1, {"target": "out"}, "'b': no projection ends here"),
    (0, {"kind": "dense"}, "kind: 'dense' is unknown"),
    (0, {"weight": np.ones((4, 1, 3), int)}, "weight: shape"),
    (0, {"weight": np.ones((4, 2, 3, 3), int)}, "does not suit 2 input channels in 2 groups"),
    (0, {"weight": np.ones((5, 1, 3, 3), int)}, "groups: 2 does not divide"),
    (0, {"groups": 0}, "groups: 0 does not divide"),
    (0, {"groups": 3}, "groups: 3 does not divide"),
    (0, {"stride": (1, 0)}, "stride"),
    (0, {"stride": (2, 1)}, "gives shape"),
    (0, {"padding": (3, 0, 0, 0)}, "padding"),
    (0, {"padding": (0, 0, 0, -1)}, "padding"),
    (0, {"weight": np.ones((4, 1, 9, 3), int)}, "does not fit into"),
    (1, {"pool": None}, "gives shape"),
    (1, {"pool": Pool("mean", (2, 2), (2, 2))}, "pool.mode"),
    (1, {"pool": Pool("max", (7, 2), (2, 2))}, "pool.kernel"),
    (1, {"pool": Pool("max", (0, 2), (2, 2))}, "pool.kernel"),
    (1, {"pool": Pool("max", (2, 2), (2, 0))}, "pool.stride"),
    (1, {"weight": np.ones(3, int)}, "weight: shape"),
    (1, {"groups": 4}, "identity takes no stride"),
    (2, {"weight": np.ones((3, 35), int)}, "weight: shape"),
    (2, {"padding": (0, 0, 0, 1)}, "linear takes no stride"),
    (2, {"weight": np.ones((4, 36), int)}, "gives shape"),
]


@pytest.mark.parametrize(("index", "changes", "message"), BROKEN_PROJECTIONS)
def test_broken_projection(index, changes, message):
    with pytest.raises(NetworkError, match=message):
        check_network(with_projection(network(), index, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timesteps": 0}, "timesteps: 0 is outside"),
        ({"timesteps": 4097}, "timesteps: 4097 is outside"),
        ({"populations": ()}, "populations: there are none"),
        ({"input": Input((2, 6), (3, 7))}, "input.shape"),
        ({"input": Input((2, 6, 6), (3,))}, "input.zero_point: 1 values for 2 channels"),
        ({"input": Input((2, 6, 6), (3, 1 << 16))}, "input.zero_point"),
        ({"input": Input((2, 6, 6), (3, 7), 9, 9)}, "input.minimum"),
        ({"input": Input((2, 6, 6), (3, 7), 0, 1 << 16)}, "input.minimum"),
        ({"input": Input((2, 6, 6), (3, 7), encoding="rate")}, "input.encoding"),
        ({"input": Input((2, 4096, 4096), (3, 7))}, "neurons are more than"),
    ],
)
def test_broken_network(changes, message):
    with pytest.raises(NetworkError, match=message):
        check_network(replace(network(), **changes))


def test_float_networks_must_be_finite():
    net = with_population(network(), 0, threshold=np.array([np.inf]), v_min=None, v_max=None)
    with pytest.raises(NetworkError, match="threshold: a value is not finite"):
        check_network(net)
    net = with_projection(network(), 2, weight=np.full((3, 36), np.nan))
    with pytest.raises(NetworkError, match="weight: a value is not finite"):
        check_network(net)


def test_integers_only():
    float_net = with_projection(network(), 0, weight=np.ones((4, 1, 3, 3)))
    check_network(float_net)
    with pytest.raises(NetworkError, match="'in': weight: dtype float64 is not int64"):
        check_fixed(float_net)
    with pytest.raises(NetworkError, match="'a': v_min: is missing"):
        check_fixed(with_population(network(), 0, v_min=None))


@pytest.mark.parametrize("value", [-129, 128])
def test_weights_fit_in_eight_bits(value):
    with pytest.raises(NetworkError, match="'ab': weight: values"):
        check_fixed(with_projection(network(), 1, weight=ints(1, 1, value, 1)))


@pytest.mark.parametrize("name", ["bias", "threshold", "v_init"])
def test_parameters_fit_in_32_bits(name):
    net = with_population(network(), 0, v_max=1 << 40, **{name: ints(1 << 31)})
    with pytest.raises(NetworkError, match=f"'a': {name}: values"):
        check_fixed(net)
    with pytest.raises(NetworkError, match="'a': v_max: 1099511627776 does not fit"):
        check_fixed(with_population(network(), 0, v_max=1 << 40))


def test_widths_are_proven():
    big = with_population(network(), 0, bias=ints((1 << 31) - 1))
    with pytest.raises(NetworkError, match="'a': its membrane needs 33 bits"):
        check_fixed(big)
    check_fixed(with_population(network(), 2, bias=ints(1 << 27)))
    with pytest.raises(NetworkError, match=r"'out': its membrane needs 3[34] bits"):
        check_fixed(with_population(network(), 2, bias=ints(1 << 29)))


def test_hopeless_widths_are_refused_before_they_overflow():
    """Windows so large that even 64-bit interval arithmetic could wrap around."""
    side = 2048
    net = FixedNetwork(
        4096,
        Input((1, side, side), (0,)),
        (Population("out", "readout", (1, 1, 1), ints(0), ints(), ints(0), 0),),
        (
            Projection(
                "p",
                "input",
                "out",
                "linear",
                np.full((1, 1025**2), 127),
                pool=Pool("sum", (1024, 1024), (1, 1)),
            ),
        ),
    )
    with pytest.raises(NetworkError, match="'p': its currents do not fit in 32 bits"):
        check_fixed(net)
