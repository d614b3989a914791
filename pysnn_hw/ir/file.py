# SPDX-License-Identifier: BSD-2-Clause
"""The network file ``.snn``: a safetensors file of integers with a JSON document in its metadata.

Tensors: ``p{k}.weight`` (int8) for projection k; ``n{j}.bias``, ``n{j}.threshold`` (not for the
readout) and ``n{j}.v_init`` (int32) for population j. Loading executes nothing and allocates no
more than a small multiple of the file's size.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from pysnn_hw.errors import FileFormatError, NetworkError
from pysnn_hw.ir.check import check_fixed
from pysnn_hw.ir.schema import Document
from pysnn_hw.ir.snn import (
    Array,
    FixedNetwork,
    Input,
    Neuron,
    Pool,
    Population,
    Probe,
    Projection,
    Readout,
    SnnNetwork,
)

_Part = Input | Population | Neuron | Projection | Pool | Readout | Probe

Network = TypeVar("Network", bound=SnnNetwork)

FORMAT = 1
METADATA_KEY = "pysnn_hw"
MAX_FILE_BYTES = 1 << 25
"""Largest file that is read: far beyond what a supported board holds."""


def save(net: FixedNetwork, path: str | Path) -> None:
    """Write ``net`` to ``path``, atomically: afterwards the file is whole, or as it was.

    Raises
    ------
    NetworkError
        If the network breaks a rule of `check_fixed`, or a field does not suit the schema (a
        provenance that is not JSON, say).
    """
    check_fixed(net)
    content = to_bytes(_tensors(net), {METADATA_KEY: to_document(net).model_dump_json()})
    if len(content) > MAX_FILE_BYTES:
        raise NetworkError(str(path), f"{len(content)} bytes are more than {MAX_FILE_BYTES}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | Path) -> FixedNetwork:
    """Read a network file.

    Raises
    ------
    FileFormatError
        If the file cannot be read, is malformed, or holds a network that breaks a rule; the
        message names the field.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise FileFormatError(str(path), f"{size} bytes are more than {MAX_FILE_BYTES}")
        with safe_open(path, framework="numpy") as file:
            document = _parse((file.metadata() or {}).get(METADATA_KEY))
            net = from_document(document, _read_tensors(file, document), FixedNetwork)
        check_fixed(net)
    except NetworkError as error:
        raise FileFormatError(f"{path}: {error.where}", error.problem, error.hint) from error
    except OSError as error:
        raise FileFormatError(str(path), f"cannot be read ({error.strerror or error})") from error
    except SafetensorError as error:
        raise FileFormatError(str(path), f"is not a safetensors file ({error})") from error
    return net


def _parse(text: str | None) -> Document:
    if text is None:
        raise NetworkError(f"metadata key {METADATA_KEY!r}", "is missing", "this is no .snn file")
    try:
        return Document.model_validate_json(text)
    except ValidationError as error:
        raise _first_fault(error) from error


def _first_fault(error: ValidationError) -> NetworkError:
    fault = error.errors(include_url=False)[0]
    where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in fault["loc"])
    if where == ".format":
        return NetworkError(
            "format", f"{fault['input']!r:.60} is unknown", f"this version reads format {FORMAT}"
        )
    problem = fault["msg"][0].lower() + fault["msg"][1:]
    if not isinstance(fault["input"], dict | list) and where:
        problem += f", not {fault['input']!r:.60}"
    return NetworkError(where.lstrip(".") or "metadata", problem)


def to_document(net: SnnNetwork) -> Document:
    """Everything of ``net`` but its arrays.

    Raises
    ------
    NetworkError
        If a field does not suit the schema.
    """
    fields = {
        "format": FORMAT,
        "timesteps": net.timesteps,
        "input": _without(net.input),
        "populations": [
            _without(p, "bias", "threshold", "v_init") | {"neuron": _without(p.neuron)}
            for p in net.populations
        ],
        "projections": [
            _without(p, "weight") | {"pool": None if p.pool is None else _without(p.pool)}
            for p in net.projections
        ],
        "readout": _without(net.readout) | {"noise": list(net.readout.noise)},
        "probe": None if net.probe is None else _without(net.probe),
        "provenance": dict(net.provenance),
    }
    try:
        return Document.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        raise _first_fault(error) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise NetworkError("provenance", f"is not JSON ({error})") from error


def _without(part: _Part, *names: str) -> dict[str, Any]:
    kept = (field.name for field in dataclasses.fields(part) if field.name not in names)
    return {name: getattr(part, name) for name in kept}


def _tensors(net: FixedNetwork) -> dict[str, Array]:
    tensors = {f"p{k}.weight": p.weight.astype(np.int8) for k, p in enumerate(net.projections)}
    for j, population in enumerate(net.populations):
        for name in _parameters(population.kind):
            tensors[f"n{j}.{name}"] = getattr(population, name).astype(np.int32)
    return tensors


def _parameters(kind: str) -> tuple[str, ...]:
    return ("bias", "v_init") if kind == "readout" else ("bias", "threshold", "v_init")


def _read_tensors(file: Any, document: Document) -> dict[str, Array]:
    dtypes = {f"p{k}.weight": "I8" for k in range(len(document.projections))}
    for j, population in enumerate(document.populations):
        dtypes |= {f"n{j}.{name}": "I32" for name in _parameters(population.kind)}
    present = set(file.keys())
    for name in sorted(dtypes.keys() - present):
        raise NetworkError(f"tensor {name!r}", "is missing")
    for name in sorted(present - dtypes.keys()):
        raise NetworkError(f"tensor {name!r:.60}", "belongs to no population or projection")
    for name, dtype in dtypes.items():
        found = file.get_slice(name).get_dtype()
        if found != dtype:
            raise NetworkError(f"tensor {name!r}", f"has dtype {found}, expected {dtype}")
    return {name: file.get_tensor(name).astype(np.int64) for name in dtypes}


def from_document(document: Document, tensors: Mapping[str, Array], kind: type[Network]) -> Network:
    """The network of a document and its arrays (named as in the file), unchecked."""
    entry = document.input
    populations = tuple(
        Population(
            threshold=tensors.get(f"n{j}.threshold", np.zeros(0, np.int64)),
            bias=tensors[f"n{j}.bias"],
            v_init=tensors[f"n{j}.v_init"],
            **dict(part) | {"neuron": Neuron(**dict(part.neuron))},
        )
        for j, part in enumerate(document.populations)
    )
    projections = tuple(
        Projection(
            weight=tensors[f"p{k}.weight"],
            **dict(part) | {"pool": None if part.pool is None else Pool(**dict(part.pool))},
        )
        for k, part in enumerate(document.projections)
    )
    return kind(
        timesteps=document.timesteps,
        input=Input(**dict(entry) | {"zero_point": tuple(entry.zero_point)}),
        populations=populations,
        projections=projections,
        readout=Readout(**dict(document.readout) | {"noise": tuple(document.readout.noise)}),
        provenance=document.provenance,
        probe=None if document.probe is None else Probe(**dict(document.probe)),
    )
