# SPDX-License-Identifier: BSD-2-Clause
"""A NIR graph as named nodes and edges, in order of computation and without graphs inside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import MAX_NODES, Array, printable

IDENTITY = "Identity"
MAX_RANK = 5
MAX_SIZE = 1 << 20
"""Largest size, stride or padding."""
MAX_DEPTH = 8
"""Deepest nesting of graphs."""


@dataclass(frozen=True, eq=False)
class Node:
    """One node; its reading methods raise ModelError naming it.

    Attributes
    ----------
    where
        File, name and kind, for messages.
    fields
        Numeric arrays of any shape, and texts.
    """

    name: str
    kind: str
    where: str
    fields: Mapping[str, Any]

    def refusal(self, problem: str, hint: str = "") -> ModelError:
        """An error about this node."""
        return ModelError(self.where, problem, hint)

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        return self.fields.get(name) is not None

    def text(self, name: str) -> str | None:
        """The field if it is a text."""
        value = self.fields.get(name)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return value if isinstance(value, str) else None

    def array(self, name: str) -> Array:
        """The field as float64, of finite values and at least one."""
        value = self.fields.get(name)
        if value is None:
            raise self.refusal(f"its {name} is missing")
        values = np.asarray(value)
        if values.dtype.kind not in "fiub" or values.ndim > MAX_RANK or not values.size:
            raise self.refusal(f"its {name} is not an array of numbers")
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            raise self.refusal(f"its {name} has a value that is not finite")
        return values

    def integers(self, name: str) -> tuple[int, ...]:
        """The field as integers, flattened; each within -`MAX_SIZE` .. `MAX_SIZE`."""
        values = self.array(name).ravel()
        if values.size > 2 * MAX_RANK or (np.abs(values) > MAX_SIZE).any() or (values % 1).any():
            raise self.refusal(f"its {name} is not one or a few integers of sensible size")
        return tuple(int(v) for v in values)

    def pair(self, name: str, default: int | None = None) -> tuple[int, int]:
        """One integer for both, or (rows, columns)."""
        if default is not None and not self.has(name):
            return default, default
        values = self.integers(name)
        if len(values) > 2:
            raise self.refusal(f"its {name} {values} is neither one nor two integers")
        return values[0], values[-1]

    def shape(self, name: str) -> tuple[int, ...]:
        """The field as a shape of positive sizes."""
        sizes = self.integers(name)
        if min(sizes) < 1:
            raise self.refusal(f"its {name} {sizes} has a size below 1")
        return sizes


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in order of computation; edges as the names of the nodes that lead to each."""

    where: str
    nodes: tuple[Node, ...]
    sources: Mapping[str, tuple[str, ...]]
    metadata: Mapping[str, Any]

    def one(self, kind: str) -> Node:
        """The only node of ``kind``."""
        found = [node for node in self.nodes if node.kind == kind]
        if len(found) != 1:
            raise ModelError(self.where, f"has {len(found)} nodes of type {kind}, not one")
        return found[0]


def graph_of(tree: Mapping[str, Any], where: str) -> Graph:
    """The graph in nested plain data, as files hold it and the `nir` package's ``to_dict`` gives.

    Graphs inside the graph are put in its place; their Input and Output become identities.

    Raises
    ------
    ModelError
        If it is malformed, or computes in a loop.
    """
    nodes, edges = _flat(tree, where, MAX_DEPTH)
    if len(nodes) > MAX_NODES:
        raise ModelError(where, f"has more than {MAX_NODES} nodes")
    names = {node.name for node in nodes}
    if len(names) < len(nodes):
        raise ModelError(where, "two nodes have one name")
    sources: dict[str, list[str]] = {name: [] for name in sorted(names)}
    for source, target in edges:
        for end in (source, target):
            if end not in names:
                raise ModelError(where, f"an edge names {printable(end)!r}, which is no node")
        if source in sources[target]:
            raise ModelError(where, f"the edge {printable(source)} -> {printable(target)} is twice")
        sources[target].append(source)
    try:
        order = list(TopologicalSorter(sources).static_order())
    except CycleError as error:
        loop = " -> ".join(printable(name) for name in reversed(error.args[1][:6]))
        problem = f"is recurrent ({loop}), and the hardware computes in one direction only"
        raise ModelError(where, problem, "train it without recurrent connections") from error
    by_name = {node.name: node for node in nodes}
    metadata = tree.get("metadata")
    return Graph(
        where,
        tuple(by_name[name] for name in order),
        {name: tuple(found) for name, found in sources.items()},
        metadata if isinstance(metadata, Mapping) else {},
    )


def _flat(
    tree: Mapping[str, Any], where: str, depth: int
) -> tuple[list[Node], list[tuple[str, str]]]:
    """Nodes and edges of a graph and of those inside it."""
    if depth == 0:
        raise ModelError(where, "nests graphs in graphs too deeply")
    kind, found, pairs = tree.get("type"), tree.get("nodes"), tree.get("edges")
    if _text(kind) != "NIRGraph" or not isinstance(found, Mapping):
        raise ModelError(where, "holds no NIR graph (no group of nodes)")
    nodes: list[Node] = []
    edges: list[tuple[str, str]] = []
    # What outer edges lead to: of a graph its Input, and from there its Output.
    entries: dict[str, str] = {}
    exits: dict[str, str] = {}
    for name, fields in found.items():
        node = _node(str(name), fields, where)
        if node.kind != "NIRGraph":
            nodes.append(node)
            continue
        inner, inner_edges = _flat(fields, node.where, depth - 1)
        prefix = f"{name}."
        for ends, end_kind in ((entries, "Input"), (exits, "Output")):
            ends[str(name)] = prefix + _only(inner, end_kind, node.where).name
        nodes += [_inlined(part, prefix) for part in inner]
        edges += [(prefix + source, prefix + target) for source, target in inner_edges]
    for source, target in _edges(pairs, where):
        edges.append((exits.get(source, source), entries.get(target, target)))
    return nodes, edges


def _inlined(node: Node, prefix: str) -> Node:
    kind = IDENTITY if node.kind in ("Input", "Output") else node.kind
    return replace(node, name=prefix + node.name, kind=kind)


def _only(nodes: Sequence[Node], kind: str, where: str) -> Node:
    found = [node for node in nodes if node.kind == kind]
    if len(found) != 1:
        raise ModelError(where, f"has {len(found)} nodes of type {kind}, not one")
    return found[0]


def _node(name: str, fields: Any, where: str) -> Node:
    kind = _text(fields.get("type")) if isinstance(fields, Mapping) else None
    if not name or kind is None:
        raise ModelError(where, f"the node {printable(name)!r} has no type")
    return Node(name, kind, f"{where}, {printable(name)} ({printable(kind)})", fields)


def _edges(pairs: Any, where: str) -> Iterator[tuple[str, str]]:
    if not isinstance(pairs, Sequence) or isinstance(pairs, str | bytes):
        raise ModelError(where, "holds no list of edges")
    for pair in pairs:
        ends = [_text(end) for end in pair] if isinstance(pair, Sequence) else []
        if len(ends) != 2 or ends[0] is None or ends[1] is None:
            raise ModelError(where, "an edge is not a pair of names")
        yield ends[0], ends[1]


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None
