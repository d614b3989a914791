# SPDX-License-Identifier: BSD-2-Clause
"""Damaged and hostile network files, drawn at random from a good one."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from safetensors.numpy import load, save

KEY = "pysnn_hw"
HOSTILE = (
    None, True, -1, 0, 256, 10**9, 10**30, -(10**30), 1.5, "", "x", "input", "n0\n", [], {}, [1],
    [10**9] * 3, [1 << 12] * 3, [0, 0, 0], [1] * 4, [1] * 100, {"a": 1},
)  # fmt: skip


def mutants(content: bytes, rng: np.random.Generator, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield ``count`` pairs of (what was done, content of the damaged file)."""
    for _ in range(count):
        damage = DAMAGES[rng.integers(len(DAMAGES))]
        yield damage.__name__, damage(content, rng)


def truncated(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(len(content))]


def lengthened(content: bytes, rng: np.random.Generator) -> bytes:
    return content + rng.bytes(rng.integers(1, 64))


def garbage(content: bytes, rng: np.random.Generator) -> bytes:
    return rng.bytes(rng.integers(0, 400))


def header_bit_flipped(content: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(content)
    (length,) = struct.unpack("<Q", content[:8])
    damaged[rng.integers(8 + length)] ^= 1 << rng.integers(8)
    return bytes(damaged)


def header_length_changed(content: bytes, rng: np.random.Generator) -> bytes:
    length = int(rng.choice([0, 1, 1 << 20, 1 << 40, (1 << 63) - 1]))
    return struct.pack("<Q", length) + content[8:]


def value_replaced(content: bytes, rng: np.random.Generator) -> bytes:
    return _with_document(content, lambda d: _replace(d, rng, HOSTILE[rng.integers(len(HOSTILE))]))


def value_deleted(content: bytes, rng: np.random.Generator) -> bytes:
    def delete(document: dict[str, Any]) -> None:
        container, key = _place(document, rng)
        del container[key]

    return _with_document(content, delete)


def key_added(content: bytes, rng: np.random.Generator) -> bytes:
    def add(document: dict[str, Any]) -> None:
        target = document
        if rng.random() < 0.5:
            target = document["populations"][rng.integers(len(document["populations"]))]
        target["comment"] = "hello"

    return _with_document(content, add)


def not_a_number(content: bytes, rng: np.random.Generator) -> bytes:
    value = float(rng.choice([np.nan, np.inf, -np.inf]))
    return _with_document(content, lambda d: _replace(d, rng, value))


def reordered(content: bytes, rng: np.random.Generator) -> bytes:
    return _with_document(content, lambda d: d["populations"].reverse())


def cycle(content: bytes, rng: np.random.Generator) -> bytes:
    def close(document: dict[str, Any]) -> None:
        projection = document["projections"][rng.integers(len(document["projections"]))]
        projection["source"] = document["populations"][-1]["name"]

    return _with_document(content, close)


def duplicated(content: bytes, rng: np.random.Generator) -> bytes:
    def repeat(document: dict[str, Any]) -> None:
        for part in (document["populations"], document["projections"]):
            part[-1]["name"] = document["populations"][0]["name"]

    return _with_document(content, repeat)


def nested_deep(content: bytes, rng: np.random.Generator) -> bytes:
    depth = int(rng.integers(300, 100_000))
    return _with_text(content, '{"format": 1, "provenance": ' + "[" * depth + "]" * depth + "}")


def json_broken(content: bytes, rng: np.random.Generator) -> bytes:
    text = _text(content)
    return _with_text(content, text[: rng.integers(len(text))])


def tensor_dropped(content: bytes, rng: np.random.Generator) -> bytes:
    tensors = load(content)
    tensors.pop(_any_tensor(tensors, rng))
    return save(tensors, {KEY: _text(content)})


def tensor_added(content: bytes, rng: np.random.Generator) -> bytes:
    return save(load(content) | {"extra\n" * 9: np.zeros(3, np.int8)}, {KEY: _text(content)})


def tensor_retyped(content: bytes, rng: np.random.Generator) -> bytes:
    dtype = rng.choice(["int16", "int64", "float32", "uint8", "bool"])
    return _with_tensor(content, rng, lambda x: x.astype(dtype))


def tensor_reshaped(content: bytes, rng: np.random.Generator) -> bytes:
    return _with_tensor(content, rng, lambda x: x.reshape(1, 1, *x.shape))


def tensor_resized(content: bytes, rng: np.random.Generator) -> bytes:
    return _with_tensor(content, rng, lambda x: np.concatenate([x, x]))


def tensor_extreme(content: bytes, rng: np.random.Generator) -> bytes:
    parameters = [name for name in load(content) if name.startswith("n")]
    name = str(rng.choice(parameters))
    limits = np.iinfo(np.int32)
    value = rng.choice([limits.min, limits.max] + [0] * name.endswith("threshold"))
    return _with_tensor(content, rng, lambda x: np.full_like(x, value), name)


DAMAGES: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    truncated, lengthened, garbage, header_bit_flipped, header_length_changed, value_replaced,
    value_replaced, value_replaced, value_deleted, key_added, not_a_number, reordered, cycle,
    duplicated, nested_deep, json_broken, tensor_dropped, tensor_added, tensor_retyped,
    tensor_reshaped, tensor_resized, tensor_extreme,
)  # fmt: skip


def with_fields(content: bytes, **fields: object) -> bytes:
    """The file with some fields replaced, named by path: ``populations__0__spike_max=0``."""

    def change(document: Any) -> None:
        for path, value in fields.items():
            *parents, last = (int(k) if k.isdigit() else k for k in path.split("__"))
            part = document
            for key in parents:
                part = part[key]
            part[last] = value

    return _with_document(content, change)


def _text(content: bytes) -> str:
    (length,) = struct.unpack("<Q", content[:8])
    text: str = json.loads(content[8 : 8 + length])["__metadata__"][KEY]
    return text


def _with_text(content: bytes, text: str) -> bytes:
    return save(load(content), {KEY: text})


def _with_document(content: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(_text(content))
    change(document)
    return _with_text(content, json.dumps(document))


def _with_tensor(
    content: bytes,
    rng: np.random.Generator,
    change: Callable[[Any], Any],
    name: str | None = None,
) -> bytes:
    tensors = load(content)
    name = name or _any_tensor(tensors, rng)
    tensors[name] = np.ascontiguousarray(change(tensors[name]))
    return save(tensors, {KEY: _text(content)})


def _any_tensor(tensors: dict[str, Any], rng: np.random.Generator) -> str:
    return sorted(tensors)[rng.integers(len(tensors))]


def _place(document: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """A random (container, key) below ``document``."""
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        keys = part.keys() if isinstance(part, dict) else range(len(part))
        for key in keys:
            places.append((part, key))
            if isinstance(part[key], dict | list):
                walk(part[key])

    walk(document)
    return places[rng.integers(len(places))]


def _replace(document: Any, rng: np.random.Generator, value: object) -> None:
    container, key = _place(document, rng)
    container[key] = copy.deepcopy(value)
