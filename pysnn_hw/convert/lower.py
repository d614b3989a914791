# SPDX-License-Identifier: BSD-2-Clause
"""Lower a prepared graph to populations and projections.

Walking the graph, every tensor is one of two things. `Spikes` come out of a population (or are the
input), perhaps pooled on their way. `Current` is a sum of weighted spikes and a bias; a ReLU turns
it into a new population, an addition merges two of them, and nothing else may follow it.
"""

from __future__ import annotations

import math
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
class Spikes:
    """Activations that a population sends: ``shape`` after ``pool``, still to be scaled."""

    source: str
    shape: Shape
    pool: Pool | None = None
    scale: float = 1.0


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
                return Spikes(INPUT, node.shape)
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
            case _:
                raise ModelError(
                    node.name, f"{type(node).__name__} was not folded away before lowering"
                )

    def weighted(self, node: Conv2d | Linear) -> Current:
        spikes = self.spikes_into(node)
        bias = np.zeros(len(node.weight)) if node.bias is None else node.bias.astype(np.float64)
        weight = node.weight.astype(np.float64) * spikes.scale
        if isinstance(node, Linear):
            projection = Projection(
                node.name, spikes.source, UNASSIGNED, "linear", weight, pool=spikes.pool
            )
        elif spikes.shape != self.shapes[node.inputs[0]]:
            raise ModelError(
                node.name, "is a convolution behind a flattening", "make it a linear layer"
            )
        else:
            projection = Projection(
                node.name,
                spikes.source,
                UNASSIGNED,
                "conv2d",
                weight,
                stride=node.stride,
                padding=node.padding,
                groups=node.groups,
                pool=spikes.pool,
            )
        return Current((projection,), bias)

    def relu(self, node: Relu) -> Spikes:
        value = self.value_into(node)
        if isinstance(value, Spikes) and value.source != INPUT and node.maximum is None:
            return value  # spikes are never negative
        return self.close(
            node.name, "fire", self.as_current(node.name, value, node.inputs[0]), node.maximum
        )

    def pooled(self, node: AvgPool | MaxPool | GlobalAvgPool) -> Spikes:
        spikes = self.unpooled(node, self.spikes_into(node))
        if isinstance(node, GlobalAvgPool):
            kernel = stride = spikes.shape[1:]
        else:
            kernel, stride = node.kernel, node.stride
        shape = self.shapes[node.name]
        if isinstance(node, MaxPool):
            return Spikes(spikes.source, shape, Pool("max", kernel, stride))
        return Spikes(spikes.source, shape, Pool("sum", kernel, stride), 1 / math.prod(kernel))

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
        channels = value.shape[0]
        if value.shape != self.shapes[source]:
            raise ModelError(name, f"reads the flattened {source!r} without weights")
        projection = Projection(
            f"{source}_to_{name}",
            value.source,
            UNASSIGNED,
            "identity",
            np.full(channels, value.scale),
            pool=value.pool,
        )
        return Current((projection,), np.zeros(channels))

    def unpooled(self, node: Node, spikes: Spikes) -> Spikes:
        """``spikes`` without pooling, through a population of their own if need be."""
        if spikes.pool is None:
            return spikes
        name = node.inputs[0]
        if spikes.source == INPUT:
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
        self.projections += [
            replace(p, name=self.unique(p.name), target=name) for p in current.projections
        ]
        return Spikes(name, shape)

    def unique(self, name: str) -> str:
        taken = {p.name for p in self.projections}
        names = (name if i == 0 else f"{name}_{i}" for i in count())
        return next(n for n in names if n not in taken)
