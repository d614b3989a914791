# SPDX-License-Identifier: BSD-2-Clause
"""The layers of an imported network, one frozen dataclass per kind.

Every tensor between nodes has a shape (channels, height, width); a vector of N values is (N, 1, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, int, int]
"""(channels, height, width)."""


@dataclass(frozen=True, eq=False)
class Node:
    """One layer: its unique ``name`` and the names of the nodes that feed it."""

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Input(Node):
    """The image, (C, H, W); has no inputs."""

    shape: Shape


@dataclass(frozen=True, eq=False)
class Conv2d(Node):
    """Grouped 2-D cross-correlation with zero padding.

    ``weight`` is float64 (C_out, C_in / groups, kh, kw), ``bias`` (C_out,) or None, ``stride``
    (rows, columns), ``padding`` (top, left, bottom, right).
    """

    weight: Array
    bias: Array | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Linear(Node):
    """``y = weight @ x + bias`` of a vector; ``weight`` is float64 (N_out, N_in)."""

    weight: Array
    bias: Array | None = None


@dataclass(frozen=True, eq=False)
class BatchNorm(Node):
    """``y = (x - mean) / sqrt(var + eps) * gamma + beta``, each (C,) float64."""

    gamma: Array
    beta: Array
    mean: Array
    var: Array
    eps: float

    @property
    def scale_shift(self) -> tuple[Array, Array]:
        """The same layer as ``y = x * scale + shift``."""
        scale = self.gamma / np.sqrt(self.var + self.eps)
        return scale, self.beta - self.mean * scale


@dataclass(frozen=True, eq=False)
class Affine(Node):
    """``y = x * scale + shift`` with constants of shape (C,) each: a normalisation."""

    scale: Array
    shift: Array


@dataclass(frozen=True, eq=False)
class Relu(Node):
    """``y = min(max(x, 0), maximum)``; ``maximum`` None means unbounded."""

    maximum: float | None = None


@dataclass(frozen=True, eq=False)
class AvgPool(Node):
    """Mean over windows, without padding; windows that leave the map are dropped."""

    kernel: tuple[int, int]
    stride: tuple[int, int]


@dataclass(frozen=True, eq=False)
class MaxPool(Node):
    """Maximum over windows, without padding; windows that leave the map are dropped."""

    kernel: tuple[int, int]
    stride: tuple[int, int]


@dataclass(frozen=True, eq=False)
class GlobalAvgPool(Node):
    """Mean over height and width: (C, H, W) to (C, 1, 1)."""


@dataclass(frozen=True, eq=False)
class Flatten(Node):
    """(C, H, W) to (C * H * W, 1, 1), in C, H, W order."""


@dataclass(frozen=True, eq=False)
class Add(Node):
    """Sum of two tensors of one shape: the end of a residual block."""


@dataclass(frozen=True, eq=False)
class Concat(Node):
    """Tensors of one height and width, one after the other along their channels."""


@dataclass(frozen=True, eq=False)
class Softmax(Node):
    """Softmax over channels of the final vector (its logarithm if ``log``); keeps the argmax."""

    log: bool = False


NODE_KINDS: tuple[type[Node], ...] = (
    Input,
    Conv2d,
    Linear,
    BatchNorm,
    Affine,
    Relu,
    AvgPool,
    MaxPool,
    GlobalAvgPool,
    Flatten,
    Add,
    Concat,
    Softmax,
)
"""Every kind of node that a graph may hold; a pass that matches on all of them is complete."""


def parameters(node: Node) -> dict[str, Array]:
    """The arrays of ``node`` by field name."""
    return {k: v for k, v in vars(node).items() if isinstance(v, np.ndarray)}
