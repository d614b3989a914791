# SPDX-License-Identifier: BSD-2-Clause
"""Reads an ONNX file defensively: sizes are checked before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import MAX_NODES, Array, printable

MAX_BYTES = 128 << 20
"""Largest model, external data included."""
MIN_OPSET = 7
"""Before it, element-wise operators broadcast by an attribute."""

DTYPES: dict[int, tuple[str, int]] = {
    onnx.TensorProto.FLOAT: ("float_data", 4),
    onnx.TensorProto.DOUBLE: ("double_data", 8),
    onnx.TensorProto.INT64: ("int64_data", 8),
    onnx.TensorProto.INT32: ("int32_data", 4),
    onnx.TensorProto.BOOL: ("int32_data", 1),
}
"""Element types that a constant may have: the field of its unpacked values, bytes per element."""


@dataclass(frozen=True)
class OnnxModel:
    """A file that has been read and whose constants are sound.

    ``sizes`` is the shape of the one input without its batch, ``batch`` the batch it was exported
    with (1 where that is open), ``constants`` the initialisers by name. ``proto`` holds only what
    the output depends on.
    """

    where: str
    proto: onnx.ModelProto
    opset: int
    input: str
    dtype: str
    batch: int
    sizes: tuple[int, ...]
    output: str
    constants: dict[str, Array]


def load_model(path: Path, input_shape: Sequence[int] | None = None) -> OnnxModel:
    """Read the file at ``path``; ``input_shape`` fills in what it leaves open."""
    where = path.name
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(where, f"is larger than {MAX_BYTES >> 20} MiB")
        proto = onnx.ModelProto()
        proto.ParseFromString(path.read_bytes())
        return _read(proto, path, input_shape)
    except DecodeError as error:
        raise ModelError(where, "is not an ONNX file, or it is damaged") from error
    except OSError as error:
        raise ModelError(where, f"cannot be read ({error.strerror or 'bad path'})") from error


def tensor_array(tensor: onnx.TensorProto, folder: Path | None = None) -> Array:
    """The values of ``tensor``; its declared shape must match what the file holds.

    External data are read from inside ``folder`` and moved into the tensor.
    """
    name = printable(tensor.name or "constant")
    if tensor.data_type not in DTYPES:
        kind = tensor.data_type
        names = onnx.TensorProto.DataType
        text = names.Name(kind) if kind in names.values() else f"number {kind}"
        raise ModelError(name, f"has element type {text}", "use float32 weights")
    field, itemsize = DTYPES[tensor.data_type]
    if len(tensor.dims) > 8 or any(d < 0 for d in tensor.dims):
        raise ModelError(name, f"has an impossible shape {list(tensor.dims)[:8]}")
    size = math.prod(tensor.dims)
    if size * itemsize > MAX_BYTES:
        raise ModelError(name, f"declares {size} values, more than a model may hold")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _load_external(tensor, folder, size * itemsize)
    stored = len(tensor.raw_data) // itemsize if tensor.raw_data else len(getattr(tensor, field))
    if stored != size or (tensor.raw_data and len(tensor.raw_data) % itemsize):
        raise ModelError(name, f"declares {size} values but holds {stored}")
    return np.asarray(numpy_helper.to_array(tensor))


def _read(proto: onnx.ModelProto, path: Path, input_shape: Sequence[int] | None) -> OnnxModel:
    graph, where = proto.graph, path.name
    if len(graph.node) > MAX_NODES:
        raise ModelError(where, f"has {len(graph.node)} nodes, more than {MAX_NODES}")
    if not graph.node:
        raise ModelError(where, "holds no layers: it is not an ONNX model, or it is damaged")
    if not all(isinstance(text, str) for text in _texts(proto)):
        raise ModelError(where, "holds a name that is not UTF-8: it is damaged")
    opsets = [o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")]
    if len(opsets) != 1 or not MIN_OPSET <= opsets[0] <= onnx.defs.onnx_opset_version():
        supported = f"{MIN_OPSET}..{onnx.defs.onnx_opset_version()}"
        raise ModelError(where, f"uses operator set {opsets}", f"export with opset {supported}")
    if proto.functions or graph.sparse_initializer:
        raise ModelError(where, "uses local functions or sparse weights", "export without them")
    total = sum(math.prod(t.dims) for t in graph.initializer if all(d >= 0 for d in t.dims))
    if total > MAX_BYTES // 4:
        raise ModelError(where, f"declares {total} weights, more than a model may hold")
    constants = {t.name: tensor_array(t, path.parent) for t in graph.initializer}
    inputs = [i for i in graph.input if i.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        counts = f"{len(inputs)} inputs and {len(graph.output)} outputs"
        raise ModelError(where, f"has {counts}", "it must have one of each")
    _drop_unused(graph)
    kind = inputs[0].type.tensor_type
    dtypes = {onnx.TensorProto.FLOAT: "<f4", onnx.TensorProto.DOUBLE: "<f8"}
    if kind.elem_type not in dtypes:
        raise ModelError(where, "its input is not float32", "export it with a float input")
    declared = [d.dim_value if d.dim_value > 0 else None for d in kind.shape.dim]
    sizes = tuple(_sizes(declared[1:], input_shape, where))
    return OnnxModel(
        where,
        proto,
        opsets[0],
        inputs[0].name,
        dtypes[kind.elem_type],
        declared[0] or 1,
        sizes,
        graph.output[0].name,
        constants,
    )


def _texts(proto: onnx.ModelProto) -> Iterator[str | bytes]:
    """Every text that is read later; protobuf hands out malformed ones as bytes."""
    graph = proto.graph
    yield from (opset.domain for opset in proto.opset_import)
    yield from (value.name for value in [*graph.input, *graph.output])
    tensors = list(graph.initializer)
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
        tensors.extend(attribute.t for attribute in node.attribute)
    for tensor in tensors:
        yield tensor.name
        yield from (text for e in tensor.external_data for text in (e.key, e.value))


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes that the output does not depend on: the reference would run them all."""
    wanted = {graph.output[0].name}
    needed = []
    for node in reversed(graph.node):  # files are in topological order
        if wanted.intersection(node.output):
            wanted.update(node.input)
            needed.append(node)
    del graph.node[:]
    graph.node.extend(reversed(needed))


