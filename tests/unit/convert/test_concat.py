# SPDX-License-Identifier: BSD-2-Clause
"""Concatenation of channels: one projection per producer."""

import numpy as np
import pytest
import torch

from pysnn_hw.convert import Preprocessing, convert, quantize
from pysnn_hw.convert.float_sim import simulate_float
from pysnn_hw.convert.lower import lower
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.errors import ModelError
from pysnn_hw.frontend import import_model
from pysnn_hw.golden import simulate
from pysnn_hw.ir.ann import (
    Add,
    AnnGraph,
    AvgPool,
    Concat,
    Flatten,
    GlobalAvgPool,
    Input,
    MaxPool,
    Relu,
    check_ann,
    evaluate,
    shapes,
)
from pysnn_hw.ir.check import check_fixed
from tests.unit.convert.ann_graphs import Builder, images


def branches(b, *channels):
    """Convolutions of the image with these channels, each with its ReLU."""
    names = []
    for k, c in enumerate(channels):
        b.conv(f"conv{k}", 2, c, "image")
        names.append(b.relu(f"relu{k}"))
    return names


def head(b, n_in):
    b.add(Flatten, "flat")
    b.linear("fc", n_in, 5)
    return b.graph()


def to_conv():
    b = Builder(1)
    b.add(Concat, "cat", *branches(b, 3, 4))
    b.conv("mix", 7, 6)
    b.relu("relu")
    return head(b, 384)


def to_linear():
    b = Builder(2)
    b.add(Concat, "cat", *branches(b, 3, 1, 2))
    return head(b, 384)


def of_vectors():
    b = Builder(3)
    flat = [b.add(Flatten, f"flat{name}", name) for name in branches(b, 3, 2)]
    b.add(Concat, "cat", *flat)
    b.linear("fc", 320, 5)
    return b.graph()


def pooled(kind):
    b = Builder(4)
    b.add(Concat, "cat", *branches(b, 3, 4))
    b.pool(kind, "pool")
    b.conv("mix", 7, 6)
    b.relu("relu")
    b.add(GlobalAvgPool, "gap")
    b.linear("fc", 6, 5)
    return b.graph()


def of_pooled():
    """Inception: the branches are pooled differently before they meet."""
    b = Builder(5)
    first, second, third = branches(b, 3, 4, 2)
    first = b.pool(MaxPool, "pool0", first)
    second = b.pool(AvgPool, "pool1", second)
    b.conv("down", 2, 5, third, stride=2)
    b.add(Concat, "cat", first, second, b.relu("relu_down"))
    b.conv("mix", 12, 6)
    b.relu("relu")
    return head(b, 96)


def nested():
    """DenseNet: what has been joined is joined again, image included."""
    b = Builder(6)
    b.conv("conv0", 2, 3)
    first = b.add(Concat, "cat0", "image", b.relu("relu0"))
    b.conv("conv1", 5, 4)
    b.add(Concat, "cat1", first, b.relu("relu1"))
    b.conv("conv2", 9, 4)
    b.relu("relu2")
    return head(b, 256)


def twice():
    b = Builder(7)
    (entry,) = branches(b, 3)
    b.add(Concat, "cat", entry, entry)
    b.conv("mix", 6, 4)
    b.relu("relu")
    return head(b, 256)


def grouped():
    """Groups of a convolution that reach over the seam."""
    b = Builder(8)
    b.add(Concat, "cat", *branches(b, 3, 5))
    b.conv("mix", 8, 8, groups=4)
    b.relu("relu")
    return head(b, 512)


def depthwise():
    b = Builder(9)
    b.add(Concat, "cat", *branches(b, 2, 3))
    b.conv("mix", 5, 5, groups=5)
    b.relu("relu")
    return head(b, 320)


def late():
    """Batch norm and ReLU behind the concatenation of convolutions."""
    b = Builder(10)
    b.conv("conv0", 2, 3, "image")
    b.conv("conv1", 2, 4, "image")
    b.add(Concat, "cat", "conv0", "conv1")
    b.batchnorm("bn", 7)
    b.relu("relu")
    return head(b, 448)


def added():
    b = Builder(11)
    joined = b.add(Concat, "cat", *branches(b, 3, 4))
    b.conv("mix", 7, 7)
    b.add(Add, "sum", "mix", joined)
    b.relu("relu")
    return head(b, 448)


def clipped():
    b = Builder(12)
    b.add(Concat, "cat", *branches(b, 3, 4))
    b.relu("relu", maximum=0.2)
    return head(b, 448)


def ends():
    b = Builder(13)
    b.add(Concat, "cat", *branches(b, 3, 2))
    b.add(GlobalAvgPool, "gap")
    return b.graph()


CASES = {
    "conv": to_conv,
    "linear": to_linear,
    "vectors": of_vectors,
    "pooled, sum": lambda: pooled(AvgPool),
    "pooled, max": lambda: pooled(MaxPool),
    "of pooled": of_pooled,
    "nested": nested,
    "twice": twice,
    "grouped": grouped,
    "depthwise": depthwise,
    "late": late,
    "added": added,
    "clipped": clipped,
    "ends": ends,
}


