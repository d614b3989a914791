# SPDX-License-Identifier: BSD-2-Clause
"""How each ONNX operator becomes a layer: one function per operator, in the table `HANDLERS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pysnn_hw.frontend import layers
from pysnn_hw.frontend.builder import Array, Refusal, Tensor, Value, printable
from pysnn_hw.frontend.onnx_args import Args
from pysnn_hw.ir.ann import AvgPool, MaxPool

Handler = Callable[[Args], Value]


def _conv(a: Args) -> Value:
    weight = a.array(1, "weight")
    if weight.ndim == 4 and a.integers("kernel_shape", weight.shape[2:]) != list(weight.shape[2:]):
        raise Refusal("its kernel_shape is not that of its weight")
    stride = a.integers("strides", (1, 1), 2 if weight.ndim == 4 else None)
    return layers.conv2d(
        a.builder,
        a.name,
        a.tensor(),
        weight,
        a.optional_array(2, "bias"),
        stride=stride,
        padding=_padding(a, weight.shape[2:], stride) if weight.ndim == 4 else (),
        dilation=a.integers("dilations", (1, 1)),
        groups=a.integer("group", 1),
    )


def _padding(a: Args, kernel: Sequence[int], stride: Sequence[int]) -> Sequence[int]:
    """(top, left, bottom, right)."""
    mode = a.text("auto_pad", "NOTSET")
    if mode == "NOTSET":
        return a.integers("pads", (0, 0, 0, 0), 4)
    if mode == "VALID":
        return 0, 0, 0, 0
    if mode not in ("SAME_UPPER", "SAME_LOWER") or min(stride) < 1:
        raise Refusal(f"has auto_pad {printable(mode)!r}", "use SAME_UPPER, SAME_LOWER or VALID")
    x = a.tensor()
    layers.expect_map(x)
    total = [
        max(0, (-(-n // s) - 1) * s + k - n)
        for n, k, s in zip(x.shape[1:], kernel, stride, strict=True)
    ]
    small, large = [n // 2 for n in total], [n - n // 2 for n in total]
    return small + large if mode == "SAME_UPPER" else large + small


def _gemm(a: Args) -> Value:
    weight = a.array(1, "weight")
    if a.integer("transA", 0):
        raise Refusal("transposes its input", "use transA=0")
    alpha, beta = a.number("alpha", 1.0), a.number("beta", 1.0)
    bias = a.optional_array(2, "bias")
    matrix = weight if a.integer("transB", 0) else weight.T
    if bias is not None:
        if bias.size not in (1, len(matrix)) or bias.shape[-1:] not in ((), (1,), (bias.size,)):
            raise Refusal(f"its bias has shape {bias.shape}", "it must be one value per output")
        bias = beta * np.broadcast_to(bias.reshape(-1).astype(np.float64), (len(matrix),))
    return layers.linear(a.builder, a.name, a.tensor(), alpha * matrix.astype(np.float64), bias)


def _matmul(a: Args) -> Value:
    weight = a.array(1, "second factor")
    return layers.linear(a.builder, a.name, a.tensor(), weight.T, None)


def _batch_norm(a: Args) -> Value:
    if a.integer("training_mode", 0) or not a.integer("spatial", 1):
        raise Refusal("normalises by batch or by pixel", "export in inference mode, spatial=1")
    arrays = [a.array(i, what) for i, what in enumerate(("scale", "B", "mean", "var"), 1)]
    gamma, beta, mean, var = arrays
    eps = a.number("epsilon", 1e-5)
    return layers.batch_norm(a.builder, a.name, a.tensor(), gamma, beta, mean, var, eps)


def _relu(a: Args) -> Value:
    return layers.clip(a.builder, a.name, a.tensor(), 0, None)


def _clip(a: Args) -> Value:
    limits: list[float | None] = []
    for index, name in ((1, "min"), (2, "max")):
        value = a.optional_array(index, name)
        if name in a.attributes:
            limits.append(a.number(name, 0.0))
        elif value is not None and value.size != 1:
            raise Refusal(f"its {name} is not a single number")
        else:
            limits.append(None if value is None else float(value.reshape(())))
    return layers.clip(a.builder, a.name, a.tensor(), limits[0], limits[1])


def _max_pool(a: Args) -> Value:
    return _pool(a, MaxPool)


def _average_pool(a: Args) -> Value:
    return _pool(a, AvgPool)


def _pool(a: Args, kind: type[AvgPool | MaxPool]) -> Value:
    kernel = a.integers("kernel_shape", (), 2)
    stride = a.integers("strides", (1, 1), 2)
    return layers.pool(
        a.builder,
        a.name,
        a.tensor(),
        kind,
        kernel,
        stride,
        padding=_padding(a, kernel, stride),
        dilation=a.integers("dilations", (1, 1)),
        ceil_mode=bool(a.integer("ceil_mode", 0)),
    )


def _global_average_pool(a: Args) -> Value:
    return layers.adaptive_pool(a.builder, a.name, a.tensor(), AvgPool, (1, 1))


def _global_max_pool(a: Args) -> Value:
    return layers.adaptive_pool(a.builder, a.name, a.tensor(), MaxPool, (1, 1))


def _reduce_mean(a: Args) -> Value:
    axes = a.list_input(1, "axes") or []
    keep = bool(a.integer("keepdims", 1))
    return layers.mean(a.builder, a.name, a.tensor(), axes, keep)


def _flatten(a: Args) -> Value:
    x = a.tensor()
    if a.integer("axis", 1) % x.rank != 1:
        raise Refusal(f"flattens around axis {a.integer('axis', 1)}", "use axis 1")
    return layers.flatten(a.builder, a.name, x, 1, -1)


def _reshape(a: Args) -> Value:
    target = a.list_input(1, "shape")
    if target is None:
        raise Refusal("its target shape is missing")
    x = a.tensor()
    source = (a.builder.batch, *x.source_shape)
    if not a.integer("allowzero", 0):
        if any(n == 0 for n in target[len(source) :]):
            raise Refusal(f"reshapes to {target}", "only flattening to vectors is supported")
        target = [n or source[i] for i, n in enumerate(target)]
    return layers.reshape(a.builder, a.name, x, target)


def _squeeze(a: Args) -> Value:
    axes = a.list_input(1, "axes")
    x = a.tensor()
    shape = (a.builder.batch, *x.source_shape)
    gone = range(1, len(shape)) if axes is None else {d % len(shape) for d in axes}
    sizes = [n for d, n in enumerate(shape) if d not in gone or n != 1]
    return layers.reshape(a.builder, a.name, x, sizes)


def _unsqueeze(a: Args) -> Value:
    axes = a.list_input(1, "axes") or []
    x = a.tensor()
    sizes = [a.builder.batch, *x.source_shape]
    for axis in sorted(d % (len(sizes) + len(axes)) for d in axes):
        sizes.insert(axis, 1)
    return layers.reshape(a.builder, a.name, x, sizes)


def _add(a: Args) -> Value:
    return layers.add(a.builder, a.name, a.value(0), a.value(1))


def _concat(a: Args) -> Value:
    values = [a.value(i) for i in range(len(a.inputs))]
    return layers.concat(a.builder, a.name, values, a.integer("axis", 0))


def _sub(a: Args) -> Value:
    x, y = a.value(0), a.value(1)
    if isinstance(x, Tensor):
        return layers.affine(a.builder, a.name, x, None, -_constant(y, "subtracts"))
    return layers.affine(a.builder, a.name, a.tensor(1), -1.0, x)


def _mul(a: Args) -> Value:
    x, y = a.value(0), a.value(1)
    if not isinstance(x, Tensor):
        x, y = a.tensor(1), x
    return layers.affine(a.builder, a.name, x, _constant(y, "multiplies"), None)


def _div(a: Args) -> Value:
    divisor = _constant(a.value(1), "divides")
    if not divisor.all():
        raise Refusal("divides by zero")
    return layers.affine(a.builder, a.name, a.tensor(), 1.0 / divisor, None)


def _constant(value: Value, verb: str) -> Array:
    if isinstance(value, Tensor) or value is None:
        raise Refusal(f"{verb} two activations", "one of them must be a constant")
    return np.asarray(value, dtype=np.float64)


def _softmax(a: Args) -> Value:
    return _any_softmax(a, log=False)


def _log_softmax(a: Args) -> Value:
    return _any_softmax(a, log=True)


def _any_softmax(a: Args, *, log: bool) -> Value:
    # Before opset 13 it flattens from the axis on, which is the same for a vector only.
    axis = a.integer("axis", -1 if a.opset >= 13 else 1)
    x = a.tensor()
    if a.opset < 13 and x.rank != 2:
        raise Refusal("softmax of a map", "flatten before it")
    return layers.softmax(a.builder, a.name, x, axis, log)


def _slice(a: Args) -> Value:
    starts, ends = a.list_input(1, "starts"), a.list_input(2, "ends")
    if not starts or not ends or len(starts) != len(ends):
        raise Refusal("its starts and ends do not match")
    axes = a.list_input(3, "axes") or list(range(len(starts)))
    steps = a.list_input(4, "steps") or [1] * len(starts)
    if not len(starts) == len(axes) == len(steps):
        raise Refusal("its axes and steps do not match its starts")
    x = a.tensor()
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        x = layers.take(a.builder, a.name, x, axis, start, end, step)
    return x


def _pad(a: Args) -> Value:
    sizes = a.list_input(1, "pads") or []
    fill = a.optional_array(2, "value")
    if a.text("mode", "constant") != "constant" or a.number("value", 0.0):
        raise Refusal("pads with something else than zeros", "use zero padding")
    if (fill is not None and fill.any()) or a.value(3) is not None or len(sizes) % 2:
        raise Refusal("pads with something else than zeros", "use zero padding on all axes")
    half = len(sizes) // 2
    return layers.pad(a.builder, a.name, a.tensor(), sizes[:half], sizes[half:])


def _cast(a: Args) -> Value:
    if a.integer("to", 0) not in (1, 11):
        raise Refusal("casts to something else than a float", "keep activations in float32")
    return a.tensor()


def _shape(a: Args) -> Value:
    if a.integer("start", 0) or "end" in a.attributes:
        raise Refusal("takes a part of a shape", "export with fixed sizes")
    x = a.tensor()
    return np.array([a.builder.batch, *x.source_shape], dtype=np.int64)


def _dropout(a: Args) -> Value:
    training = a.optional_array(2, "training mode")
    if training is not None and training.any():
        raise Refusal("drops values at random", "export in inference mode")
    return a.tensor()


def _identity(a: Args) -> Value:
    return a.tensor()


HANDLERS: dict[str, Handler] = {
    "Add": _add,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _div,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "Identity": _identity,
    "LogSoftmax": _log_softmax,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Mul": _mul,
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "Relu": _relu,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Softmax": _softmax,
    "Squeeze": _squeeze,
    "Sub": _sub,
    "Unsqueeze": _unsqueeze,
}
"""Every operator that may be applied to activations."""
