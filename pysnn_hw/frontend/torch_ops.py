# SPDX-License-Identifier: BSD-2-Clause
"""How each ATen operator becomes a layer: one function per operator, in the table `HANDLERS`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pysnn_hw.frontend import layers
from pysnn_hw.frontend.builder import Array, Refusal, Tensor, Value
from pysnn_hw.frontend.pt2 import ScalarType
from pysnn_hw.frontend.torch_args import Args
from pysnn_hw.ir.ann import AvgPool, MaxPool

Handler = Callable[[Args], Value]


def _conv2d(a: Args) -> Value:
    weight = a.array("weight")
    h, w = a.integers("padding", (0, 0))
    return _conv(a, weight, (h, w, h, w))


def _conv2d_padding(a: Args) -> Value:
    weight = a.array("weight")
    mode = a.value("padding", "valid")
    if mode == "valid" or weight.ndim != 4:
        return _conv(a, weight, (0, 0, 0, 0))
    if mode != "same":
        raise Refusal(f"has padding {str(mode)[:20]!r}", "use 'same', 'valid' or numbers")
    # An even kernel's odd zero goes after the map.
    h, w = weight.shape[2] - 1, weight.shape[3] - 1
    return _conv(a, weight, (h // 2, w // 2, h - h // 2, w - w // 2))


def _conv(a: Args, weight: Array, padding: tuple[int, int, int, int]) -> Value:
    return layers.conv2d(
        a.builder,
        a.name,
        a.tensor("input"),
        weight,
        a.optional_array("bias"),
        stride=a.integers("stride", (1, 1)),
        padding=padding,
        dilation=a.integers("dilation", (1, 1)),
        groups=a.integer("groups", 1),
    )


def _linear(a: Args) -> Value:
    return layers.linear(
        a.builder, a.name, a.tensor("input"), a.array("weight"), a.optional_array("bias")
    )


def _batch_norm(a: Args) -> Value:
    if a.flag("training"):
        raise Refusal("uses the statistics of the batch", "export in eval mode")
    return layers.batch_norm(
        a.builder,
        a.name,
        a.tensor("input"),
        a.optional_array("weight"),
        a.optional_array("bias"),
        a.optional_array("running_mean"),
        a.optional_array("running_var"),
        a.number("eps") or 0.0,
    )


def _relu(a: Args) -> Value:
    return layers.clip(a.builder, a.name, a.tensor("self"), 0, None)


def _relu6(a: Args) -> Value:
    return layers.clip(a.builder, a.name, a.tensor("self"), 0, 6.0)


def _hardtanh(a: Args) -> Value:
    low, high = a.number("min_val", -1.0), a.number("max_val", 1.0)
    return layers.clip(a.builder, a.name, a.tensor("self"), low, high)


def _clamp(a: Args) -> Value:
    return layers.clip(a.builder, a.name, a.tensor("self"), a.number("min"), a.number("max"))


def _max_pool2d(a: Args) -> Value:
    return _pool(a, MaxPool)


def _avg_pool2d(a: Args) -> Value:
    if a.value("divisor_override") is not None:
        raise Refusal("has its own divisor", "leave divisor_override out")
    return _pool(a, AvgPool)


def _pool(a: Args, kind: type[AvgPool | MaxPool]) -> Value:
    kernel = a.integers("kernel_size")
    return layers.pool(
        a.builder,
        a.name,
        a.tensor("self"),
        kind,
        kernel,
        a.integers("stride") or kernel,
        padding=a.integers("padding", (0, 0)),
        dilation=a.integers("dilation", (1, 1)),
        ceil_mode=a.flag("ceil_mode"),
    )


def _adaptive_avg_pool2d(a: Args) -> Value:
    return layers.adaptive_pool(
        a.builder, a.name, a.tensor("self"), AvgPool, a.integers("output_size")
    )


def _mean(a: Args) -> Value:
    dims = a.value("dim")
    return layers.mean(
        a.builder,
        a.name,
        a.tensor("self"),
        dims if isinstance(dims, list) else [],
        a.flag("keepdim"),
    )


def _flatten(a: Args) -> Value:
    return layers.flatten(
        a.builder, a.name, a.tensor("self"), a.integer("start_dim", 0), a.integer("end_dim", -1)
    )


def _view(a: Args) -> Value:
    sizes = a.value("size", a.value("shape"))
    if not isinstance(sizes, list) or not all(isinstance(n, int) for n in sizes):
        raise Refusal("reshapes to sizes computed from the image", "use fixed sizes")
    return _reshape(a, sizes)


def _squeeze(a: Args) -> Value:
    x = a.value("self")
    shape = x.shape if isinstance(x, np.ndarray) else (a.builder.batch, *_tensor(x).source_shape)
    dims = a.value("dim")
    dims = range(1, len(shape)) if dims is None else [dims] if isinstance(dims, int) else dims
    gone = {d % len(shape) for d in dims}
    return _reshape(a, [n for d, n in enumerate(shape) if d not in gone or n != 1])


def _unsqueeze(a: Args) -> Value:
    x = a.value("self")
    shape = x.shape if isinstance(x, np.ndarray) else (a.builder.batch, *_tensor(x).source_shape)
    dim = a.integer("dim") % (len(shape) + 1)
    return _reshape(a, [*shape[:dim], 1, *shape[dim:]])


def _reshape(a: Args, sizes: list[int]) -> Value:
    x = a.value("self")
    if isinstance(x, np.ndarray):
        if sizes.count(-1) > 1 or -math.prod(sizes) == x.size == 0 or min(sizes, default=0) < -1:
            raise Refusal(f"reshapes a constant to {sizes}")
        try:
            return x.reshape(sizes)
        except ValueError as error:
            raise Refusal(f"reshapes a constant {x.shape} to {sizes}") from error
    return layers.reshape(a.builder, a.name, _tensor(x), sizes)


def _tensor(x: Value) -> Tensor:
    if not isinstance(x, Tensor):
        raise Refusal("works on a constant", "fold constants before exporting")
    return x


def _add(a: Args) -> Value:
    _unscaled(a)
    return layers.add(a.builder, a.name, a.value("self"), a.value("other"))


def _cat(a: Args) -> Value:
    values = a.value("tensors")
    return layers.concat(
        a.builder, a.name, values if isinstance(values, list) else [], a.integer("dim", 0)
    )


def _sub(a: Args) -> Value:
    _unscaled(a)
    return _difference(a, a.value("self"), a.value("other"))


def _rsub(a: Args) -> Value:
    _unscaled(a)
    return _difference(a, a.value("other"), a.value("self"))


def _difference(a: Args, x: Value, y: Value) -> Value:
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        raise Refusal("subtracts two activations", "only constants can be subtracted")
    if isinstance(x, Tensor):
        return layers.affine(a.builder, a.name, x, None, -np.asarray(y, dtype=np.float64))
    return layers.affine(a.builder, a.name, _tensor(y), -1.0, x)


def _mul(a: Args) -> Value:
    x, y = a.value("self"), a.value("other")
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        raise Refusal("multiplies two activations", "only constants can scale them")
    if not isinstance(x, Tensor):
        x, y = y, x
    return layers.affine(a.builder, a.name, _tensor(x), y, None)


def _div(a: Args) -> Value:
    x, y = a.value("self"), a.value("other")
    if not isinstance(x, Tensor) or isinstance(y, Tensor):
        raise Refusal("divides by an activation", "only constants can divide")
    divisor = np.asarray(y, dtype=np.float64)
    if not divisor.all():
        raise Refusal("divides by zero")
    return layers.affine(a.builder, a.name, x, 1.0 / divisor, None)


def _unscaled(a: Args) -> None:
    if a.number("alpha", 1) != 1:
        raise Refusal("scales its second operand by alpha", "leave alpha out")


def _softmax(a: Args) -> Value:
    return layers.softmax(a.builder, a.name, a.tensor("self"), a.integer("dim"), False)


def _log_softmax(a: Args) -> Value:
    return layers.softmax(a.builder, a.name, a.tensor("self"), a.integer("dim"), True)


def _slice(a: Args) -> Value:
    start, stop = a.value("start"), a.value("end")
    return layers.take(
        a.builder,
        a.name,
        a.tensor("self"),
        a.integer("dim", 0),
        0 if start is None else a.integer("start"),
        2**63 - 1 if stop is None else a.integer("end"),
        a.integer("step", 1),
    )


def _pad(a: Args) -> Value:
    sizes = a.value("pad")
    if a.value("mode", "constant") != "constant" or a.number("value", 0.0):
        raise Refusal("pads with something else than zeros", "use zero padding")
    if not isinstance(sizes, list) or not all(isinstance(n, int) for n in sizes) or len(sizes) % 2:
        raise Refusal("pads by numbers computed from the image", "use fixed numbers")
    x = a.tensor("self")
    before, after = [0] * x.rank, [0] * x.rank
    if len(sizes) > 2 * x.rank:
        raise Refusal(f"pads {len(sizes) // 2} of {x.rank} dimensions")
    for i in range(len(sizes) // 2):  # innermost dimension first
        before[-1 - i], after[-1 - i] = sizes[2 * i], sizes[2 * i + 1]
    return layers.pad(a.builder, a.name, x, before, after)


def _size(a: Args) -> Value:
    x = a.tensor("self")
    shape = (a.builder.batch, *x.source_shape)
    return shape[a.integer("dim") % len(shape)]


def _same(a: Args) -> Value:
    value: Value = a.value("self", a.value("input"))
    return value


def _to_dtype(a: Args) -> Value:
    if a.value("dtype") not in (ScalarType(7), ScalarType(8)):
        raise Refusal("casts to something else than a float", "keep activations in float32")
    return a.tensor("self")


def _dropout(a: Args) -> Value:
    if a.flag("train"):
        raise Refusal("drops values at random", "export in eval mode")
    return _same(a)


HANDLERS: dict[str, Handler] = {
    "aten.conv2d.default": _conv2d,
    "aten.conv2d.padding": _conv2d_padding,
    "aten.linear.default": _linear,
    "aten.batch_norm.default": _batch_norm,
    "aten.relu.default": _relu,
    "aten.relu_.default": _relu,
    "aten.relu6.default": _relu6,
    "aten.relu6_.default": _relu6,
    "aten.hardtanh.default": _hardtanh,
    "aten.hardtanh_.default": _hardtanh,
    "aten.clamp.default": _clamp,
    "aten.clamp_.default": _clamp,
    "aten.clamp_min.default": _clamp,
    "aten.clamp_min_.default": _clamp,
    "aten.max_pool2d.default": _max_pool2d,
    "aten.avg_pool2d.default": _avg_pool2d,
    "aten.adaptive_avg_pool2d.default": _adaptive_avg_pool2d,
    "aten.mean.dim": _mean,
    "aten.flatten.using_ints": _flatten,
    "aten.view.default": _view,
    "aten.reshape.default": _view,
    "aten.squeeze.default": _squeeze,
    "aten.squeeze.dim": _squeeze,
    "aten.squeeze.dims": _squeeze,
    "aten.unsqueeze.default": _unsqueeze,
    "aten.add.Tensor": _add,
    "aten.add_.Tensor": _add,
    "aten.cat.default": _cat,
    "aten.concat.default": _cat,
    "aten.concatenate.default": _cat,
    "aten.sub.Tensor": _sub,
    "aten.sub_.Tensor": _sub,
    "aten.rsub.Scalar": _rsub,
    "aten.rsub.Tensor": _rsub,
    "aten.mul.Tensor": _mul,
    "aten.mul_.Tensor": _mul,
    "aten.div.Tensor": _div,
    "aten.div_.Tensor": _div,
    "aten.softmax.int": _softmax,
    "aten.log_softmax.int": _log_softmax,
    "aten.slice.Tensor": _slice,
    "aten.pad.default": _pad,
    "aten.constant_pad_nd.default": _pad,
    "aten.sym_size.int": _size,
    "aten.to.dtype": _to_dtype,
    "aten.dropout.default": _dropout,
    "aten.dropout_.default": _dropout,
    "aten.feature_dropout.default": _dropout,
    "aten.feature_dropout_.default": _dropout,
    "aten.alias.default": _same,
    "aten.clone.default": _same,
    "aten.contiguous.default": _same,
    "aten.detach.default": _same,
    "aten.detach_.default": _same,
    "aten.lift_fresh_copy.default": _same,
}
"""Every operator that a program may call; anything else is never executed either."""
