# SPDX-License-Identifier: BSD-2-Clause
"""Small edits of an `AnnGraph` that the passes share; each returns a new graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pysnn_hw.ir.ann import AnnGraph, Node


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
