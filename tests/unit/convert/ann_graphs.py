# SPDX-License-Identifier: BSD-2-Clause
"""Small float graphs with seeded weights, and the images they read."""

import numpy as np

from pysnn_hw.ir.ann import (
    Add,
    AnnGraph,
    AvgPool,
    BatchNorm,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    Input,
    Linear,
    MaxPool,
    Node,
    Relu,
    Softmax,
)

SHAPE = (2, 8, 8)
"""Input of every graph here."""


def images(count: int = 40, seed: int = 0) -> np.ndarray:
    """Raw bytes (count, 2, 8, 8) with smooth shapes rather than noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 2, 4, 4))
    return coarse.repeat(2, 2).repeat(2, 3).astype(np.uint8)


class Builder:
    """Chains nodes; each method appends one and returns its name."""

    def __init__(self, seed: int = 0, shape=SHAPE) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Node] = [Input("image", (), shape)]

    @property
    def last(self) -> str:
        return self.nodes[-1].name

    def add(self, kind, name, *inputs, **fields) -> str:
        self.nodes.append(kind(name, inputs or (self.last,), **fields))
        return name

    def conv(self, name, c_in, c_out, *inputs, kernel=3, padding=1, stride=1, groups=1) -> str:
        fan_in = c_in // groups * kernel**2
        return self.add(
            Conv2d,
            name,
            *inputs,
            weight=self.rng.normal(0.1, 1, (c_out, c_in // groups, kernel, kernel)) / fan_in**0.5,
            bias=self.rng.normal(0, 0.1, c_out),
            stride=(stride, stride),
            padding=(padding,) * 4,
            groups=groups,
        )

    def linear(self, name, n_in, n_out, *inputs) -> str:
        weight = self.rng.normal(0, 1, (n_out, n_in)) / n_in**0.5
        return self.add(Linear, name, *inputs, weight=weight, bias=self.rng.normal(0, 0.1, n_out))

    def batchnorm(self, name, channels, *inputs, eps=1e-3, spread=1.0, signs=(1, 1, -1)) -> str:
        return self.add(
            BatchNorm,
            name,
            *inputs,
            gamma=self.rng.uniform(0.5, 1.5, channels) * self.rng.choice(signs, channels),
            beta=self.rng.normal(0.1, 0.1, channels),
            mean=self.rng.normal(0, 0.1, channels),
            var=self.rng.uniform(0.5, 1.5, channels) * spread,
            eps=eps,
        )

    def relu(self, name, *inputs, maximum=None) -> str:
        return self.add(Relu, name, *inputs, maximum=maximum)

    def pool(self, kind, name, *inputs, kernel=2, stride=None) -> str:
        stride = stride or kernel
        return self.add(kind, name, *inputs, kernel=(kernel, kernel), stride=(stride, stride))

    def graph(self) -> AnnGraph:
        return AnnGraph(tuple(self.nodes), self.last)


def plain(pool=MaxPool) -> AnnGraph:
    """conv, batch norm, ReLU, pool, strided conv, ReLU, flatten, linear, softmax."""
    b = Builder(1)
    b.conv("conv1", 2, 6)
    b.batchnorm("bn1", 6)
    b.relu("relu1")
    b.pool(pool, "pool1")
    b.conv("conv2", 6, 8, stride=2)
    b.relu("relu2")
    b.add(Flatten, "flat")
    b.linear("fc", 32, 5)
    b.add(Softmax, "softmax")
    return b.graph()


def overlapping() -> AnnGraph:
    """Average pooling with overlapping windows, depthwise conv, global pooling."""
    b = Builder(2)
    b.conv("conv1", 2, 4)
    b.relu("relu1")
    b.pool(AvgPool, "pool1", kernel=3, stride=2)
    b.conv("conv2", 4, 8, groups=4)
    b.relu("relu2")
    b.add(GlobalAvgPool, "gap")
    b.add(Flatten, "flat")
    b.linear("fc", 8, 5)
    return b.graph()


def pool_twice() -> AnnGraph:
    """Two poolings in a row: the first one needs neurons of its own."""
    b = Builder(3)
    b.conv("conv1", 2, 4)
    b.relu("relu1")
    b.pool(AvgPool, "pool1")
    b.pool(MaxPool, "pool2")
    b.add(Flatten, "flat")
    b.linear("fc", 16, 5)
    return b.graph()


def residual(shortcut: str = "identity") -> AnnGraph:
    """A residual block; the shortcut is the identity, an average pooling or a 1x1 convolution."""
    b = Builder(4)
    b.conv("conv0", 2, 4)
    skip = entry = b.relu("relu0")
    stride = 1 if shortcut == "identity" else 2
    b.conv("conv1", 4, 4, entry, stride=stride)
    b.relu("relu1")
    main = b.conv("conv2", 4, 4)
    if shortcut == "conv":
        skip = b.conv("conv_skip", 4, 4, entry, kernel=1, padding=0, stride=2)
    elif shortcut == "pool":
        skip = b.pool(AvgPool, "pool_skip", entry)
    b.add(Add, "sum", main, skip)
    b.relu("relu2")
    b.add(GlobalAvgPool, "gap")
    b.add(Flatten, "flat")
    b.linear("fc", 4, 5)
    return b.graph()


def ends_in_pooling() -> AnnGraph:
    """No linear layer at the end: global average pooling gives the scores."""
    b = Builder(5)
    b.conv("conv1", 2, 5)
    b.relu("relu1", maximum=6.0)
    b.add(GlobalAvgPool, "gap")
    return b.graph()


def relu_after_pool() -> AnnGraph:
    """conv, max pool, ReLU: pooling before the ReLU."""
    b = Builder(6)
    b.conv("conv1", 2, 4)
    b.pool(MaxPool, "pool1")
    b.relu("relu1")
    b.add(Flatten, "flat")
    b.linear("fc1", 64, 12)
    b.relu("relu2")
    b.linear("fc2", 12, 5)
    return b.graph()


GRAPHS = {
    "max pool": plain,
    "average pool": lambda: plain(AvgPool),
    "overlapping": overlapping,
    "pool twice": pool_twice,
    "residual": residual,
    "residual, pooled": lambda: residual("pool"),
    "residual, conv": lambda: residual("conv"),
    "ends in pooling": ends_in_pooling,
    "relu after pool": relu_after_pool,
}
