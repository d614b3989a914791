# SPDX-License-Identifier: BSD-2-Clause
import numpy as np
import pytest

from pysnn_hw.convert.prepare import prepare
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.errors import DataError, ModelError
from pysnn_hw.ir.ann import Add, Affine, MaxPool, Relu, evaluate
from tests.unit.convert.ann_graphs import GRAPHS, SHAPE, Builder, images, plain

PREPROCESSING = Preprocessing(mean=(0.2, 0.4), std=(0.5, 0.7))


@pytest.mark.parametrize("name", GRAPHS)
def test_the_prepared_graph_computes_the_same_class(name):
    graph = GRAPHS[name]()
    prepared, absorbed = prepare(graph, PREPROCESSING)
    expected, _ = evaluate(graph, PREPROCESSING.apply(images()).astype(np.float64))
    got, _ = evaluate(prepared, absorbed.apply(images()).astype(np.float64))
    if name in ("max pool", "average pool"):  # these end in a softmax
        expected = np.log(expected)
        got = got - np.log(np.exp(got).sum(1, keepdims=True))
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_normalisation_inside_the_graph_moves_to_the_input_even_under_padding():
    b = Builder(1)
    b.add(Affine, "first", scale=np.array([2.0, 0.5]), shift=np.array([-0.3, 0.1]))
    b.batchnorm("bn", 2, signs=[1])
    b.conv("conv", 2, 3, padding=1)
    graph = b.graph()
    prepared, absorbed = prepare(graph, PREPROCESSING)
    assert [n.name for n in prepared.nodes] == ["image", "conv"]
    expected, _ = evaluate(graph, PREPROCESSING.apply(images()).astype(np.float64))
    got, _ = evaluate(prepared, absorbed.apply(images()).astype(np.float64))
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_relu_comes_before_its_pooling():
    prepared, _ = prepare(GRAPHS["relu after pool"](), Preprocessing())
    kinds = [type(n) for n in prepared.nodes]
    assert kinds.index(Relu) < kinds.index(MaxPool)


def test_softmax_is_dropped():
    prepared, _ = prepare(plain(), Preprocessing())
    assert prepared.output == "fc"


def test_zero_point_is_the_nearest_integer():
    assert PREPROCESSING.zero_point(2) == (51, 102)
    assert Preprocessing(mean=(0.1307,)).zero_point(1) == (33,)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"scale": 0.0}, "scale"),
        ({"scale": float("nan")}, "scale"),
        ({"std": (0.0,)}, "std"),
        ({"std": ()}, "std"),
        ({"mean": (float("inf"),)}, "mean"),
        ({"minimum": 5, "maximum": 5}, "maximum"),
    ],
)
def test_bad_preprocessing_is_refused(fields, where):
    with pytest.raises(ModelError, match=rf"^{where}: must"):
        Preprocessing(**fields)


def test_one_mean_per_channel():
    with pytest.raises(ModelError, match="mean: has 3 values, the input has 2 channels"):
        Preprocessing(mean=(0.0, 0.0, 0.0)).apply(images())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (images()[:, :1], "shape"),
        (images()[0], "shape"),
        (images()[:0], "there are none"),
        (images().astype(np.float32), "dtype is float32"),
        (images().astype(np.int32) - 1, "leave the range 0..255"),
    ],
)
def test_unsuitable_images_are_refused(bad, message):
    with pytest.raises(DataError, match=message):
        Preprocessing().check(bad, SHAPE)


def test_zero_points_are_rounded_not_truncated():
    assert Preprocessing(scale=10.0, mean=(0.26, 0.24)).zero_point(2) == (3, 2)


def test_a_negative_gain_at_the_input_goes_into_the_weights():
    b = Builder(2)
    b.add(Affine, "flip", scale=np.array([-2.0, 0.5]), shift=np.array([0.3, 0.1]))
    b.conv("conv", 2, 3, padding=0)
    graph = b.graph()
    prepared, absorbed = prepare(graph, PREPROCESSING)
    assert absorbed == PREPROCESSING
    assert [n.name for n in prepared.nodes] == ["image", "conv"]
    x = PREPROCESSING.apply(images()).astype(np.float64)
    np.testing.assert_allclose(evaluate(prepared, x)[0], evaluate(graph, x)[0], atol=1e-9)


def test_a_pooling_with_two_readers_stays_before_its_relu():
    b = Builder(3)
    b.conv("conv", 2, 4)
    pool = b.pool(MaxPool, "pool")
    first = b.relu("relu")
    b.add(Add, "sum", first, pool)
    graph = b.graph()
    prepared, absorbed = prepare(graph, PREPROCESSING)
    x = absorbed.apply(images()).astype(np.float64)
    np.testing.assert_allclose(evaluate(prepared, x)[0], evaluate(graph, x)[0], atol=1e-9)
