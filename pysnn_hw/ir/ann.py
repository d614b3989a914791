# SPDX-License-Identifier: BSD-2-Clause
"""The trained network as it was imported: a graph of float layers, evaluated in eval mode.

Every tensor between nodes has a shape (channels, height, width); a vector of N values is (N, 1, 1).
Flattening is in C, H, W order. Graphs are immutable; passes build new ones.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pysnn_hw.errors import ModelError
from pysnn_hw.ir.ann_nodes import (
    NODE_KINDS,
    Add,
    Affine,
    Array,
    AvgPool,
    BatchNorm,
    Concat,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    Input,
    Linear,
    MaxPool,
    Node,
    Relu,
    Shape,
    Softmax,
    parameters,
)

if TYPE_CHECKING:
    import torch

__all__ = [
    "NODE_KINDS",
    "Add",
    "Affine",
    "AnnGraph",
    "Array",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Conv2d",
    "Flatten",
    "GlobalAvgPool",
    "Input",
    "Linear",
    "MaxPool",
    "Node",
    "Relu",
    "Shape",
    "Softmax",
    "check_ann",
    "check_node",
    "evaluate",
    "node_shape",
    "parameters",
    "shapes",
]

MAX_VALUES = 1 << 24
"""Largest number of values in one tensor of one image; more is a mistake or an attack."""


@dataclass(frozen=True, eq=False)
class AnnGraph:
    """Nodes in topological order, the one `Input` first; ``output`` names the class scores."""

    nodes: tuple[Node, ...]
    output: str

    @property
    def input(self) -> Input:
        """The input node."""
        first = self.nodes[0]
        if not isinstance(first, Input):
            raise ModelError(first.name, "the first node is not the input")
        return first

    def node(self, name: str) -> Node:
        """The node called ``name``."""
        return self._by_name[name]

    def producer(self, node: Node, index: int = 0) -> Node:
        """The node that feeds input ``index`` of ``node``."""
        return self._by_name[node.inputs[index]]

    def consumers(self, name: str) -> tuple[Node, ...]:
        """Nodes that read the output of ``name``, in topological order."""
        return tuple(n for n in self.nodes if name in n.inputs)

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {n.name: n for n in self.nodes}


def shapes(graph: AnnGraph) -> dict[str, Shape]:
    """Output shape of every node; raises ModelError where a layer does not fit its input."""
    found: dict[str, Shape] = {}
    for node in graph.nodes:
        found[node.name] = node_shape(node, [found[name] for name in node.inputs])
    return found


def check_ann(graph: AnnGraph) -> None:
    """Raise ModelError unless ``graph`` is well formed.

    One input, first; unique names; inputs before their readers; the output is the last node and
    everything leads to it; softmax only there; weights finite and shapes consistent.
    """
    if not graph.nodes or not isinstance(graph.nodes[0], Input):
        raise ModelError("model", "the first node must be the input")
    seen: set[str] = set()
    for node in graph.nodes:
        check_node(node)
        if node.name in seen:
            raise ModelError(node.name, "two nodes have this name")
        for name in node.inputs:
            if name not in seen:
                raise ModelError(node.name, f"reads {name!r}, which no earlier node computes")
        seen.add(node.name)
    read = {name for node in graph.nodes for name in node.inputs}
    for node in graph.nodes[:-1]:
        if isinstance(node, Input) and node is not graph.nodes[0]:
            raise ModelError(node.name, "is a second input", "a network has exactly one")
        if isinstance(node, Softmax):
            raise ModelError(node.name, "softmax is supported only as the final layer")
        if node.name not in read:
            raise ModelError(
                node.name, "nothing reads its output", "a network has exactly one output"
            )
    if graph.output != graph.nodes[-1].name:
        raise ModelError(graph.output, "the output must be the last node")
    shapes(graph)


def evaluate(
    graph: AnnGraph, x: Array, keep: Collection[str] = ()
) -> tuple[Array, dict[str, Array]]:
    """Run ``graph`` on a batch.

    Parameters
    ----------
    graph
        A graph that passes `check_ann`.
    x
        (N, C, H, W) images as the source model takes them. float32 and float64 are computed in that
        precision, anything else in float32.
    keep
        Names of nodes whose outputs are wanted too.

    Returns
    -------
    output
        (N, classes), the output in C, H, W order.
    kept
        (N, C, H, W) by node name.

    """
    import torch

    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float32)
    if x.ndim != 4 or tuple(x.shape[1:]) != graph.input.shape:
        raise ModelError(
            graph.input.name, f"takes images (N, {graph.input.shape}), not an array {x.shape}"
        )
    live = {graph.input.name: torch.from_numpy(np.ascontiguousarray(x))}
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    kept: dict[str, Array] = {}
    with torch.inference_mode():
        for i, node in enumerate(graph.nodes):
            if not isinstance(node, Input):
                live[node.name] = _apply(node, [live[name] for name in node.inputs])
            if node.name in keep:
                kept[node.name] = live[node.name].numpy()
            for name in node.inputs:
                if last_use[name] == i:
                    live.pop(name, None)
        return live[graph.output].flatten(1).numpy(), kept


def node_shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Output shape of ``node`` for inputs of these shapes; ModelError if it does not fit them."""
    shape = _shape(node, inputs)
    if min(shape) < 1:
        raise ModelError(node.name, f"its output would be empty: {shape}")
    if math.prod(shape) > MAX_VALUES:
        raise ModelError(
            node.name,
            f"its output {shape} is larger than {MAX_VALUES} values",
            "use a smaller input",
        )
    return shape


