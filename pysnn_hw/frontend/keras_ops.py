# SPDX-License-Identifier: BSD-2-Clause
"""How each Keras layer becomes layers of ours: one function per class, in the table `HANDLERS`.

Keras has maps as (H, W, C), an `AnnGraph` as (C, H, W).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from pysnn_hw.frontend import layers
from pysnn_hw.frontend.builder import Array, Refusal, Tensor, Value, printable
from pysnn_hw.frontend.keras_activations import activate, activation, relu, softmax
from pysnn_hw.frontend.keras_args import Args, is_integer, number, pair_of
from pysnn_hw.ir.ann import AvgPool, MaxPool

Handler = Callable[[Args], Value]


def _conv(a: Args) -> Value:
    kernel, *bias = a.weights("kernel", *_bias(a))
    stride = a.pair("strides", (1, 1))
    _expect_kernel(kernel, (*a.pair("kernel_size"), kernel.shape[-2:][0], a.integer("filters", 0)))
    x = _convolve(a, a.tensor(), kernel, bias, stride, a.integer("groups", 1))
    return activate(a, x)


def _depthwise(a: Args) -> Value:
    kernel, *bias = a.weights("kernel", *_bias(a))
    _expect_kernel(kernel, (*a.pair("kernel_size"), *kernel.shape[-2:]))
    return activate(a, _convolve_channels(a, kernel, bias))


def _separable(a: Args) -> Value:
    kernel, mixing, *bias = a.weights("depthwise_kernel", "pointwise_kernel", *_bias(a))
    _expect_kernel(kernel, (*a.pair("kernel_size"), *kernel.shape[-2:]))
    _expect_kernel(mixing, (1, 1, math.prod(kernel.shape[-2:]), a.integer("filters", 0)))
    x = _convolve_channels(a, kernel, [])
    return activate(a, _convolve(a, x, mixing, bias, (1, 1), 1))


def _convolve_channels(a: Args, kernel: Array, bias: list[Array]) -> Tensor:
    """Depthwise: every input channel has its own kernels, (kh, kw, C, multiplier)."""
    kh, kw, channels, multiplier = kernel.shape
    grouped = kernel.reshape(kh, kw, 1, channels * multiplier)
    return _convolve(a, a.tensor(), grouped, bias, a.pair("strides", (1, 1)), channels)


def _convolve(
    a: Args, x: Tensor, kernel: Array, bias: list[Array], stride: tuple[int, int], groups: int
) -> Tensor:
    return layers.conv2d(
        a.builder,
        a.name,
        x,
        kernel.transpose(3, 2, 0, 1),
        bias[0] if bias else None,
        stride=stride,
        padding=_padding(a, x, kernel.shape[:2], stride),
        dilation=a.pair("dilation_rate", (1, 1)),
        groups=groups,
    )


def _padding(
    a: Args, x: Tensor, kernel: Sequence[int], stride: Sequence[int]
) -> tuple[int, int, int, int]:
    """(top, left, bottom, right); of an odd total, the larger half is at the bottom right."""
    mode = a.text("padding", "valid")
    if min(*kernel, *stride) < 1:
        raise Refusal(f"has a window {tuple(kernel)} and strides {tuple(stride)}, not all positive")
    if mode not in ("valid", "same"):
        raise Refusal(f"has padding {printable(mode)!r}", "use 'same' or 'valid'")
    if mode == "valid":
        return 0, 0, 0, 0
    layers.expect_map(x)
    rows, columns = (
        max(0, (-(-n // s) - 1) * s + k - n)
        for n, k, s in zip(x.shape[1:], kernel, stride, strict=True)
    )
    return rows // 2, columns // 2, rows - rows // 2, columns - columns // 2


def _expect_kernel(kernel: Array, wanted: Sequence[int]) -> None:
    if kernel.ndim != 4 or kernel.size == 0 or kernel.shape != tuple(wanted):
        raise Refusal(f"its kernel has shape {kernel.shape}, not {tuple(wanted)}")


def _bias(a: Args) -> list[str]:
    return ["bias"] if a.flag("use_bias", True) else []


def _dense(a: Args) -> Value:
    kernel, *bias = a.weights("kernel", *_bias(a))
    if kernel.ndim != 2 or kernel.shape[1] != a.integer("units", 0):
        raise Refusal(f"its kernel has shape {kernel.shape}, which does not fit its units")
    x = a.tensor()
    kernel = _reordered(kernel, a.order(x))
    x = layers.linear(a.builder, a.name, x, kernel.T, bias[0] if bias else None)
    return activate(a, x)


def _reordered(values: Array, order: Array | None) -> Array:
    """``values``, one row per value of a vector, in our order of that vector."""
    if order is not None and len(values) != len(order):
        raise Refusal(f"its weight {values.shape} does not fit an input of {len(order)} values")
    return values if order is None else values[order]


def _batch_norm(a: Args) -> Value:
    scale, center = a.flag("scale", True), a.flag("center", True)
    if a.flag("renorm", False):
        raise Refusal("renormalises", "train with renorm=False")
    names = ["gamma"] * scale + ["beta"] * center
    stored = iter(a.weights(*names, "moving_mean", "moving_variance"))
    x = a.tensor()
    a.expect_channels(x)
    order = a.order(x)
    gamma = _reordered(next(stored), order) if scale else None
    beta = _reordered(next(stored), order) if center else None
    mean, var = (_reordered(values, order) for values in stored)
    eps = number(a.config.get("epsilon", 1e-3), "epsilon")
    y = layers.batch_norm(a.builder, a.name, x, gamma, beta, mean, var, eps)
    return a.keep_order(x, y)


def _normalization(a: Args) -> Value:
    x = a.tensor()
    a.expect_channels(x)
    if a.flag("invert", False):
        raise Refusal("inverts a normalisation", "remove it")
    if a.config.get("mean") is not None:
        mean, var = (_constants(a, name) for name in ("mean", "variance"))
    else:
        mean, var, _ = a.weights("mean", "variance", "count")
    deviation = np.maximum(np.sqrt(np.asarray(var, dtype=np.float64)), 1e-7)
    order = a.order(x)
    if order is not None:
        mean, deviation = (_reordered(v.reshape(-1), order) for v in (mean, deviation))
    factor, shift = 1 / deviation.reshape(-1), (-mean / deviation).reshape(-1)
    return a.keep_order(x, _affine(a, x, factor, shift))


def _rescaling(a: Args) -> Value:
    x = a.tensor()
    if a.order(x) is not None and any(isinstance(v, list) for v in a.config.values()):
        raise Refusal("scales a flattened map value by value", "put it before Flatten")
    return a.keep_order(x, _affine(a, x, _constants(a, "scale"), _constants(a, "offset", 0.0)))


def _affine(a: Args, x: Tensor, scale: Array, shift: Array) -> Tensor:
    shape = (-1,) if x.rank == 2 else (-1, 1, 1)
    return layers.affine(a.builder, a.name, x, scale.reshape(shape), shift.reshape(shape))


def _constants(a: Args, name: str, default: float | None = None) -> Array:
    """A setting that is a number or a list with one number per channel."""
    value = a.config.get(name, default)
    if isinstance(value, list) and 0 < len(value) <= layers.MAX_SELECTION:
        while len(value) == 1 and isinstance(value[0], list) and value[0]:
            value = value[0]
        return np.array([number(v, name) for v in value])
    return np.array([number(value, name)])


def _max_pool(a: Args) -> Value:
    return _pool(a, MaxPool)


def _average_pool(a: Args) -> Value:
    return _pool(a, AvgPool)


def _pool(a: Args, kind: type[AvgPool | MaxPool]) -> Value:
    x = a.tensor()
    kernel = a.pair("pool_size", (2, 2))
    stride = kernel if a.config.get("strides") is None else a.pair("strides")
    padding = _padding(a, x, kernel, stride)
    return layers.pool(a.builder, a.name, x, kind, kernel, stride, padding=padding)


def _global_average_pool(a: Args) -> Value:
    return layers.mean(a.builder, a.name, a.tensor(), (2, 3), a.flag("keepdims", False))


def _global_max_pool(a: Args) -> Value:
    y = layers.adaptive_pool(a.builder, a.name, a.tensor(), MaxPool, (1, 1))
    rank = 4 if a.flag("keepdims", False) else 2
    return Tensor(y.node, y.shape, rank)


def _flatten(a: Args) -> Value:
    return _flat(a, a.tensor())


def _flat(a: Args, x: Tensor) -> Tensor:
    """``x`` as a vector; ours is in another order than Keras' unless there is but one channel."""
    c, h, w = x.shape
    y = layers.flatten(a.builder, a.name, x, 1, -1)
    if x.rank == 4 and c > 1 and h * w > 1:
        keras_order = np.arange(c * h * w).reshape(h, w, c)
        a.orders[y.node] = keras_order.transpose(2, 0, 1).reshape(-1)
        return y
    return a.keep_order(x, y)


