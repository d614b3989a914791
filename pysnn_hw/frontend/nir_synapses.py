# SPDX-License-Identifier: BSD-2-Clause
"""What lies between two populations of a NIR graph, gathered into one projection per way.

A projection is: pooling, then one convolution or linear layer (or none), then a factor per channel.
Nodes are folded into that form exactly, or refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from pysnn_hw.frontend.builder import MAX_TOTAL_VALUES, MAX_WEIGHTS, Array
from pysnn_hw.frontend.nir_graph import Node
from pysnn_hw.ir.snn import Pool, Projection, Shape

MAX_WAYS = 64
"""Most ways that lead to one node: each join can double them."""
BETWEEN = "put a spiking layer between them, or fold them into one layer"


@dataclass(frozen=True, eq=False)
class Way:
    """One way from a population (or the input) to where a signal is.

    Attributes
    ----------
    name
        Of the node that holds the weights, if there is one.
    gain
        Factor of each pooled spike, (C, 1, 1) or (C, H, W), while there is no layer yet.
    layer
        Weights, stride, padding and groups, gain included; None without a layer. It stands for
        any source and target.
    """

    source: str
    name: str
    gain: Array
    pool: Pool | None = None
    layer: Projection | None = None

    def scaled(self, factor: Array) -> Way:
        """The way with its result multiplied by ``factor``, (C,)."""
        if self.layer is None:
            return replace(self, gain=self.gain * factor[:, None, None])
        column = factor.reshape(-1, *[1] * (self.layer.weight.ndim - 1))
        return replace(self, layer=replace(self.layer, weight=self.layer.weight * column))

    def projection(self, target: Node) -> Projection:
        """The projection that it becomes."""
        if self.layer is not None:
            return replace(
                self.layer, name=self.name, source=self.source, target=target.name, pool=self.pool
            )
        weight = per_channel(self.gain, target, "the scale before it")
        name = self.name or f"{self.source}_to_{target.name}"
        return Projection(name, self.source, target.name, "identity", weight, pool=self.pool)


@dataclass(frozen=True, eq=False)
class Signal:
    """What a node hands on: a sum of ways plus a constant.

    Attributes
    ----------
    shape
        (C, H, W) as the network has it; flattening does not change it.
    sizes
        Shape as the graph has it.
    bias
        Added in every step, (C,).
    integrated
        Whether it is the sum over all steps so far.
    """

    shape: Shape
    sizes: tuple[int, ...]
    ways: tuple[Way, ...]
    bias: Array
    integrated: bool = False

    @property
    def bare(self) -> bool:
        """Whether it has met no layer yet."""
        layers = any(way.layer is not None for way in self.ways)
        return not (layers or self.integrated or self.bias.any())

    def scaled(self, factor: Array) -> Signal:
        """The signal multiplied by ``factor``, (C,)."""
        ways = tuple(way.scaled(factor) for way in self.ways)
        return replace(self, ways=ways, bias=self.bias * factor)


def spikes(source: str, shape: Shape, sizes: tuple[int, ...]) -> Signal:
    """What a population (or the input) sends."""
    way = Way(source, "", np.ones((shape[0], 1, 1)))
    return Signal(shape, sizes, (way,), np.zeros(shape[0]))


def added(node: Node, signals: Sequence[Signal]) -> Signal:
    """The sum of what arrives at a node."""
    if not signals:
        raise node.refusal("nothing leads to it", "connect it, or drop it")
    first = signals[0]
    for other in signals[1:]:
        if other.shape != first.shape:
            raise node.refusal(f"adds signals of shapes {first.sizes} and {other.sizes}")
    ways = tuple(way for signal in signals for way in signal.ways)
    if len(ways) > MAX_WAYS:
        raise node.refusal(f"is reached in more than {MAX_WAYS} ways")
    if any(signal.integrated for signal in signals[1:]) or (first.integrated and len(signals) > 1):
        raise node.refusal("adds integrated signals to others", "integrate their sum")
    return replace(first, ways=ways, bias=reduce(np.add, [s.bias for s in signals]))


def per_channel(values: Array, node: Node, what: str) -> Array:
    """``values`` (C, H, W) as (C,); refused unless each channel has one value."""
    rows = values.reshape(len(values), -1)
    if (rows != rows[:, :1]).any():
        problem = f"{what} differs within a channel"
        raise node.refusal(problem, "only one value per channel can be had")
    return np.ascontiguousarray(rows[:, 0])


def spread(values: Array, signal: Signal, node: Node, what: str) -> Array:
    """A parameter of one value, one per channel, or one per neuron, as (C, 1, 1) or (C, H, W)."""
    channels = signal.shape[0]
    if values.size == 1:
        return np.full((channels, 1, 1), values.reshape(()))
    if values.shape in ((channels,), (channels, 1, 1)) and len(signal.sizes) == 3:
        return values.reshape(channels, 1, 1)
    if values.size == math.prod(signal.shape) and (
        values.shape in (signal.sizes, signal.shape) or values.ndim == 1
    ):
        return values.reshape(signal.shape)
    raise node.refusal(f"{what} has shape {values.shape}, but its input has {signal.sizes}")


def fold(node: Node, x: Signal) -> Signal:
    """``x`` behind a node without neurons."""
    match node.kind:
        case "Conv1d" | "Conv2d":
            return _convolution(node, x)
        case "Linear" | "Affine":
            return _linear(node, x)
        case "SumPool2d" | "AvgPool2d":
            return _pooling(node, x)
        case "Flatten":
            return _flatten(node, x)
        case "Scale":
            return _scale(node, x)
        case "Identity":
            return x
        case "Delay":
            if node.array("delay").any():
                raise node.refusal("delays cannot be had", "train it without delays")
            return x
        case "Threshold":
            problem = "is a threshold without a membrane, which hardware neurons always have"
            raise node.refusal(problem, "use IF or LIF")
    raise node.refusal("is not supported", "see docs/import.md for the nodes that are")


def _scale(node: Node, x: Signal) -> Signal:
    values = spread(node.array("scale"), x, node, "its scale")
    if x.bare:
        ways = tuple(replace(w, gain=w.gain * values, name=w.name or node.name) for w in x.ways)
        return replace(x, ways=ways)
    factor = per_channel(
        np.broadcast_to(values, (x.shape[0], *values.shape[1:])), node, "its scale"
    )
    return x.scaled(factor)


def _flatten(node: Node, x: Signal) -> Signal:
    start = node.integers("start_dim")[0] if node.has("start_dim") else 1
    end = node.integers("end_dim")[0] if node.has("end_dim") else -1
    # Some writers count the batch as the first dimension.
    if start not in (0, 1) or end not in (-1, len(x.sizes) - 1, len(x.sizes)):
        raise node.refusal(f"flattens dimensions {start}..{end}", "flatten all of them")
    return replace(x, sizes=(math.prod(x.shape),))


def _pooling(node: Node, x: Signal) -> Signal:
    _expect_map(node, x)
    kernel = node.pair("kernel_size")
    stride = node.pair("stride") if node.has("stride") else kernel
    if any(node.pair("padding", 0)):
        raise node.refusal("pads its windows", "use pooling without padding")
    if min(*kernel, *stride) < 1 or kernel[0] > x.shape[1] or kernel[1] > x.shape[2]:
        raise node.refusal(f"windows {kernel} with stride {stride} do not fit into {x.sizes}")
    if not x.bare or any(way.pool is not None for way in x.ways):
        raise node.refusal("pools what no neuron has fired", BETWEEN)
    share = 1.0 if node.kind == "SumPool2d" else 1.0 / (kernel[0] * kernel[1])
    pool = Pool("sum", kernel, stride)
    ways = tuple(
        replace(
            way,
            gain=per_channel(way.gain, node, "the scale before it")[:, None, None] * share,
            pool=pool,
        )
        for way in x.ways
    )
    shape = pool.out_shape(x.shape)
    return replace(x, shape=shape, sizes=shape, ways=ways)


def _linear(node: Node, x: Signal) -> Signal:
    weight = node.array("weight")
    if weight.ndim != 2:
        raise node.refusal(f"its weight has shape {weight.shape}", "it must be a matrix")
    if len(x.sizes) != 1 and max(x.shape[1:]) > 1:
        raise node.refusal(f"works on {x.sizes}", "flatten before it")
    if weight.shape[1] != math.prod(x.shape):
        count = math.prod(x.shape)
        raise node.refusal(f"takes {weight.shape[1]} values, but {count} arrive")
    shape = (len(weight), 1, 1)
    ways = []
    for way in _bare(node, x, weight.size):
        row = np.broadcast_to(way.gain, x.shape).reshape(1, -1)
        layer = Projection("", "", "", "linear", weight * row)
        ways.append(replace(way, name=node.name, layer=layer))
    return Signal(shape, (len(weight),), tuple(ways), _bias(node, len(weight)))


def _convolution(node: Node, x: Signal) -> Signal:
    weight = node.array("weight")
    flat = node.kind == "Conv1d"
    if flat:
        if len(x.sizes) != 2 and not (len(x.sizes) == 3 and x.shape[1] == 1):
            raise node.refusal(f"its input {x.sizes} is not (channels, length)")
        if weight.ndim == 3:
            weight = weight[:, :, None, :]
    else:
        _expect_map(node, x)
    if weight.ndim != 4:
        raise node.refusal(f"its weight has shape {weight.shape}")
    groups = node.integers("groups")[0] if node.has("groups") else 1
    stride = _along(node, "stride", 1, flat)
    kernel = (weight.shape[2], weight.shape[3])
    padding = _padding(node, kernel, stride, flat)
    if _along(node, "dilation", 1, flat) != (1, 1):
        raise node.refusal("has dilation", "use dilation 1")
    channels = x.shape[0]
    if groups < 1 or channels != weight.shape[1] * groups or len(weight) % groups:
        problem = f"its weight {weight.shape} in {groups} groups does not suit {channels} channels"
        raise node.refusal(problem)
    top, left, bottom, right = padding
    room = (x.shape[1] + top + bottom - kernel[0], x.shape[2] + left + right - kernel[1])
    if min(stride) < 1 or min(room) < 0 or min(padding) < 0:
        raise node.refusal(f"its kernel {kernel} does not fit into {x.sizes}")
    ways = []
    for way in _bare(node, x, weight.size):
        gain = per_channel(way.gain, node, "the scale before it")
        # Input channel of each weight: group of the output channel, then position inside it.
        group = np.arange(len(weight)) // (len(weight) // groups)
        column = gain.reshape(groups, -1)[group][:, :, None, None]
        layer = Projection("", "", "", "conv2d", weight * column, stride, padding, groups)
        ways.append(replace(way, name=node.name, layer=layer))
    shape = (len(weight), room[0] // stride[0] + 1, room[1] // stride[1] + 1)
    if math.prod(shape) > MAX_TOTAL_VALUES:
        raise node.refusal(f"gives maps of {shape}, which are too large")
    sizes = (shape[0], shape[2]) if flat else shape
    return Signal(shape, sizes, tuple(ways), _bias(node, len(weight)))


def _bare(node: Node, x: Signal, weights: int) -> tuple[Way, ...]:
    if not x.bare:
        raise node.refusal("follows another layer without neurons between them", BETWEEN)
    if weights * len(x.ways) > MAX_WEIGHTS:
        raise node.refusal(f"has more than {MAX_WEIGHTS} weights")
    return x.ways


def _bias(node: Node, channels: int) -> Array:
    if not node.has("bias"):
        return np.zeros(channels)
    values = node.array("bias").ravel()
    if values.size not in (1, channels):
        raise node.refusal(f"has {values.size} biases for {channels} outputs")
    return np.broadcast_to(values, (channels,)).copy()


def _along(node: Node, name: str, default: int, flat: bool) -> tuple[int, int]:
    """A setting as (rows, columns); of a 1-D layer only the columns count."""
    pair = node.pair(name, default)
    return (default, pair[1]) if flat else pair


def _padding(
    node: Node, kernel: tuple[int, int], stride: tuple[int, int], flat: bool
) -> tuple[int, int, int, int]:
    """(top, left, bottom, right)."""
    text = node.text("padding")
    if text is None:
        rows, columns = _along(node, "padding", 0, flat)
        return rows, columns, rows, columns
    if text == "valid":
        return 0, 0, 0, 0
    if text != "same" or stride != (1, 1):
        raise node.refusal(f"has padding {text!r:.20} with stride {stride}", "give it as numbers")
    rows, columns = kernel[0] - 1, kernel[1] - 1
    return rows // 2, columns // 2, rows - rows // 2, columns - columns // 2


def _expect_map(node: Node, x: Signal) -> None:
    if len(x.sizes) != 3:
        raise node.refusal(f"its input {x.sizes} is not (channels, height, width)")