@pytest.mark.parametrize("name", CASES)
def test_many_levels_reproduce_the_scores(name):
    graph = CASES[name]()
    check_ann(graph)
    x = images()
    prepared, absorbed = prepare(graph, Preprocessing())
    expected, _ = evaluate(graph, Preprocessing().apply(x))
    same, _ = evaluate(prepared, absorbed.apply(x))
    np.testing.assert_allclose(same, expected, rtol=1e-4, atol=1e-4)
    net = convert(graph, x, counts=255, calibration="max", bias_correction=False)
    error = np.abs(simulate_float(net, x).scores - expected).max()
    assert error < 0.02 * np.abs(expected - expected.mean()).max()
    fixed = quantize(net, 8, x)
    check_fixed(fixed)
    np.testing.assert_array_equal(simulate_float(fixed, x).scores, simulate(fixed, x).scores)


class Inception(torch.nn.Module):
    """Branches with batch norm that meet twice, the second time behind a pooling."""

    def __init__(self):
        super().__init__()
        self.a = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 1), torch.nn.BatchNorm2d(4))
        self.b = torch.nn.Conv2d(2, 3, 3, padding=1)
        self.c = torch.nn.Conv2d(7, 6, 3, padding=1)
        self.fc = torch.nn.Linear(13 * 16, 5)

    def forward(self, x):
        both = torch.cat([self.a(x), self.b(x)], 1).relu()
        deep = torch.cat([self.c(both).relu(), both], 1)
        return self.fc(torch.nn.functional.max_pool2d(deep, 2).flatten(1))


def test_a_torch_module_all_the_way():
    torch.manual_seed(0)
    module, x = Inception().eval(), images()
    graph = import_model(module, (2, 8, 8)).graph
    with torch.inference_mode():
        expected = module(torch.from_numpy(x / np.float32(255))).numpy()
    fixed = quantize(convert(graph, x, levels=6), 8, x)
    scores = simulate(fixed, x).scores
    assert np.corrcoef(scores.ravel(), expected.ravel())[0, 1] > 0.995
    assert (scores.argmax(1) == expected.argmax(1)).mean() > 0.9
    assert len(fixed.into(graph.output)) == 3


def test_one_projection_per_producer_with_its_channels():
    graph = to_conv()
    skeleton = lower(prepare(graph, Preprocessing())[0])
    first, second = (p for p in skeleton.projections if p.target == "relu")
    assert [first.source, second.source] == ["relu0", "relu1"]
    weight = graph.node("mix").weight
    np.testing.assert_array_equal(first.weight, weight[:, :3])
    np.testing.assert_array_equal(second.weight, weight[:, 3:])


def test_blocks_of_a_linear_layer_follow_the_flattening():
    graph = to_linear()
    skeleton = lower(prepare(graph, Preprocessing())[0])
    weights = [p.weight for p in skeleton.projections if p.target == "fc"]
    assert [w.shape[1] for w in weights] == [192, 64, 128]
    np.testing.assert_array_equal(np.concatenate(weights, 1), graph.node("fc").weight)


def test_currents_are_not_joined():
    b = Builder(1)
    b.conv("conv0", 2, 3, "image")
    b.conv("conv1", 2, 3, "image")
    b.relu("relu1")
    b.add(Concat, "cat", "conv0", "relu1")
    b.conv("mix", 6, 2)
    b.relu("relu")
    with pytest.raises(ModelError, match=r"cat: joins 'conv0', which has no ReLU.*put a ReLU"):
        convert(head(b, 128), images())


def test_a_convolution_of_joined_vectors_is_refused():
    b = Builder(2)
    flat = [b.add(Flatten, f"flat{name}", name) for name in branches(b, 3, 2)]
    b.add(Concat, "cat", *flat)
    b.conv("mix", 320, 4, kernel=1, padding=0)
    with pytest.raises(ModelError, match="mix: is a convolution behind a flattening"):
        convert(b.graph(), images())


def test_pooling_of_a_vector_is_refused():
    b = Builder(2)
    branches(b, 3)
    b.add(Flatten, "flat")
    b.add(GlobalAvgPool, "gap")
    b.linear("fc", 192, 2)
    with pytest.raises(ModelError, match="gap: pools behind a flattening"):
        convert(b.graph(), images())


def test_shapes():
    image = Input("image", (), (2, 8, 8))
    both = Concat("cat", ("image", "image", "image"))
    assert shapes(AnnGraph((image, both), "cat"))["cat"] == (6, 8, 8)
    wide = Flatten("flat", ("image",))
    with pytest.raises(ModelError, match="cat: concatenates"):
        shapes(AnnGraph((image, wide, Concat("cat", ("image", "flat"))), "cat"))
    with pytest.raises(ModelError, match="cat: needs 2 inputs, has 1"):
        check_ann(AnnGraph((image, Concat("cat", ("image",)), Relu("r", ("cat",))), "r"))
