# SPDX-License-Identifier: BSD-2-Clause
"""Reads what Keras saved (``.keras``, ``.h5`` of Keras 2 and 3) as data only.

Keras' own loader can run code that a file names, and its safe mode does not cover every format. So
the file is never given to Keras: the architecture is JSON, the weights are plain HDF5 datasets.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import Refusal, printable
from pysnn_hw.frontend.keras_graph import KerasModel, Layer, read_graph
from pysnn_hw.frontend.keras_hdf5 import MAX_NAMES, MAX_TEXT_BYTES, Store

MAX_BYTES = 128 << 20
"""Largest file."""
WITH_WEIGHTS = frozenset(
    ("BatchNormalization", "Conv2D", "Dense", "DepthwiseConv2D", "Normalization", "SeparableConv2D")
)
"""Layers whose weights are read; those of others (seeds of random layers) are left alone."""
SAVE_AGAIN = "save it again with model.save"


def load_model(path: Path, input_shape: Sequence[int] | None = None) -> KerasModel:
    """Read the file at ``path``; ``input_shape`` (C, H, W) fills in what it leaves open."""
    where = path.name
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(where, f"is larger than {MAX_BYTES >> 20} MiB")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(where, f"cannot be read ({error.strerror or 'bad path'})") from error
    # Keras 2 wrote HDF5 under any name, so the content decides.
    read = _read_archive if content.startswith(b"PK") else _read_hdf5
    return read(content, where, input_shape)


def _read_hdf5(content: bytes, where: str, input_shape: Sequence[int] | None) -> KerasModel:
    store = Store(content, where)
    text = store.attribute("", "model_config")
    if text is None:
        raise ModelError(where, "holds no architecture", "save the whole model with model.save")
    model = read_graph(_json("".join(text), where), where, input_shape)
    return replace(model, layers=tuple(_from_hdf5(store, layer) for layer in model.layers))


def _from_hdf5(store: Store, layer: Layer) -> Layer:
    """``layer`` with its weights: listed, in order, by an attribute of its group."""
    if layer.kind not in WITH_WEIGHTS or layer.problem:
        return layer
    group = f"model_weights/{layer.name}"
    names = store.attribute(group, "weight_names") or []
    fields = tuple(name.rsplit("/", 1)[-1].split(":")[0] for name in names)
    return _with_weights(store, replace(layer, weight_names=fields), group, names)


def _read_archive(content: bytes, where: str, input_shape: Sequence[int] | None) -> KerasModel:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
                raise ModelError(where, "holds compressed members", SAVE_AGAIN)
            if sum(info.file_size for info in infos) > MAX_BYTES:
                raise ModelError(where, "declares more data than it may hold")
            config = archive.read("config.json")
            weights = archive.read("model.weights.h5")
    except KeyError as error:
        problem = "holds no config.json or no model.weights.h5"
        raise ModelError(where, problem, f"{SAVE_AGAIN}, in one file") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ModelError(where, "is not a readable .keras archive, or it is damaged") from error
    except (ValueError, OverflowError) as error:
        raise ModelError(where, "is a damaged .keras archive") from error
    if len(config) > MAX_TEXT_BYTES:
        raise ModelError(where, "its config.json is too large")
    model = read_graph(_json(config, where), where, input_shape)
    store = Store(weights, where)
    places = dict(_places(store, model.saved_order))
    layers = (_from_archive(store, layer, places.get(layer.name)) for layer in model.layers)
    return replace(model, layers=tuple(layers))


def _places(store: Store, layers: Sequence[Layer]) -> Iterator[tuple[str, str]]:
    """(name, group) of each layer: groups are named after the class and counted, not by name."""
    # Keras 2.12 to 2.15 had another name for the same thing.
    old = "_layer_checkpoint_dependencies"
    root = old if store.find(old) is not None else "layers"
    used: Counter[str] = Counter()
    for layer in layers:
        base = _snake_case(layer.kind)
        suffix = f"_{used[base]}" if used[base] else ""
        used[base] += 1
        yield layer.name, f"{root}/{base}{suffix}/vars"


def _snake_case(kind: str) -> str:
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def _from_archive(store: Store, layer: Layer, group: str | None) -> Layer:
    """``layer`` with its weights, which are numbered in the order of their creation."""
    if layer.kind not in WITH_WEIGHTS or layer.problem or group is None:
        return layer
    count = store.members(group)
    if count > MAX_NAMES:
        raise ModelError(store.where, f"{printable(layer.name)} has {count} weights")
    return _with_weights(store, layer, group, [str(i) for i in range(count)])


def _with_weights(store: Store, layer: Layer, group: str, names: Sequence[str]) -> Layer:
    try:
        arrays = tuple(store.array(f"{group}/{name}") for name in names)
    except Refusal as refusal:
        # The walk over the layers reports it, beside what else cannot be imported.
        return replace(layer, problem=refusal.problem, remedy=refusal.remedy)
    return replace(layer, weights=arrays)


def _json(text: str | bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(where, "its architecture is not JSON: it is damaged") from error
