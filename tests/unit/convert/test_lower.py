# SPDX-License-Identifier: BSD-2-Clause
import numpy as np
import pytest

from pysnn_hw.convert.lower import lower
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.ann import Add, AvgPool, Flatten, GlobalAvgPool, MaxPool
from pysnn_hw.ir.snn import INPUT, Pool
from tests.unit.convert.ann_graphs import GRAPHS, Builder, overlapping, plain, residual


def lowered(graph):
    return lower(prepare(graph, Preprocessing())[0])


def edges(skeleton):
    return {p.name: (p.source, p.target, p.kind) for p in skeleton.projections}


def projection(skeleton, name):
    return next(p for p in skeleton.projections if p.name == name)


def test_a_chain():
    skeleton = lowered(plain())
    assert [(x.name, x.kind, x.shape) for x in skeleton.layers] == [
        ("relu1", "fire", (6, 8, 8)),
        ("relu2", "fire", (8, 2, 2)),
        ("fc", "readout", (5, 1, 1)),
    ]
    assert edges(skeleton) == {
        "conv1": (INPUT, "relu1", "conv2d"),
        "conv2": ("relu1", "relu2", "conv2d"),
        "fc": ("relu2", "fc", "linear"),
    }
    assert projection(skeleton, "conv2").pool == Pool("max", (2, 2), (2, 2))
    assert projection(skeleton, "conv2").stride == (2, 2)


def test_average_pooling_sums_and_divides_in_the_weights():
    graph = overlapping()
    skeleton = lowered(graph)
    conv = projection(skeleton, "conv2")
    assert conv.pool == Pool("sum", (3, 3), (2, 2))
    np.testing.assert_allclose(conv.weight, graph.node("conv2").weight / 9, rtol=1e-15)
    fc = projection(skeleton, "fc")
    assert fc.pool == Pool("sum", (3, 3), (3, 3))
    np.testing.assert_allclose(fc.weight, graph.node("fc").weight / 9, rtol=1e-15)


def test_an_identity_shortcut():
    skeleton = lowered(residual())
    assert edges(skeleton)["relu0_to_sum"] == ("relu0", "relu2", "identity")
    assert edges(skeleton)["conv2"] == ("relu1", "relu2", "conv2d")
    np.testing.assert_array_equal(projection(skeleton, "relu0_to_sum").weight, np.ones(4))


def test_a_pooled_shortcut_carries_its_divisor():
    skip = projection(lowered(residual("pool")), "pool_skip_to_sum")
    assert skip.pool == Pool("sum", (2, 2), (2, 2))
    np.testing.assert_array_equal(skip.weight, np.full(4, 0.25))


def test_a_convolution_shortcut_needs_no_neuron():
    graph = residual("conv")
    skeleton = lowered(graph)
    assert edges(skeleton)["conv_skip"] == ("relu0", "relu2", "conv2d")
    bias = next(x.bias for x in skeleton.layers if x.name == "relu2")
    np.testing.assert_allclose(bias, graph.node("conv2").bias + graph.node("conv_skip").bias)


def test_pooling_twice_inserts_a_population():
    skeleton = lowered(GRAPHS["pool twice"]())
    assert [x.name for x in skeleton.layers] == ["relu1", "pool1", "fc"]
    assert edges(skeleton)["pool1_to_pool1"] == ("relu1", "pool1", "identity")
    assert projection(skeleton, "fc").pool == Pool("max", (2, 2), (2, 2))


def test_pooling_at_the_end_becomes_an_identity_readout():
    skeleton = lowered(GRAPHS["ends in pooling"]())
    assert skeleton.layers[0].ceiling == 6.0
    assert skeleton.layers[-1].shape == (5, 1, 1)
    np.testing.assert_array_equal(skeleton.projections[-1].weight, np.full(5, 1 / 64))


def refused(build):
    b = Builder(9)
    build(b)
    with pytest.raises(ModelError) as caught:
        lower(b.graph())
    return str(caught.value)


def test_two_convolutions_without_a_relu():
    def build(b):
        b.conv("conv1", 2, 3)
        b.conv("conv2", 3, 3)

    assert refused(build).startswith("conv2: follows 'conv1' with no ReLU in between")


def test_pooling_before_the_relu():
    def build(b):
        b.conv("conv1", 2, 3)
        b.pool(AvgPool, "pool")

    assert refused(build).startswith("pool: follows 'conv1' with no ReLU")


def test_one_current_for_two_readers():
    def build(b):
        first = b.conv("conv1", 2, 2)
        b.relu("relu")
        second = b.conv("conv2", 2, 2)
        b.add(Add, "sum", first, second)
        b.relu("relu2")

    assert refused(build).startswith("conv1: its output is used twice before a ReLU")


def test_flattening_before_the_relu():
    def build(b):
        b.conv("conv1", 2, 2)
        b.add(Flatten, "flat")
        b.linear("fc", 128, 2)

    assert refused(build).startswith("flat: flattens 'conv1' before its ReLU")


def test_a_convolution_behind_a_flattening():
    def build(b):
        b.conv("conv1", 2, 2)
        b.relu("relu")
        b.add(Flatten, "flat")
        b.conv("conv2", 128, 2, kernel=1, padding=0)

    assert refused(build).startswith("conv2: is a convolution behind a flattening")


def test_an_addition_behind_a_flattening():
    def build(b):
        b.conv("conv1", 2, 2)
        b.relu("relu")
        flat = b.add(Flatten, "flat")
        fc = b.linear("fc", 128, 128)
        b.add(Add, "sum", fc, flat)

    assert refused(build).startswith("sum: reads the flattened 'flat' without weights")


def test_pooling_the_input_twice():
    def build(b):
        b.pool(MaxPool, "pool1")
        b.add(GlobalAvgPool, "pool2")
        b.conv("conv", 2, 2, kernel=1, padding=0)

    assert refused(build).startswith("pool2: pools the input a second time")


def test_unfolded_normalisation():
    def build(b):
        b.conv("conv1", 2, 3)
        b.batchnorm("bn", 3)

    assert refused(build).startswith("bn: BatchNorm was not folded away")
