# SPDX-License-Identifier: BSD-2-Clause
"""Reads a ``.pt2`` archive (what `torch.export.save` writes) as data only.

torch's own loader unpickles parts of the archive and evaluates symbolic expressions as Python, so
a hostile file could run code. Here the graph is JSON checked against a schema, the weights are raw
bytes, and everything pickled (sample inputs, custom objects) is never opened.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import MAX_NODES, Array

MAX_ARCHIVE_BYTES = 128 << 20
MAX_JSON_BYTES = 16 << 20
DTYPES = {4: "<i4", 5: "<i8", 7: "<f4", 8: "<f8"}
"""Scalar types of the archive's schema that a model may hold."""
REEXPORT = "export it again with torch.export.save of torch 2.8 or newer"


@dataclass(frozen=True)
class Ref:
    """An argument that names a tensor or a symbolic integer."""

    name: str


@dataclass(frozen=True)
class ScalarType:
    """An argument that is an element type, by the archive's number."""

    code: int


@dataclass(frozen=True)
class Call:
    """One operator call: ``target`` such as ``aten.conv2d.default``, arguments by schema name."""

    name: str
    target: str
    args: dict[str, Any]
    output: str
    hint: str


@dataclass(frozen=True)
class Program:
    """A program as straight-line calls.

    ``sizes`` are the dimensions of the one input, batch first, None where dynamic; ``dtype`` its
    numpy type; ``constants`` all weights by the name the calls use.
    """

    calls: tuple[Call, ...]
    constants: dict[str, Array]
    input: str
    sizes: tuple[int | None, ...]
    dtype: str
    output: str


class _Meta(BaseModel):
    dtype: int
    sizes: list[dict[str, Any]]
    strides: list[dict[str, Any]]
    storage_offset: dict[str, Any]


class _Argument(BaseModel):
    name: str
    arg: dict[str, Any]


class _Call(BaseModel):
    target: str
    inputs: list[_Argument]
    outputs: list[dict[str, Any]]
    metadata: dict[str, Any] = {}


class _Graph(BaseModel):
    nodes: list[_Call]
    tensor_values: dict[str, _Meta]


class _Signature(BaseModel):
    input_specs: list[dict[str, dict[str, Any]]]
    output_specs: list[dict[str, dict[str, Any]]]


class _Module(BaseModel):
    graph: _Graph
    signature: _Signature


class _Model(BaseModel):
    graph_module: _Module


class _Payload(BaseModel):
    path_name: str
    use_pickle: bool
    tensor_meta: _Meta | None = None


class _Payloads(BaseModel):
    config: dict[str, _Payload]


def read_archive(source: Path | bytes, where: str) -> Program:
    """Read the archive at a path or in memory; raises ModelError naming ``where``."""
    try:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        if size > MAX_ARCHIVE_BYTES:
            raise ModelError(where, f"is larger than {MAX_ARCHIVE_BYTES >> 20} MiB")
        with zipfile.ZipFile(
            io.BytesIO(source) if isinstance(source, bytes) else source
        ) as archive:
            return _Reader(archive, where).program()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(where, "is not a readable .pt2 archive", REEXPORT) from error
    except OSError as error:
        raise ModelError(where, f"cannot be read ({error.strerror or 'bad data'})") from error
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])[:80]
        raise ModelError(where, f"has a malformed graph (at {field!r})", REEXPORT) from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ModelError(
            where, f"has a malformed graph ({type(error).__name__})", REEXPORT
        ) from error


