# SPDX-License-Identifier: BSD-2-Clause
"""Move a ReLU in front of the max pooling, flattening or concatenation that it follows.

Clipping is monotonic and acts value by value, so the two commute exactly. Neurons come before
pooling in a spiking network.
"""

from __future__ import annotations

from dataclasses import replace

from pysnn_hw.convert.rewrite import split
from pysnn_hw.ir.ann import AnnGraph, Concat, Flatten, MaxPool, Node, Relu


def hoist_relu(graph: AnnGraph) -> AnnGraph:
    """The same function with every ReLU as early as possible."""
    while pair := _next_pair(graph):
        graph = _swap(graph, *pair)
    return graph


def _next_pair(graph: AnnGraph) -> tuple[Node, Node] | None:
    for relu in graph.nodes:
        if isinstance(relu, Relu):
            before = graph.producer(relu)
            if (
                isinstance(before, MaxPool | Flatten | Concat)
                and len(graph.consumers(before.name)) == 1
            ):
                return before, relu
    return None


def _swap(graph: AnnGraph, before: Node, relu: Node) -> AnnGraph:
    if isinstance(before, Concat):
        return split(graph, before, relu, [relu] * len(before.inputs))
    first, second = replace(relu, inputs=before.inputs), replace(before, inputs=(relu.name,))
    nodes: list[Node] = []
    for node in graph.nodes:
        if node is before:
            nodes += [first, second]
        elif node is not relu:
            inputs = tuple(before.name if i == relu.name else i for i in node.inputs)
            nodes.append(replace(node, inputs=inputs))
    return AnnGraph(tuple(nodes), before.name if graph.output == relu.name else graph.output)