def check_node(node: Node) -> None:
    """Raise ModelError unless ``node`` has the right number of inputs and finite, valid fields."""
    arity = 0 if isinstance(node, Input) else 2 if isinstance(node, Add | Concat) else 1
    if type(node) not in NODE_KINDS:
        raise ModelError(node.name, f"{type(node).__name__} is not a kind of node")
    if len(node.inputs) < arity or (len(node.inputs) > arity and not isinstance(node, Concat)):
        raise ModelError(node.name, f"needs {arity} inputs, has {len(node.inputs)}")
    for field, values in parameters(node).items():
        if not np.isfinite(values).all():
            raise ModelError(node.name, f"{field} holds NaN or infinity", "retrain or export again")
    if isinstance(node, BatchNorm) and not (node.var + node.eps > 0).all():
        raise ModelError(node.name, "a variance plus eps is not positive")
    if isinstance(node, Relu) and node.maximum is not None and not 0 < node.maximum < math.inf:
        raise ModelError(node.name, f"the upper clip must be positive, not {node.maximum}")


def _shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    match node:
        case Input(shape=shape):
            return shape
        case Conv2d():
            return _conv_shape(node, inputs[0])
        case Linear(weight=weight):
            n = math.prod(inputs[0])
            if inputs[0][1:] != (1, 1) or weight.ndim != 2 or weight.shape[1] != n:
                raise ModelError(
                    node.name, f"weight {weight.shape} does not fit an input {inputs[0]}"
                )
            _expect_channels(node, weight.shape[0])
            return weight.shape[0], 1, 1
        case BatchNorm() | Affine():
            _expect_channels(node, inputs[0][0])
            return inputs[0]
        case AvgPool(kernel=kernel, stride=stride) | MaxPool(kernel=kernel, stride=stride):
            if min(*kernel, *stride) < 1:
                raise ModelError(node.name, f"kernel {kernel} and stride {stride} must be positive")
            c, h, w = inputs[0]
            return c, (h - kernel[0]) // stride[0] + 1, (w - kernel[1]) // stride[1] + 1
        case GlobalAvgPool():
            return inputs[0][0], 1, 1
        case Flatten():
            return math.prod(inputs[0]), 1, 1
        case Add():
            if inputs[0] != inputs[1]:
                raise ModelError(node.name, f"adds {inputs[0]} to {inputs[1]}")
            return inputs[0]
        case Concat():
            maps = {shape[1:] for shape in inputs}
            if len(maps) > 1:
                joined = " with ".join(map(str, inputs))
                raise ModelError(node.name, f"concatenates {joined}")
            return sum(shape[0] for shape in inputs), *maps.pop()
        case Softmax():
            if inputs[0][1:] != (1, 1):
                raise ModelError(node.name, f"softmax needs a vector, not {inputs[0]}")
            return inputs[0]
        case _:
            return inputs[0]


def _conv_shape(node: Conv2d, shape: Shape) -> Shape:
    c, h, w = shape
    if node.weight.ndim != 4 or node.weight.size == 0:
        raise ModelError(
            node.name, f"weight must be (out, in, height, width), not {node.weight.shape}"
        )
    co, ci, kh, kw = node.weight.shape
    if node.groups < 1 or c != ci * node.groups or co % node.groups:
        raise ModelError(
            node.name,
            f"weight {node.weight.shape} in {node.groups} groups does not fit {c} channels",
        )
    if min(node.stride) < 1 or min(node.padding) < 0:
        raise ModelError(
            node.name, f"stride {node.stride} or padding {node.padding} is out of range"
        )
    _expect_channels(node, co, skip="weight")
    top, left, bottom, right = node.padding
    return (
        co,
        (h + top + bottom - kh) // node.stride[0] + 1,
        (w + left + right - kw) // node.stride[1] + 1,
    )


def _expect_channels(node: Node, channels: int, skip: str = "weight") -> None:
    for field, values in parameters(node).items():
        if field != skip and values.shape != (channels,):
            raise ModelError(node.name, f"{field} has shape {values.shape}, expected ({channels},)")


def _apply(node: Node, inputs: list[torch.Tensor]) -> torch.Tensor:
    import torch
    from torch.nn import functional

    x = inputs[0]

    def tensor(values: Array) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float64)).to(x.dtype)

    match node:
        case Conv2d():
            top, left, bottom, right = node.padding
            bias = None if node.bias is None else tensor(node.bias)
            padded = functional.pad(x, (left, right, top, bottom)) if any(node.padding) else x
            return functional.conv2d(
                padded, tensor(node.weight), bias, stride=node.stride, groups=node.groups
            )
        case Linear():
            bias = None if node.bias is None else tensor(node.bias)
            return functional.linear(x.flatten(1), tensor(node.weight), bias)[:, :, None, None]
        case BatchNorm():
            scale, shift = node.scale_shift
            return x * tensor(scale)[:, None, None] + tensor(shift)[:, None, None]
        case Affine():
            return x * tensor(node.scale)[:, None, None] + tensor(node.shift)[:, None, None]
        case Relu():
            return x.clamp(0, node.maximum)
        case AvgPool():
            return functional.avg_pool2d(x, node.kernel, node.stride)
        case MaxPool():
            return functional.max_pool2d(x, node.kernel, node.stride)
        case GlobalAvgPool():
            return x.mean((2, 3), keepdim=True)
        case Flatten():
            return x.flatten(1)[:, :, None, None]
        case Add():
            return x + inputs[1]
        case Concat():
            return torch.cat(inputs, 1)
        case Softmax():
            return functional.log_softmax(x, 1) if node.log else functional.softmax(x, 1)
        case _:
            raise ModelError(node.name, f"{type(node).__name__} is not a kind of node")
