# SPDX-License-Identifier: BSD-2-Clause
"""Small edits of an `AnnGraph` that the passes share; each returns a new graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pysnn_hw.ir.ann import AnnGraph, Concat, Node


def remove(graph: AnnGraph, name: str) -> AnnGraph:
    """``graph`` without the single-input node ``name``: its readers read its producer."""
    (source,) = graph.node(name).inputs
    nodes = tuple(
        replace(n, inputs=tuple(source if i == name else i for i in n.inputs))
        for n in graph.nodes
        if n.name != name
    )
    return AnnGraph(nodes, source if graph.output == name else graph.output)


def substitute(graph: AnnGraph, new: Mapping[str, Node]) -> AnnGraph:
    """``graph`` with the nodes named in ``new`` replaced."""
    return replace(graph, nodes=tuple(new.get(n.name, n) for n in graph.nodes))


def split(graph: AnnGraph, concat: Concat, layer: Node, pieces: Sequence[Node]) -> AnnGraph:
    """``graph`` with ``pieces``, one on each input of ``concat``, in place of ``layer`` behind it.

    ``layer`` works value by value and alone reads ``concat``; the names and inputs of the pieces
    are set here.
    """
    taken = {node.name for node in graph.nodes}
    named: list[Node] = []
    for piece, source in zip(pieces, concat.inputs, strict=True):
        free = (f"{layer.name}_{k}" for k in range(len(named), len(taken) + len(pieces)))
        name = next(n for n in free if n not in taken)
        taken.add(name)
        named.append(replace(piece, name=name, inputs=(source,)))
    nodes: list[Node] = []
    for node in graph.nodes:
        if node is concat:
            nodes += [*named, replace(concat, inputs=tuple(piece.name for piece in named))]
        elif node is not layer:
            inputs = tuple(concat.name if i == layer.name else i for i in node.inputs)
            nodes.append(replace(node, inputs=inputs))
    return AnnGraph(tuple(nodes), concat.name if graph.output == layer.name else graph.output)
