# SPDX-License-Identifier: BSD-2-Clause
"""The layers that every frontend can import, each as one function that adds its nodes.

All take the builder, a name for the new node and the source's settings, and refuse (raise
`Refusal`) what an `AnnGraph` cannot express exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pysnn_hw.frontend.builder import Array, GraphBuilder, Refusal, Tensor, Value, float_array
from pysnn_hw.ir.ann import (
    Add,
    Affine,
    AvgPool,
    BatchNorm,
    Concat,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    Linear,
    Node,
    Relu,
    Softmax,
)

UNBOUNDED = 1e30
"""A clip at or above this is none: exporters write the largest float for "no limit"."""
MAX_SELECTION = 1 << 22
"""Largest 0/1 matrix that stands for a selection of channels."""


def conv2d(
    b: GraphBuilder,
    name: str,
    x: Tensor,
    weight: Array,
    bias: Array | None,
    *,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """Convolution; ``padding`` is (top, left, bottom, right)."""
    if weight.ndim != 4:
        raise Refusal(
            f"is a {weight.ndim - 2}-D convolution", "only 2-D convolutions are supported"
        )
    if any(d != 1 for d in dilation):
        raise Refusal(f"has dilation {tuple(dilation)}", "use dilation 1")
    expect_map(x)
    source, before = x.node, (0, 0, 0, 0)
    producer = b.node(x)
    if isinstance(producer, Conv2d) and producer.name in b.zero_paddings:
        source, before = producer.inputs[0], producer.padding
    t, left, bottom, right = (p + q for p, q in zip(padding, before, strict=True))
    return b.emit(
        Conv2d,
        name,
        [b.tensor(source)],
        rank=4,
        weight=float_array(weight),
        bias=None if bias is None else float_array(bias),
        stride=pair(stride),
        padding=(t, left, bottom, right),
        groups=groups,
    )


def linear(b: GraphBuilder, name: str, x: Tensor, weight: Array, bias: Array | None) -> Tensor:
    """Fully connected layer; ``weight`` is (out, in)."""
    if weight.ndim != 2:
        raise Refusal(f"its weight has shape {weight.shape}", "it must be a matrix")
    if x.rank != 2:
        raise Refusal(f"works on the last dimension of {x.source_shape}", "flatten before it")
    return b.emit(
        Linear,
        name,
        [x],
        rank=2,
        weight=float_array(weight),
        bias=None if bias is None else float_array(bias),
    )


def batch_norm(
    b: GraphBuilder,
    name: str,
    x: Tensor,
    gamma: Array | None,
    beta: Array | None,
    mean: Array | None,
    var: Array | None,
    eps: float,
) -> Tensor:
    """Batch normalisation with running statistics; missing gamma is 1, missing beta 0."""
    if mean is None or var is None:
        raise Refusal("has no running statistics", "train it with track_running_stats=True")
    return b.emit(
        BatchNorm,
        name,
        [x],
        rank=x.rank,
        gamma=np.ones(mean.shape) if gamma is None else float_array(gamma),
        beta=np.zeros(mean.shape) if beta is None else float_array(beta),
        mean=float_array(mean),
        var=float_array(var),
        eps=eps,
    )


def clip(b: GraphBuilder, name: str, x: Tensor, low: float | None, high: float | None) -> Tensor:
    """ReLU and its bounded forms."""
    if low is None or low != 0:
        raise Refusal(f"clips to {low}..{high}", "the lower limit must be 0 (ReLU, ReLU6)")
    bounded = high is not None and high < UNBOUNDED
    return b.emit(Relu, name, [x], rank=x.rank, maximum=high if bounded else None)


def pool(
    b: GraphBuilder,
    name: str,
    x: Tensor,
    kind: type[Node],
    kernel: Sequence[int],
    stride: Sequence[int],
    *,
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> Tensor:
    """`AvgPool` or `MaxPool`."""
    if len(kernel) != 2 or len(stride) != 2:
        raise Refusal(f"pools over windows {tuple(kernel)}", "only 2-D pooling is supported")
    if any(padding):
        raise Refusal(f"pads its windows by {tuple(padding)}", "use pooling without padding")
    if any(d != 1 for d in dilation):
        raise Refusal(f"has dilation {tuple(dilation)}", "use dilation 1")
    expect_map(x)
    size = x.shape[1:]
    if min(*kernel, *stride) < 1:
        raise Refusal(f"kernel {tuple(kernel)} or stride {tuple(stride)} is not positive")
    if ceil_mode and any((n - k) % s for n, k, s in zip(size, kernel, stride, strict=True)):
        raise Refusal(f"ceil_mode adds partial windows to a map of {size}", "use ceil_mode=False")
    return b.emit(kind, name, [x], rank=4, kernel=pair(kernel), stride=pair(stride))


def adaptive_pool(
    b: GraphBuilder, name: str, x: Tensor, kind: type[Node], size: Sequence[int]
) -> Tensor:
    """Pooling to a map of ``size``, where every window has the same size."""
    expect_map(x)
    if (
        len(size) != 2
        or min(size) < 1
        or any(n % s for n, s in zip(x.shape[1:], size, strict=True))
    ):
        raise Refusal(f"pools {x.shape[1:]} to {tuple(size)}", "the sizes must divide evenly")
    if kind is AvgPool and tuple(size) == (1, 1):
        return b.emit(GlobalAvgPool, name, [x], rank=4)
    kernel = pair([n // s for n, s in zip(x.shape[1:], size, strict=True)])
    return b.emit(kind, name, [x], rank=4, kernel=kernel, stride=kernel)


def mean(b: GraphBuilder, name: str, x: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
    """Mean over height and width."""
    if x.rank != 4 or sorted(d % 4 for d in dims) != [2, 3]:
        raise Refusal(f"averages over dimensions {tuple(dims)}", "only height and width together")
    return b.emit(GlobalAvgPool, name, [x], rank=4 if keepdim else 2)


def reshape(b: GraphBuilder, name: str, x: Tensor, target: Sequence[int]) -> Tensor:
    """Flattening, or adding and removing dimensions of size one; nothing else."""
    total = b.batch * math.prod(x.shape)
    sizes = list(target)
    if sizes.count(-1) == 1:
        known = math.prod(n for n in sizes if n != -1)
        sizes[sizes.index(-1)] = total // known if known else 0
    if math.prod(sizes) == total and sizes[0] == b.batch:
        rest = tuple(sizes[1:])
        if rest == x.source_shape:
            return x
        if rest == x.shape[: len(rest)] and set(x.shape[len(rest) :]) <= {1}:
            return Tensor(x.node, x.shape, len(sizes))
        if len(rest) == 1:
            return b.emit(Flatten, name, [x], rank=2)
    source = (b.batch, *x.source_shape)
    raise Refusal(
        f"reshapes {source} to {tuple(target)}", "only flattening to vectors is supported"
    )


def flatten(b: GraphBuilder, name: str, x: Tensor, start: int, end: int) -> Tensor:
    """Merge dimensions ``start`` to ``end`` (inclusive, batch is 0) into one."""
    dims = [b.batch, *x.source_shape]
    start, end = start % len(dims), end % len(dims)
    if start > end:
        raise Refusal(f"flattens dimensions {start} to {end}", "start at 1 and end at -1")
    merged = math.prod(dims[start : end + 1])
    return reshape(b, name, x, [*dims[:start], merged, *dims[end + 1 :]])


def add(b: GraphBuilder, name: str, x: Value, y: Value) -> Tensor:
    """Sum of two activations of one shape, or of an activation and a per-channel constant."""
    if not isinstance(x, Tensor):
        x, y = y, x
    if not isinstance(x, Tensor):
        raise Refusal("adds two constants", "fold constants when exporting")
    if not isinstance(y, Tensor):
        return affine(b, name, x, None, y)
    if x.rank != y.rank or x.shape != y.shape:
        raise Refusal(f"adds {x.source_shape} and {y.source_shape}", "the shapes must be equal")
    return b.emit(Add, name, [x, y], rank=x.rank)


def concat(b: GraphBuilder, name: str, values: Sequence[Value], axis: int) -> Tensor:
    """Activations one after the other along their channels."""
    tensors = [x for x in values if isinstance(x, Tensor)]
    if len(tensors) != len(values) or not tensors:
        raise Refusal("concatenates an activation with a constant", "leave the constant out")
    ranks = {x.rank for x in tensors}
    if len(ranks) > 1 or axis % max(ranks) != 1:
        raise Refusal(f"concatenates along dimension {axis}", "only channels can be (dimension 1)")
    if len(tensors) == 1:
        return tensors[0]
    return b.emit(Concat, name, tensors, rank=ranks.pop())


def affine(b: GraphBuilder, name: str, x: Tensor, scale: Value, shift: Value) -> Tensor:
    """``x * scale + shift`` with per-channel constants; None leaves one out."""
    factor = np.ones(x.shape[0]) if scale is None else per_channel(x, scale)
    offset = np.zeros(x.shape[0]) if shift is None else per_channel(x, shift)
    return b.emit(Affine, name, [x], rank=x.rank, scale=factor, shift=offset)


def softmax(b: GraphBuilder, name: str, x: Tensor, axis: int, log: bool) -> Tensor:
    """Softmax over the classes."""
    if axis % x.rank != 1:
        raise Refusal(f"softmax over dimension {axis}", "only over the classes (dimension 1)")
    return b.emit(Softmax, name, [x], rank=x.rank, log=log)


def take(
    b: GraphBuilder, name: str, x: Tensor, dim: int, start: int, stop: int, step: int
) -> Tensor:
    """Strided slice along one dimension; along height and width it must start at 0 and not cut."""
    dim = dim % x.rank
    size = (b.batch, *x.source_shape)[dim]
    if step < 1:
        raise Refusal(f"slices with step {step}", "the step must be positive")
    indices = range(size)[start:stop:step]
    if len(indices) == size:
        return x
    if dim == 1:
        matrix = _selection(len(indices), x.shape[0])
        matrix[np.arange(len(indices)), list(indices)] = 1
        return _select(b, name, x, matrix, (1, 1))
    if dim == 0 or indices != range(0, size, step):
        raise Refusal(f"slices {start}:{stop}:{step} of {size}", "use a strided slice [::step]")
    matrix = _selection(x.shape[0], x.shape[0])
    np.fill_diagonal(matrix, 1)
    return _select(b, name, x, matrix, (step, 1) if dim == 2 else (1, step))


def pad(
    b: GraphBuilder, name: str, x: Tensor, before: Sequence[int], after: Sequence[int]
) -> Tensor:
    """Zeros around channels, height and width; both sequences name all dimensions of the source."""
    if len(before) != x.rank or len(after) != x.rank or before[0] or after[0]:
        raise Refusal(f"pads {tuple(before)} and {tuple(after)}", "the batch cannot be padded")
    if min(*before, *after) < 0:
        raise Refusal("pads by a negative number (crops)", "remove it")
    if before[1] or after[1]:
        c = x.shape[0]
        matrix = _selection(before[1] + c + after[1], c)
        matrix[np.arange(c) + before[1], np.arange(c)] = 1
        x = _select(b, name, x, matrix, (1, 1))
    if any(before[2:]) or any(after[2:]):
        c = x.shape[0]
        padding = (before[2], before[3], after[2], after[3])
        x = conv2d(b, name, x, np.ones((c, 1, 1, 1)), None, padding=padding, groups=c)
        b.zero_paddings.add(x.node)
    return x


def per_channel(x: Tensor, constant: Value) -> Array:
    """``constant`` as float64 (C,) if it broadcasts over everything but the channels of ``x``."""
    values = np.asarray(constant, dtype=np.float64)
    wanted = (x.shape[0],) + (1,) * (x.rank - 2)
    shape = values.shape[-len(wanted) :]
    aligned = (1,) * (len(wanted) - len(shape)) + shape
    if values.size == 1 and values.ndim <= x.rank:
        return np.full(x.shape[0], values.reshape(()))
    if values.ndim > x.rank or values.size != x.shape[0] or aligned != wanted:
        raise Refusal(
            f"combines {x.source_shape} with a constant of shape {values.shape}",
            "constants must be scalars or one value per channel",
        )
    return values.reshape(-1).copy()


def expect_map(x: Tensor) -> None:
    """Refuse unless ``x`` is (N, C, H, W)."""
    if x.rank != 4:
        raise Refusal(f"its input {x.source_shape} is not a map", "it needs (C, H, W)")


def pair(values: Sequence[int]) -> tuple[int, int]:
    """``values`` as (rows, columns)."""
    if len(values) != 2:
        raise Refusal(f"has {len(values)} spatial dimensions", "only 2-D layers are supported")
    return values[0], values[1]


def _selection(rows: int, columns: int) -> Array:
    if not 0 < rows * columns <= MAX_SELECTION:
        raise Refusal(f"selects {rows} of {columns} channels", "use fewer channels")
    return np.zeros((rows, columns))


def _select(
    b: GraphBuilder, name: str, x: Tensor, matrix: Array, stride: tuple[int, int]
) -> Tensor:
    """Channels by a 0/1 ``matrix`` (out, in) and pixels by ``stride``: a 1x1 convolution.

    A selection of a selection becomes one; the first is dropped later if nobody else reads it.
    """
    expect_map(x)
    first = b.node(x)
    if isinstance(first, Conv2d) and first.name in b.selections and not any(first.padding):
        matrix = matrix @ first.weight[:, :, 0, 0]
        stride = (stride[0] * first.stride[0], stride[1] * first.stride[1])
        x = b.tensor(first.inputs[0])
    selected = conv2d(b, name, x, matrix[:, :, None, None], None, stride=stride)
    b.selections.add(selected.node)
    return selected
