# SPDX-License-Identifier: BSD-2-Clause
import dataclasses

import numpy as np
import pytest

from pysnn_hw.errors import ModelError
from pysnn_hw.ir import ann
from pysnn_hw.ir.ann import (
    NODE_KINDS,
    Add,
    Affine,
    AnnGraph,
    AvgPool,
    BatchNorm,
    Concat,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    Input,
    Linear,
    MaxPool,
    Relu,
    Softmax,
    check_ann,
    evaluate,
    shapes,
)

RNG = np.random.default_rng(0)
X = Input("x", (), (2, 6, 5))


def graph(*nodes, first=X):
    return AnnGraph((first, *nodes), nodes[-1].name)


def small():
    """Every kind of node, once."""
    return graph(
        Affine("norm", ("x",), np.array([2.0, 3.0]), np.array([0.5, -1.0])),
        Conv2d("conv", ("norm",), RNG.normal(size=(4, 1, 3, 3)), RNG.normal(size=4), (1, 2),
               (1, 0, 2, 1), 2),
        BatchNorm("bn", ("conv",), *RNG.normal(size=(3, 4)), RNG.random(4), 0.1),
        Relu("relu", ("bn",), 1.5),
        MaxPool("max", ("relu",), (2, 1), (2, 1)),
        AvgPool("avg", ("relu",), (2, 1), (2, 1)),
        Add("add", ("max", "avg")),
        Concat("cat", ("add", "max")),
        GlobalAvgPool("mean", ("cat",)),
        Flatten("flat", ("mean",)),
        Linear("fc", ("flat",), RNG.normal(size=(3, 8)), RNG.normal(size=3)),
        Softmax("soft", ("fc",)),
    )  # fmt: skip


def test_the_test_network_holds_every_kind_of_node():
    assert {type(n) for n in small().nodes} == set(NODE_KINDS)


def test_shapes():
    found = shapes(small())
    assert found == {
        "x": (2, 6, 5),
        "norm": (2, 6, 5),
        "conv": (4, 7, 2),
        "bn": (4, 7, 2),
        "relu": (4, 7, 2),
        "max": (4, 3, 2),
        "avg": (4, 3, 2),
        "add": (4, 3, 2),
        "cat": (8, 3, 2),
        "mean": (8, 1, 1),
        "flat": (8, 1, 1),
        "fc": (3, 1, 1),
        "soft": (3, 1, 1),
    }


