# SPDX-License-Identifier: BSD-2-Clause
"""Collects the nodes of an `AnnGraph` while a frontend walks its source model.

A frontend never stops at the first thing it cannot import: it wraps each layer in
`GraphBuilder.attempt`, which records the refusal and lets the walk go on with an output of unknown
shape. Layers that depend on such an output are still checked as far as their own settings go.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pysnn_hw.errors import ModelError
from pysnn_hw.ir.ann import (
    AnnGraph,
    Conv2d,
    Input,
    Node,
    Shape,
    check_ann,
    check_node,
    node_shape,
    parameters,
)

Array = npt.NDArray[Any]

MAX_NODES = 10_000
"""Largest number of layers."""
MAX_TOTAL_VALUES = 1 << 26
"""Largest number of values in all tensors of one batch together."""
MAX_WEIGHTS = 1 << 25
"""Largest number of parameters of all layers together (shared ones count for every layer)."""
MAX_PATCH_VALUES = 1 << 24
"""Largest number of values of one convolution's input patches: what a plain evaluation unrolls."""
MAX_MACS = 1 << 33
"""Largest number of multiply-accumulates of one batch."""


SMALLER = "use a smaller input or a smaller network"


@dataclass(frozen=True)
class Unsupported:
    """A node of the source model that cannot be imported: its name, op, why, and what to do."""

    node: str
    op: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.node} ({self.op}): {self.problem}" + (self.remedy and f"; {self.remedy}")