def _sizes(declared: list[int | None], given: Sequence[int] | None, where: str) -> Iterator[int]:
    if len(declared) not in (1, 3):
        shape = "(N" + "".join(f", {n or '?'}" for n in declared[:8]) + ")"
        raise ModelError(where, f"takes an input {shape}", "it must be (N, C, H, W) or (N, K)")
    wanted = declared if given is None else list(given)
    if len(wanted) != len(declared):
        raise ModelError(where, f"takes {len(declared)}-dimensional images, not {tuple(wanted)}")
    for size, want in zip(declared, wanted, strict=True):
        if want is None:
            raise ModelError(where, "leaves the size of its images open", "give the input shape")
        if size is not None and size != want:
            raise ModelError(where, f"takes images {tuple(declared)}, not {tuple(wanted)}")
        yield want


def _load_external(tensor: onnx.TensorProto, folder: Path | None, size: int) -> None:
    """Move ``size`` bytes from a file beside the model into ``tensor``."""
    name = printable(tensor.name)
    entries = {e.key: e.value for e in tensor.external_data}
    location, offset = entries.get("location", ""), entries.get("offset", "0")
    length = entries.get("length", str(size))
    if folder is None or not offset.isdecimal() or not length.isdecimal() or int(length) != size:
        raise ModelError(name, "its external data are described wrongly")
    root = folder.resolve()
    file = (root / location).resolve()
    if not file.is_relative_to(root) or not file.is_file():
        where = printable(location)
        raise ModelError(name, f"its values are in {where!r}, which is no file beside the model")
    with file.open("rb") as stream:
        if int(offset) > file.stat().st_size:
            raise ModelError(name, f"its values start beyond the end of {printable(location)!r}")
        stream.seek(int(offset))
        tensor.raw_data = stream.read(size)
    tensor.data_location = onnx.TensorProto.DEFAULT
    tensor.ClearField("external_data")
