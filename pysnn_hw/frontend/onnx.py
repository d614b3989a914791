# SPDX-License-Identifier: BSD-2-Clause
"""Imports ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import (
    UNKNOWN,
    Array,
    GraphBuilder,
    Refusal,
    Tensor,
    Value,
    printable,
)
from pysnn_hw.frontend.compare import Reference
from pysnn_hw.frontend.onnx_args import Args
from pysnn_hw.frontend.onnx_constants import fold
from pysnn_hw.frontend.onnx_file import OnnxModel, load_model, tensor_array
from pysnn_hw.frontend.onnx_ops import HANDLERS
from pysnn_hw.frontend.remedies import remedy

UNKNOWN_CONSTANT = Tensor("", None, 0)
"""What depends on constants alone, or on an unknown shape, and could not be computed."""

__all__ = ["OnnxModel", "build", "load_model", "reference"]


def build(model: OnnxModel) -> tuple[GraphBuilder, Value]:
    """Walk the nodes of ``model``; returns the builder and the output."""
    b = GraphBuilder(model.sizes, model.batch)
    env: dict[str, Value] = {**model.constants, model.input: b.input}
    for node in model.proto.graph.node:
        name = node.name or (node.output[0] if node.output else node.op_type)
        result = b.attempt(name, node.op_type, partial(_layer, b, model, node, env))
        if result is UNKNOWN and not any(isinstance(env.get(i), Tensor) for i in node.input):
            result = UNKNOWN_CONSTANT
        for i, output in enumerate(node.output):
            if output in env:
                problem = f"computes {printable(output)!r}, which exists already"
                b.refuse(name, node.op_type, problem)
            # Further outputs (indices, masks) are not computed: whoever reads one is refused.
            elif i == 0:
                env[output] = result
    return b, env.get(model.output)


def reference(model: OnnxModel) -> Reference:
    """Run the file in the onnx package's own evaluator; call only after `build` accepted it."""

    def run(x: Array) -> Array:
        evaluator = ReferenceEvaluator(model.proto, new_ops=[MaxPool, AveragePool, LogSoftmax])
        images = x.reshape(len(x), *model.sizes).astype(model.dtype)
        output: Any = evaluator.run(None, {model.input: images})
        return np.asarray(output[0])

    return run


class _Pool(OpRun):  # type: ignore[misc]
    """Pooling without padding, which is all that is imported; the package's own is far slower."""

    op_domain = ""

    def _windows(self, x: Array, kernel: Sequence[int], strides: Sequence[int] | None) -> Array:
        rows, columns = strides or (1, 1)
        view = np.lib.stride_tricks.sliding_window_view(x, tuple(kernel), axis=(2, 3))
        return view[:, :, ::rows, ::columns]


class MaxPool(_Pool):
    """Maximum over windows."""

    def _run(self, x: Array, **attributes: Any) -> tuple[Array]:
        windows = self._windows(x, attributes["kernel_shape"], attributes.get("strides"))
        return (windows.max(axis=(4, 5)),)


class AveragePool(_Pool):
    """Mean over windows."""

    def _run(self, x: Array, **attributes: Any) -> tuple[Array]:
        windows = self._windows(x, attributes["kernel_shape"], attributes.get("strides"))
        return (windows.mean(axis=(4, 5), dtype=x.dtype),)


class LogSoftmax(OpRun):  # type: ignore[misc]
    """The package's own takes the logarithm of a softmax that may have underflowed to 0."""

    op_domain = ""

    def _run(self, x: Array, **attributes: Any) -> tuple[Array]:
        axis = attributes.get("axis", -1)
        shifted = x - x.max(axis=axis, keepdims=True)
        return (shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)),)


def _layer(b: GraphBuilder, model: OnnxModel, node: onnx.NodeProto, env: dict[str, Value]) -> Value:
    if node.domain not in ("", "ai.onnx"):
        raise Refusal(f"is not supported (domain {printable(node.domain)!r})", remedy(node.op_type))
    attributes = {a.name: _attribute(a) for a in node.attribute}
    name = node.name or (node.output[0] if node.output else node.op_type)
    args = Args(b, name, model.opset, list(node.input), attributes, env)
    if node.op_type == "Constant":
        return _constant(attributes)
    values = [args.value(i) for i in range(len(node.input))]
    arrays = [v for v in values if isinstance(v, np.ndarray)]
    if values and len(arrays) == len(values):
        return fold(node.op_type, arrays, attributes)
    if any(v is UNKNOWN_CONSTANT for v in values):
        known = all(v is UNKNOWN_CONSTANT or isinstance(v, np.ndarray) for v in values)
        return UNKNOWN_CONSTANT if known else UNKNOWN
    if node.op_type == "Shape" and any(v is UNKNOWN for v in values):
        return UNKNOWN_CONSTANT
    handler = HANDLERS.get(node.op_type)
    if handler is None:
        raise Refusal("is not supported", remedy(node.op_type))
    if node.op_type in ("MaxPool", "BatchNormalization") and any(node.output[1:]):
        raise Refusal(f"has {len(node.output)} outputs", "only the first can be used")
    return handler(args)


def _constant(attributes: dict[str, Any]) -> Array:
    for key, value in attributes.items():
        if key == "value" and isinstance(value, np.ndarray):
            return value
        if key in ("value_int", "value_ints") and not isinstance(value, str):
            return np.asarray(value, dtype=np.int64)
        if key in ("value_float", "value_floats") and not isinstance(value, str):
            return np.asarray(value, dtype=np.float32)
    raise Refusal(f"holds {', '.join(map(printable, attributes)) or 'nothing'}", "use a tensor")


def _attribute(attribute: onnx.AttributeProto) -> Any:
    """An attribute as int, float, str, list or array; None if it is of another kind."""
    kind = onnx.AttributeProto
    match attribute.type:
        case kind.INT:
            return int(attribute.i)
        case kind.FLOAT:
            return float(attribute.f)
        case kind.STRING:
            return attribute.s.decode("utf-8", "replace")
        case kind.INTS:
            return [int(v) for v in attribute.ints]
        case kind.FLOATS:
            return [float(v) for v in attribute.floats]
        case kind.TENSOR:
            try:
                return tensor_array(attribute.t)
            except ModelError as error:
                raise Refusal(error.problem, error.hint) from error
        case _:
            return None