class _Reader:
    """One open archive."""

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        self.archive, self.where = archive, where
        infos = archive.infolist()
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
            raise ModelError(where, "holds compressed members", REEXPORT)
        if sum(info.file_size for info in infos) > MAX_ARCHIVE_BYTES:
            raise ModelError(where, "declares more data than it may hold")
        roots = [i.filename for i in infos if i.filename.endswith("/models/model.json")]
        if len(roots) != 1:
            raise ModelError(where, "is not an archive of one exported program", REEXPORT)
        self.root = roots[0].removesuffix("models/model.json")

    def program(self) -> Program:
        module = _Model.model_validate(self._json("models/model.json")).graph_module
        payloads = {
            kind: _Payloads.model_validate(
                self._json(f"data/{kind}/model_{kind}_config.json")
            ).config
            for kind in ("weights", "constants")
        }
        calls = tuple(self._calls(module.graph))
        used = {name for call in calls for name in _refs(call.args)}
        constants: dict[str, Array] = {}
        user_inputs: list[str] = []
        for spec in module.signature.input_specs:
            ((kind, body),) = spec.items()
            if kind == "user_input":
                user_inputs.append(str(body["arg"]["as_tensor"]["name"]))
                continue
            group = {"parameter": "weights", "buffer": "weights", "tensor_constant": "constants"}
            if kind not in group:
                raise ModelError(self.where, f"has an input of kind {kind[:40]!r}", "remove it")
            name, key = str(body["arg"]["name"]), str(body[f"{kind}_name"])
            if name in used:
                # A buffer that is not persistent is stored among the constants.
                where = group[kind] if key in payloads[group[kind]] else "constants"
                constants[name] = self._tensor(where, key, payloads[where][key])
        if len(user_inputs) != 1:
            raise ModelError(self.where, f"takes {len(user_inputs)} inputs", "it must take one")
        outputs = [body for spec in module.signature.output_specs for body in spec.items()]
        if len(outputs) != 1 or outputs[0][0] != "user_output":
            raise ModelError(self.where, f"has {len(outputs)} outputs", "it must return the scores")
        meta = module.graph.tensor_values[user_inputs[0]]
        return Program(
            calls,
            constants,
            user_inputs[0],
            tuple(s.get("as_int") for s in meta.sizes),
            DTYPES.get(meta.dtype, ""),
            str(outputs[0][1]["arg"]["as_tensor"]["name"]),
        )

    def _json(self, name: str) -> Any:
        info = self.archive.getinfo(self.root + name)
        if info.file_size > MAX_JSON_BYTES:
            raise ModelError(self.where, f"{name} is larger than {MAX_JSON_BYTES >> 20} MiB")
        try:
            return json.loads(self.archive.read(info))
        except RecursionError as error:
            raise ModelError(self.where, f"{name} is nested too deeply") from error

    def _tensor(self, kind: str, key: str, payload: _Payload) -> Array:
        meta = payload.tensor_meta
        if payload.use_pickle or meta is None:
            raise ModelError(key[:80], "is stored as a pickle, which could run code", REEXPORT)
        if meta.dtype not in DTYPES:
            raise ModelError(
                key[:80], "is neither float32 nor float64", "convert with model.float()"
            )
        storage = np.frombuffer(
            self.archive.read(f"{self.root}data/{kind}/{payload.path_name}"), DTYPES[meta.dtype]
        )
        sizes = [int(s["as_int"]) for s in meta.sizes]
        strides = [int(s["as_int"]) for s in meta.strides]
        offset = int(meta.storage_offset["as_int"])
        last = offset + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
        legal = min([offset, *strides, *(n - 1 for n in sizes)]) >= 0
        if not legal or last >= storage.size or math.prod(sizes) > storage.size:
            raise ModelError(
                key[:80], f"shape {sizes} does not fit its {storage.size} stored values"
            )
        steps = [s * storage.itemsize for s in strides]
        view = np.lib.stride_tricks.as_strided(storage[offset:], sizes, steps, writeable=False)
        return np.ascontiguousarray(view).astype(view.dtype.newbyteorder("="))

    def _calls(self, graph: _Graph) -> Iterator[Call]:
        if len(graph.nodes) > MAX_NODES:
            raise ModelError(self.where, f"has {len(graph.nodes)} calls, more than {MAX_NODES}")
        for node in graph.nodes:
            if node.target.startswith("torch.ops.aten._assert"):
                continue  # guards of the tracer: they compute nothing
            args = {a.name: _argument(a.arg) for a in node.inputs}
            output = _argument(node.outputs[0]) if node.outputs else None
            name = output.name if isinstance(output, Ref) else ""
            target = node.target.removeprefix("torch.ops.")
            stack = str(node.metadata.get("nn_module_stack", ""))
            yield Call(name, target, args, name, _hint(stack, target, name))


def _argument(arg: dict[str, Any]) -> Any:
    """A plain value, a `Ref`, or a list of them."""
    ((kind, value),) = arg.items()
    match kind:
        case "as_none":
            return None
        case "as_tensor":
            return Ref(str(value["name"]))
        case "as_sym_int" | "as_sym_float" | "as_sym_bool":
            return Ref(str(value["as_name"])) if "as_name" in value else _argument(value)
        case "as_sym_ints" | "as_tensors" | "as_optional_tensors":
            return [Ref(str(v["as_name"])) if "as_name" in v else _element(v) for v in value]
        case "as_scalar_type":
            return ScalarType(int(value))
        case "as_float" if isinstance(value, str):
            return float(value)
        case _:
            return value


def _element(value: dict[str, Any]) -> Any:
    return Ref(str(value["name"])) if "name" in value else _argument(value)


def _refs(args: dict[str, Any]) -> Iterator[str]:
    for value in args.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Ref):
                yield item.name


def _hint(stack: str, target: str, name: str) -> str:
    """A readable name: the module's path, with the op where it is not a torch layer's own."""
    path, _, kind = stack.split(";")[-1].partition(",")[2].partition(",")
    if path and kind.startswith("torch.nn.modules."):
        return path
    op = target.split(".")[1] if target.count(".") == 2 else name
    return f"{path}.{op.strip('_')}" if path and "empty_nn_module" not in path else name