def test_evaluate_equals_plain_loops():
    g = small()
    check_ann(g)
    x = RNG.normal(size=(3, 2, 6, 5))
    output, kept = evaluate(g, x, keep={n.name for n in g.nodes})
    node = {n.name: n for n in g.nodes}

    norm = x * np.array([2.0, 3.0])[:, None, None] + np.array([0.5, -1.0])[:, None, None]
    np.testing.assert_allclose(kept["norm"], norm)
    padded = np.pad(norm, ((0, 0), (0, 0), (1, 2), (0, 1)))
    conv = np.zeros((3, 4, 7, 2))
    for n, c, i, j in np.ndindex(*conv.shape):
        patch = padded[n, c // 2, i : i + 3, 2 * j : 2 * j + 3]
        conv[n, c, i, j] = (patch * node["conv"].weight[c, 0]).sum() + node["conv"].bias[c]
    np.testing.assert_allclose(kept["conv"], conv)
    bn = node["bn"]
    column = [v[:, None, None] for v in (bn.gamma, bn.beta, bn.mean, bn.var)]
    normed = (conv - column[2]) / np.sqrt(column[3] + 0.1) * column[0] + column[1]
    np.testing.assert_allclose(kept["bn"], normed)
    relu = np.minimum(np.maximum(normed, 0), 1.5)
    np.testing.assert_allclose(kept["relu"], relu, atol=1e-12)
    windows = relu[:, :, :6].reshape(3, 4, 3, 2, 2)
    np.testing.assert_allclose(kept["max"], windows.max(3))
    np.testing.assert_allclose(kept["avg"], windows.mean(3))
    total = windows.max(3) + windows.mean(3)
    np.testing.assert_allclose(kept["add"], total)
    both = np.concatenate([total, windows.max(3)], axis=1)
    np.testing.assert_allclose(kept["cat"], both)
    mean = both.mean((2, 3))
    np.testing.assert_allclose(kept["flat"][:, :, 0, 0], mean)
    scores = mean @ node["fc"].weight.T + node["fc"].bias
    exp = np.exp(scores)
    assert output.shape == (3, 3)
    np.testing.assert_allclose(output, exp / exp.sum(1, keepdims=True))


def test_flatten_is_in_c_h_w_order():
    x = RNG.normal(size=(1, 2, 6, 5))
    output, _ = evaluate(graph(Flatten("flat", ("x",))), x)
    np.testing.assert_array_equal(output[0], x[0].reshape(-1))


def test_log_softmax():
    vector = Input("x", (), (3, 1, 1))
    x = RNG.normal(size=(2, 3, 1, 1))
    plain, _ = evaluate(graph(Softmax("y", ("x",)), first=vector), x)
    log, _ = evaluate(graph(Softmax("y", ("x",), log=True), first=vector), x)
    np.testing.assert_allclose(np.exp(log), plain)


@pytest.mark.parametrize(
    ("given", "computed"),
    [(np.float32, np.float32), (np.float64, np.float64), (np.uint8, np.float32)],
)
def test_precision_follows_the_input(given, computed):
    output, _ = evaluate(small(), np.ones((1, 2, 6, 5), given))
    assert output.dtype == computed


def test_evaluate_does_not_change_its_input():
    x = -np.ones((1, 2, 6, 5))
    evaluate(graph(Relu("y", ("x",))), x)
    assert (x == -1).all()


def test_evaluate_keeps_values_that_are_read_later():
    g = graph(Relu("a", ("x",)), Relu("b", ("a",)), Add("c", ("b", "a")), Add("d", ("c", "c")))
    x = RNG.normal(size=(2, 2, 6, 5))
    output, kept = evaluate(g, x, keep=["a"])
    np.testing.assert_allclose(output, 4 * np.maximum(x, 0).reshape(2, -1))
    assert set(kept) == {"a"}


def test_evaluate_refuses_other_shapes():
    with pytest.raises(ModelError, match="takes images"):
        evaluate(small(), np.zeros((1, 2, 5, 6)))


def test_neighbours():
    g = small()
    assert [n.name for n in g.consumers("relu")] == ["max", "avg"]
    assert [n.name for n in g.consumers("max")] == ["add", "cat"]
    assert g.producer(g.node("add"), 1).name == "avg"
    assert g.input is g.nodes[0]


def test_scale_and_shift_of_batch_norm():
    g = small()
    bn = g.node("bn")
    x = RNG.normal(size=4)
    scale, shift = bn.scale_shift
    want = (x - bn.mean) / np.sqrt(bn.var + bn.eps) * bn.gamma + bn.beta
    np.testing.assert_allclose(x * scale + shift, want)


W = np.ones((3, 2, 3, 3))
BAD = {
    "no input": (AnnGraph((Relu("a", ("x",)),), "a"), "first node"),
    "empty": (AnnGraph((), "a"), "first node"),
    "second input": (graph(Input("z", (), (2, 6, 5)), Add("a", ("x", "z"))), "second input"),
    "cycle": (graph(Add("a", ("x", "b")), Relu("b", ("a",))), "no earlier node"),
    "same name": (graph(Relu("a", ("x",)), Relu("a", ("a",))), "two nodes"),
    "two outputs": (graph(Relu("a", ("x",)), Relu("b", ("x",))), "nothing reads"),
    "output inside": (AnnGraph((X, Relu("a", ("x",)), Relu("b", ("a",))), "a"), "last node"),
    "arity": (graph(Add("a", ("x",))), "needs 2 inputs, has 1"),
    "unknown kind": (graph(ann.Node("a", ("x",))), "kind of node"),
    "nan": (graph(Affine("a", ("x",), np.array([1.0, np.nan]), np.ones(2))), "NaN or infinity"),
    "inf": (graph(Conv2d("a", ("x",), W * np.inf)), "NaN or infinity"),
    "variance": (graph(BatchNorm("a", ("x",), *np.ones((3, 2)), -np.ones(2), 1e-3)), "variance"),
    "clip": (graph(Relu("a", ("x",), 0.0)), "upper clip"),
    "channels": (graph(Conv2d("a", ("x",), np.ones((3, 3, 3, 3)))), "does not fit 2 channels"),
    "groups": (graph(Conv2d("a", ("x",), np.ones((3, 1, 1, 1)), groups=2)), "does not fit"),
    "bias": (graph(Conv2d("a", ("x",), W, np.ones(2))), r"bias has shape \(2,\), expected \(3,\)"),
    "stride": (graph(Conv2d("a", ("x",), W, stride=(0, 1))), "out of range"),
    "padding": (graph(Conv2d("a", ("x",), W, padding=(0, -1, 0, 0))), "out of range"),
    "kernel too large": (graph(Conv2d("a", ("x",), np.ones((1, 2, 7, 1)))), "empty"),
    "weight rank": (graph(Conv2d("a", ("x",), np.ones((3, 2)))), "weight must be"),
    "linear on a map": (graph(Linear("a", ("x",), np.ones((3, 60)))), "does not fit an input"),
    "linear size": (
        graph(Flatten("f", ("x",)), Linear("a", ("f",), np.ones((3, 59)))), "does not fit an input",
    ),
    "scale": (graph(Affine("a", ("x",), np.ones(1), np.ones(2))), "scale has shape"),
    "pool": (graph(MaxPool("a", ("x",), (0, 1), (1, 1))), "must be positive"),
    "pool too large": (graph(AvgPool("a", ("x",), (7, 1), (1, 1))), "empty"),
    "add": (graph(MaxPool("p", ("x",), (2, 1), (1, 1)), Add("a", ("x", "p"))), "adds"),
    "softmax on a map": (graph(Softmax("a", ("x",))), "needs a vector"),
    "softmax inside": (
        graph(GlobalAvgPool("m", ("x",)), Softmax("s", ("m",)), Relu("a", ("s",))), "final layer",
    ),
    "too large": (graph(Conv2d("a", ("x",), W, padding=(9999,) * 4)), "larger than"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_check_refuses(name):
    bad, match = BAD[name]
    with pytest.raises(ModelError, match=match):
        check_ann(bad)


def test_nodes_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        X.name = "y"