def _reshape(a: Args) -> Value:
    x = a.tensor()
    target = a.config.get("target_shape")
    if not isinstance(target, list) or not all(map(is_integer, target)):
        raise Refusal("its target_shape is not a list of integers")
    size = math.prod(x.shape)
    if target.count(-1) == 1:
        rest = -math.prod(target)
        target = [size // rest if n == -1 and rest > 0 else n for n in target]
    if target == [size]:
        return _flat(a, x)
    if len(target) == 3 and x.node not in a.orders:
        target = [target[2], target[0], target[1]]
        return layers.reshape(a.builder, a.name, x, [a.builder.batch, *target])
    raise Refusal(f"reshapes to {target}", "only flattening to vectors is supported")


def _zero_padding(a: Args) -> Value:
    sides = a.config.get("padding", (1, 1))
    both = [sides, sides] if isinstance(sides, int) else sides
    if not isinstance(both, list | tuple) or len(both) != 2:
        raise Refusal("its padding is not ((top, bottom), (left, right))")
    (top, bottom), (left, right) = (pair_of(side, "padding") for side in both)
    x = a.tensor()
    layers.expect_map(x)
    return layers.pad(a.builder, a.name, x, (0, 0, top, left), (0, 0, bottom, right))


def _add(a: Args) -> Value:
    inputs = a.tensors(max(2, len(a.layer.inputs)))
    x = inputs[0]
    for y in inputs[1:]:
        if not np.array_equal(_order_of(a, x), _order_of(a, y)):
            raise Refusal("adds vectors that were flattened differently", "add before Flatten")
        x = a.keep_order(x, layers.add(a.builder, a.name, x, y))
    return x


def _concatenate(a: Args) -> Value:
    inputs = a.tensors(max(2, len(a.layer.inputs)))
    a.expect_channels(inputs[0])
    joined = layers.concat(a.builder, a.name, inputs, 1)
    if any(a.order(x) is not None for x in inputs):
        orders = [_order_of(a, x) for x in inputs]
        starts = np.cumsum([0, *map(len, orders[:-1])])
        pieces = [order + start for order, start in zip(orders, starts, strict=True)]
        a.orders[joined.node] = np.concatenate(pieces)
    return joined


def _order_of(a: Args, x: Tensor) -> Array:
    order = a.order(x)
    return np.arange(math.prod(x.shape)) if order is None else order


def _identity(a: Args) -> Value:
    return a.tensor()


HANDLERS: dict[str, Handler] = {
    "Activation": activation,
    "Add": _add,
    "AveragePooling2D": _average_pool,
    "BatchNormalization": _batch_norm,
    "Concatenate": _concatenate,
    "Conv2D": _conv,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _global_average_pool,
    "GlobalMaxPooling2D": _global_max_pool,
    "MaxPooling2D": _max_pool,
    "Normalization": _normalization,
    "ReLU": relu,
    "Relu": relu,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "SeparableConv2D": _separable,
    "Softmax": softmax,
    "ZeroPadding2D": _zero_padding,
    **dict.fromkeys(
        # What Keras does in training only.
        (
            *("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout"),
            *("GaussianNoise", "Identity", "SpatialDropout2D", "RandomBrightness"),
            *("RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom"),
        ),
        _identity,
    ),
}
"""Every layer that may be applied."""
OPERATIONS = frozenset(("Add", "Relu"))
"""Of these, what Keras 3 calls an operation: ``x + y``, ``keras.ops.relu(x)``."""
