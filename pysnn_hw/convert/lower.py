# SPDX-License-Identifier: BSD-2-Clause
"""Lower a prepared graph to populations and projections.

Walking the graph, every tensor is one of two things. `Spikes` come out of populations (or are the
input), perhaps pooled on their way; a concatenation is several of them, side by side. `Current` is
a sum of weighted spikes and a bias; a ReLU turns it into a new population, an addition merges two
of them, and nothing else may follow it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

import numpy as np

from pysnn_hw.convert.skeleton import Layer, Skeleton
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.ann import (
    Add,
    AnnGraph,
    AvgPool,
    Concat,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    Input,
    Linear,
    MaxPool,
    Node,
    Relu,
    shapes,
)
from pysnn_hw.ir.snn import INPUT, Array, Pool, Projection, Shape

HINT_RELU = "put a ReLU between them"
UNASSIGNED = ""


@dataclass(frozen=True, eq=False)
class Part:
    """Activations that one population sends: ``shape`` after ``pool``, still to be scaled."""

    source: str
    shape: Shape
    pool: Pool | None = None
    scale: float = 1.0


Spikes = tuple[Part, ...]
"""Parts one after the other along the channels."""


@dataclass(frozen=True, eq=False)
class Current:
    """What flows into a population that does not exist yet (targets are unassigned)."""

    projections: tuple[Projection, ...]
    bias: Array


def lower(graph: AnnGraph) -> Skeleton:
    """Populations and projections of a prepared graph (see `prepare`).

    A convolution or linear layer and its ReLU become a population; so do an addition and its ReLU,
    with one projection per branch, where a branch without weights becomes an identity. Average and
    max pooling ride on the projections that read them. The output becomes the readout.

    Raises
    ------
    ModelError
        Names the first layer that has no spiking equivalent, why, and what to do.
    """
    return _Lowering(graph).run()


class _Lowering:
    def __init__(self, graph: AnnGraph) -> None:
        self.graph = graph
        self.shapes = shapes(graph)
        self.layers: list[Layer] = []
        self.projections: list[Projection] = []
        self.values: dict[str, Spikes | Current] = {}

    def run(self) -> Skeleton:
        for node in self.graph.nodes:
            self.values[node.name] = self.lower_node(node)
        output = self.graph.output
        current = self.as_current(output, self.values[output], output)
        self.close(output, "readout", current, None)
        return Skeleton(self.graph.input.shape, tuple(self.layers), tuple(self.projections))

    def lower_node(self, node: Node) -> Spikes | Current:
        match node:
            case Input():
                return (Part(INPUT, node.shape),)
            case Conv2d() | Linear():
                return self.weighted(node)
            case Relu():
                return self.relu(node)
            case AvgPool() | MaxPool() | GlobalAvgPool():
                return self.pooled(node)
            case Flatten():
                return self.flattened(node)
            case Add():
                return self.added(node)
            case Concat():
                return self.concatenated(node)
            case _:
                raise ModelError(
                    node.name, f"{type(node).__name__} was not folded away before lowering"
                )

    def weighted(self, node: Conv2d | Linear) -> Current:
        spikes = self.spikes_into(node)
        bias = np.zeros(len(node.weight)) if node.bias is None else node.bias.astype(np.float64)
        if isinstance(node, Linear):
            sizes = [math.prod(part.shape) for part in spikes]
            blocks = np.split(node.weight, np.cumsum(sizes)[:-1], axis=1)
            projections = [_linear(node, *each) for each in zip(spikes, blocks, strict=True)]
        elif _is_map(spikes, self.shapes[node.inputs[0]]):
            projections = [_conv(node, part, w, g) for part, w, g in _conv_blocks(node, spikes)]
        else:
            raise ModelError(
                node.name, "is a convolution behind a flattening", "make it a linear layer"
            )
        return Current(tuple(projections), bias)

    def relu(self, node: Relu) -> Spikes:
        value = self.value_into(node)
        sent = () if isinstance(value, Current) else value
        # Spikes are never negative, so that there is nothing to clip.
        if sent and node.maximum is None and all(part.source != INPUT for part in sent):
            return sent
        return self.close(
            node.name, "fire", self.as_current(node.name, value, node.inputs[0]), node.maximum
        )

    def pooled(self, node: AvgPool | MaxPool | GlobalAvgPool) -> Spikes:
        spikes = self.unpooled(node, self.spikes_into(node))
        source, shape = self.shapes[node.inputs[0]], self.shapes[node.name]
        if not _is_map(spikes, source):
            raise ModelError(node.name, "pools behind a flattening", "pool the map instead")
        if isinstance(node, GlobalAvgPool):
            kernel = stride = source[1:]
        else:
            kernel, stride = node.kernel, node.stride
        largest = isinstance(node, MaxPool)
        pool = Pool("max" if largest else "sum", kernel, stride)
        scale = 1.0 if largest else 1 / math.prod(kernel)
        return tuple(Part(part.source, (part.shape[0], *shape[1:]), pool, scale) for part in spikes)

    def flattened(self, node: Flatten) -> Spikes | Current:
        value = self.value_into(node)
        if isinstance(value, Current) and self.shapes[node.inputs[0]][1:] != (1, 1):
            raise ModelError(node.name, f"flattens {node.inputs[0]!r} before its ReLU", HINT_RELU)
        return value  # the synapses read the source in the same C, H, W order

    def added(self, node: Add) -> Current:
        first, second = (
            self.as_current(node.name, self.values[name], name) for name in node.inputs
        )
        return Current(first.projections + second.projections, first.bias + second.bias)

    def concatenated(self, node: Concat) -> Spikes:
        parts: list[Part] = []
        for name in node.inputs:
            value = self.values[name]
            if isinstance(value, Current):
                raise ModelError(
                    node.name,
                    f"joins {name!r}, which has no ReLU, so there are no spikes to join",
                    "put a ReLU after each layer that it joins",
                )
            parts += value
        return tuple(parts)

    def value_into(self, node: Node) -> Spikes | Current:
        return self.values[node.inputs[0]]

    def spikes_into(self, node: Node) -> Spikes:
        value = self.value_into(node)
        if isinstance(value, Current):
            raise ModelError(
                node.name,
                f"follows {node.inputs[0]!r} with no ReLU in between, so there is no neuron",
                HINT_RELU,
            )
        return value

    def as_current(self, name: str, value: Spikes | Current, source: str) -> Current:
        """``value``, the output of node ``source``, as the current into node ``name``."""
        if isinstance(value, Current):
            if len(self.graph.consumers(source)) > 1:
                raise ModelError(
                    source,
                    "its output is used twice before a ReLU",
                    "let both readers follow a ReLU",
                )
            return value
        shape = self.shapes[source]
        if not _is_map(value, shape):
            raise ModelError(name, f"reads the flattened {source!r} without weights")
        if len(value) == 1:
            weights = [np.full(shape[0], value[0].scale)]
        else:
            rows = np.split(np.eye(shape[0]), np.cumsum([part.shape[0] for part in value])[:-1])
            weights = [
                part.scale * row.T[:, :, None, None] for part, row in zip(value, rows, strict=True)
            ]
        projections = tuple(
            Projection(
                f"{source}_to_{name}",
                part.source,
                UNASSIGNED,
                "identity" if len(value) == 1 else "conv2d",
                weight,
                pool=part.pool,
            )
            for part, weight in zip(value, weights, strict=True)
        )
        return Current(projections, np.zeros(shape[0]))

    def unpooled(self, node: Node, spikes: Spikes) -> Spikes:
        """``spikes`` without pooling, through a population of their own if need be."""
        if all(part.pool is None for part in spikes):
            return spikes
        name = node.inputs[0]
        if any(part.source == INPUT for part in spikes):
            raise ModelError(node.name, f"pools the input a second time, after {name!r}")
        fresh = self.close(name, "fire", self.as_current(name, spikes, name), None)
        self.values[name] = fresh
        return fresh

    def close(
        self, name: str, kind: Literal["fire", "readout"], current: Current, ceiling: float | None
    ) -> Spikes:
        """Make ``current`` flow into a new population called ``name``."""
        shape = self.shapes[name]
        self.layers.append(Layer(name, kind, shape, current.bias, ceiling))
        for p in current.projections:
            self.projections.append(replace(p, name=self.unique(p.name), target=name))
        return (Part(name, shape),)

    def unique(self, name: str) -> str:
        taken = {p.name for p in self.projections}
        names = (name if i == 0 else f"{name}_{i}" for i in count())
        return next(n for n in names if n not in taken)


def _is_map(spikes: Spikes, shape: Shape) -> bool:
    """Whether ``spikes`` are still the map of ``shape`` that the graph sees, not flattened."""
    channels = sum(part.shape[0] for part in spikes)
    return channels == shape[0] and all(part.shape[1:] == shape[1:] for part in spikes)


def _linear(node: Linear, part: Part, weight: Array) -> Projection:
    scaled = weight.astype(np.float64) * part.scale
    return Projection(node.name, part.source, UNASSIGNED, "linear", scaled, pool=part.pool)


def _conv(node: Conv2d, part: Part, weight: Array, groups: int) -> Projection:
    return Projection(
        node.name,
        part.source,
        UNASSIGNED,
        "conv2d",
        weight.astype(np.float64) * part.scale,
        stride=node.stride,
        padding=node.padding,
        groups=groups,
        pool=part.pool,
    )


def _conv_blocks(node: Conv2d, spikes: Spikes) -> Iterator[tuple[Part, Array, int]]:
    """Weight and groups for each part; groups of several parts are spelled out with zeros."""
    if len(spikes) == 1:
        yield spikes[0], node.weight, node.groups
        return
    c_out, per_group, *kernel = node.weight.shape
    dense = np.zeros((c_out, per_group * node.groups, *kernel))
    for group, rows in enumerate(np.split(np.arange(c_out), node.groups)):
        first = group * per_group
        dense[rows, first : first + per_group] = node.weight[rows]
    blocks = np.split(dense, np.cumsum([part.shape[0] for part in spikes])[:-1], axis=1)
    for part, block in zip(spikes, blocks, strict=True):
        yield part, block, 1
