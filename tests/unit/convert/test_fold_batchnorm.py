# SPDX-License-Identifier: BSD-2-Clause
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.convert.fold_batchnorm import fold_batchnorm
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.ann import Affine, AvgPool, BatchNorm, Flatten, evaluate
from tests.unit.convert.ann_graphs import SHAPE, Builder


def outputs(graph, seed=0):
    x = np.random.default_rng(seed).normal(0, 1, (5, *SHAPE))
    return evaluate(graph, x)[0]


def backward(eps, spread=1.0, groups=1):
    b = Builder(1)
    b.conv("conv", 2, 4, groups=groups)
    b.batchnorm("bn1", 4, eps=eps, spread=spread)
    b.relu("relu")
    b.add(Flatten, "flat")
    b.linear("fc", 256, 6)
    b.batchnorm("bn2", 6, eps=eps, spread=spread)
    return b.graph()


@pytest.mark.parametrize("eps", [1e-3, 1e-5, 0.1])
@pytest.mark.parametrize("groups", [1, 2])
def test_folding_backwards_is_exact(eps, groups):
    graph = backward(eps, spread=1e-4, groups=groups)
    folded = fold_batchnorm(graph)
    assert [n.name for n in folded.nodes] == ["image", "conv", "relu", "flat", "fc"]
    expected = outputs(graph)
    assert np.abs(outputs(folded) - expected).max() < 1e-9 * max(1, np.abs(expected).max())


def test_each_layer_counts_with_its_own_eps():
    graph = backward(1e-3, spread=1e-4)
    other = replace(
        graph,
        nodes=tuple(replace(n, eps=1e-5) if n.name == "bn1" else n for n in graph.nodes),
    )
    assert np.abs(outputs(fold_batchnorm(graph)) - outputs(fold_batchnorm(other))).max() > 0.1


@pytest.mark.parametrize("kind", ["linear behind flatten", "conv without padding", "no shift"])
def test_folding_forwards_is_exact(kind):
    b = Builder(2)
    b.conv("conv", 2, 4)
    b.relu("relu")
    shift = np.zeros(4) if kind == "no shift" else np.array([0.5, -1, 2, 0])
    b.add(Affine, "affine", scale=np.array([2.0, 0.5, -1, 3]), shift=shift)
    if kind == "linear behind flatten":
        b.add(Flatten, "flat")
        b.linear("out", 256, 5)
    else:
        b.conv("out", 4, 6, padding=int(kind == "no shift"), groups=2)
    graph = b.graph()
    folded = fold_batchnorm(graph)
    assert not any(isinstance(n, Affine | BatchNorm) for n in folded.nodes)
    np.testing.assert_allclose(outputs(folded), outputs(graph), rtol=0, atol=1e-9)


def test_a_producer_with_two_readers_is_refused():
    b = Builder(3)
    conv = b.conv("conv", 2, 2)
    b.batchnorm("bn", 2)
    b.relu("relu")
    b.conv("conv2", 2, 2, conv)
    with pytest.raises(ModelError, match=r"^bn: .*'conv' also feeds"):
        fold_batchnorm(b.graph())


def test_a_layer_between_relu_and_pooling_is_refused():
    b = Builder(4)
    b.conv("conv", 2, 2)
    b.relu("relu")
    b.batchnorm("bn", 2)
    b.pool(AvgPool, "pool")
    b.conv("conv2", 2, 2)
    with pytest.raises(ModelError, match=r"^bn: .*follows 'relu'"):
        fold_batchnorm(b.graph())


def test_a_shift_in_front_of_padding_is_refused():
    b = Builder(5)
    b.conv("conv", 2, 2)
    b.relu("relu")
    b.batchnorm("bn", 2)
    b.conv("conv2", 2, 2, padding=1)
    with pytest.raises(ModelError, match=r"^bn: .*'conv2', whose zero padding"):
        fold_batchnorm(b.graph())
