# SPDX-License-Identifier: BSD-2-Clause
"""Drop the softmax at the end: it is monotonic, so the class stays the same."""

from __future__ import annotations

from pysnn_hw.convert.rewrite import remove
from pysnn_hw.ir.ann import AnnGraph, Softmax


def drop_softmax(graph: AnnGraph) -> AnnGraph:
    """``graph`` whose output is the argument of its final softmax (or log-softmax)."""
    while isinstance(graph.node(graph.output), Softmax):
        graph = remove(graph, graph.output)
    return graph