class Refusal(Exception):
    """A layer cannot be imported; becomes an `Unsupported`."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem, self.remedy = problem, remedy
        super().__init__(problem)


class Unresolved(Exception):
    """The shape of an input is unknown, because an earlier layer was refused."""


@dataclass(frozen=True)
class Tensor:
    """An activation of the source model.

    ``node`` computes it; ``rank`` is its number of dimensions in the source, batch included: 4 for
    (N, C, H, W), 2 for (N, K); dimensions
    left out have size 1. Reading the shape or rank of an unknown one raises `Unresolved`.
    """

    node: str
    known_shape: Shape | None
    known_rank: int | None

    @property
    def shape(self) -> Shape:
        """(C, H, W)."""
        if self.known_shape is None:
            raise Unresolved
        return self.known_shape

    @property
    def rank(self) -> int:
        """Dimensions in the source model, batch included."""
        if self.known_rank is None:
            raise Unresolved
        return self.known_rank

    @property
    def source_shape(self) -> tuple[int, ...]:
        """Dimensions in the source model without the batch."""
        return self.shape[: self.rank - 1]


UNKNOWN = Tensor("", None, None)
Value = Tensor | Array | int | float | None
"""What a name in the source model may stand for: an activation, or a constant."""
T = TypeVar("T", bound=Value)


class GraphBuilder:
    """The nodes so far, and what could not be imported.

    Parameters
    ----------
    shape
        The image, without the batch dimension: (C, H, W), or (K,) for a vector.
    batch
        Number of images that the source model sees at once (reshapes name it).

    Attributes
    ----------
    problems
        What could not be imported so far.
    zero_paddings, selections
        Names of 1x1 convolutions that only pad with zeros, or only pick channels and pixels; the
        next layer absorbs them.

    """

    def __init__(self, shape: Sequence[int], batch: int) -> None:
        if len(shape) not in (1, 3) or not all(isinstance(n, int) and n > 0 for n in shape):
            raise ModelError(
                "input", f"has shape {tuple(shape)}", "it must be (channels, height, width) or (K,)"
            )
        if not 1 <= batch <= 64:
            raise ModelError("input", f"batch size {batch} is not in 1..64", "export with batch 1")
        self.batch = batch
        self.problems: list[Unsupported] = []
        self.zero_paddings: set[str] = set()
        self.selections: set[str] = set()
        self._nodes: dict[str, Node] = {}
        self._tensors: dict[str, Tensor] = {}
        self._names: Counter[str] = Counter()
        self._spent: Counter[str] = Counter()
        full = (shape[0], 1, 1) if len(shape) == 1 else (shape[0], shape[1], shape[2])
        try:
            self.input = self.emit(Input, "input", [], rank=len(shape) + 1, shape=full)
        except Refusal as refusal:
            raise ModelError("input", refusal.problem, refusal.remedy) from refusal

    def node(self, x: Tensor) -> Node:
        """The node that computes ``x``."""
        if x.known_shape is None:
            raise Unresolved
        return self._nodes[x.node]

    def tensor(self, node: str) -> Tensor:
        """The activation that the node called ``node`` computes."""
        return self._tensors[node]

    def emit(
        self, kind: type[Node], hint: str, inputs: Sequence[Tensor], *, rank: int, **fields: Any
    ) -> Tensor:
        """Add a node named after ``hint``; its shape is checked against its inputs."""
        shapes = [x.shape for x in inputs]
        node = kind(self._unique(hint), tuple(x.node for x in inputs), **fields)
        try:
            check_node(node)
            shape = node_shape(node, shapes)
        except ModelError as error:
            raise Refusal(error.problem, error.hint) from error
        self._account(node, shape)
        self._nodes[node.name] = node
        self._tensors[node.name] = Tensor(node.name, shape, rank)
        return self._tensors[node.name]

    def attempt(self, name: str, op: str, layer: Callable[[], Value]) -> Value:
        """Run ``layer``; if it refuses, record that for the source node ``name`` and go on."""
        try:
            # Damaged weights overflow; the check of every node then finds them.
            with np.errstate(all="ignore"):
                return layer()
        except Refusal as refusal:
            self.refuse(name, op, refusal.problem, refusal.remedy)
        except Unresolved:
            pass
        return UNKNOWN

    def refuse(self, name: str, op: str, problem: str, remedy: str = "") -> None:
        """Record that the source node ``name`` cannot be imported."""
        self.problems.append(Unsupported(printable(name), printable(op), problem, remedy))

    def finish(self, output: Value) -> AnnGraph | None:
        """The graph that computes ``output``, or None if something was refused (see `problems`)."""
        if isinstance(output, Tensor) and output is not UNKNOWN and not self.problems:
            nodes = tuple(self._needed(output.node))
            graph = AnnGraph(nodes, output.node)
            try:
                check_ann(graph)
            except ModelError as error:
                self.refuse(error.where, "graph", error.problem, error.hint)
            if len(nodes) < 2:
                self.refuse(output.node, "output", "is the input itself: there are no layers")
            elif output.shape[1:] != (1, 1):
                problem = f"the result is a map {output.shape}, not a vector of class scores"
                self.refuse(output.node, "output", problem, "end with pooling, Flatten or Linear")
            return None if self.problems else graph
        if not self.problems:
            self.refuse("output", "output", "is not computed from the input")
        return None

    def _needed(self, output: str) -> list[Node]:
        """Nodes that ``output`` depends on, in order; the input always counts."""
        wanted = {output, self.input.node}
        for node in reversed(self._nodes.values()):
            if node.name in wanted:
                wanted.update(node.inputs)
        return [node for node in self._nodes.values() if node.name in wanted]

    def _unique(self, hint: str) -> str:
        base = re.sub(r"[^A-Za-z0-9_.]+", "_", hint).strip("_.")[:60] or "layer"
        name = base
        while name in self._nodes:
            self._names[base] += 1
            name = f"{base}_{self._names[base] + 1}"
        return name

    def _account(self, node: Node, shape: Shape) -> None:
        """Refuse what would take too long or too much memory to evaluate."""
        spent = self._spent
        spent["layers"] += 1
        spent["values in tensors"] += self.batch * math.prod(shape)
        spent["weights"] += sum(values.size for values in parameters(node).values())
        patches = 0
        if isinstance(node, Conv2d):
            co, ci, kh, kw = node.weight.shape
            pixels = self.batch * kh * kw * shape[1] * shape[2]
            patches = ci * node.groups * pixels
            spent["multiply-accumulates"] += co * ci * pixels
        limits = {
            "layers": MAX_NODES,
            "values in tensors": MAX_TOTAL_VALUES,
            "weights": MAX_WEIGHTS,
            "multiply-accumulates": MAX_MACS,
        }
        for what, limit in limits.items():
            if spent[what] > limit:
                raise Refusal(f"with it the network has more than {limit} {what}", SMALLER)
        if patches > MAX_PATCH_VALUES:
            raise Refusal(f"unrolls to {patches} values, over {MAX_PATCH_VALUES}", SMALLER)


def printable(text: str) -> str:
    """``text`` from a file, fit for a one-line message."""
    clean = "".join(c if c.isprintable() else "?" for c in text[:81])
    return clean if len(text) <= 80 else clean[:77] + "..."


def float_array(values: Array) -> Array:
    """``values`` as float64, whatever their floating type was."""
    return np.ascontiguousarray(values, dtype=np.float64)
