# SPDX-License-Identifier: BSD-2-Clause
"""The layers of a Keras configuration (functional or sequential) in the order of evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import MAX_NODES, Array, printable

MAX_SIZE = 1 << 20
"""Largest side of an image."""
FUNCTIONAL = "write it as a functional or sequential model"


@dataclass(frozen=True)
class Layer:
    """One layer.

    ``kind`` is its class, ``config`` its settings as the file gives them, ``inputs`` the names of
    the layers that feed it. ``weights`` are in Keras' own order, ``weight_names`` their names
    where the file tells them. ``problem`` says why it cannot be used ("" if it can);
    ``is_operation`` marks functions such as ``x + y``, which are no layers to Keras.
    """

    name: str
    kind: str
    config: dict[str, Any]
    inputs: tuple[str, ...] = ()
    weights: tuple[Array, ...] = ()
    weight_names: tuple[str, ...] = ()
    problem: str = ""
    remedy: str = ""
    is_operation: bool = False


@dataclass(frozen=True)
class KerasModel:
    """A file that has been read.

    ``layers`` are those behind the input, each after all that feed it; ``saved_order`` are all, in
    the order of the file. ``sizes`` is the shape of an image as Keras has it, without the batch:
    (H, W, C), (H, W) or (K,).
    """

    where: str
    layers: tuple[Layer, ...]
    saved_order: tuple[Layer, ...]
    input: str
    sizes: tuple[int, ...]
    output: str


def read_graph(config: Any, where: str, input_shape: Sequence[int] | None) -> KerasModel:
    """Read a configuration, without weights; ``input_shape`` (C, H, W) fills in open sizes."""
    try:
        kind, settings = config["class_name"], config["config"]
        if kind == "Sequential":
            return _sequential(settings, where, input_shape)
        if kind in ("Functional", "Model") and "layers" in settings:
            return _functional(settings, where, input_shape)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        problem = f"its architecture is malformed ({type(error).__name__})"
        raise ModelError(where, problem, "save it again with model.save") from error
    raise ModelError(where, f"is a model of class {printable(str(kind))!r}", FUNCTIONAL)


def _sequential(
    settings: dict[str, Any], where: str, input_shape: Sequence[int] | None
) -> KerasModel:
    layers = _layers(settings["layers"], where)
    if not layers:
        raise ModelError(where, "holds no layers")
    first = layers[0]
    declared = _declared(first.config) or settings.get("build_input_shape")
    start = first.name if first.kind == "InputLayer" else "input"
    chain, previous = [], start
    for layer in layers[first.kind == "InputLayer" :]:
        chain.append(replace(layer, inputs=(previous,)))
        previous = layer.name
    if start in {layer.name for layer in chain}:
        raise ModelError(where, f"two layers are called {printable(start)!r}")
    sizes = _sizes(declared, input_shape, where)
    return KerasModel(where, tuple(chain), layers, start, sizes, previous)


def _functional(
    settings: dict[str, Any], where: str, input_shape: Sequence[int] | None
) -> KerasModel:
    layers = _layers(settings["layers"], where)
    inputs = list(_history(settings["input_layers"]))
    outputs = list(_history(settings["output_layers"]))
    if len(inputs) != 1 or len(outputs) != 1:
        counts = f"{len(inputs)} inputs and {len(outputs)} outputs"
        raise ModelError(where, f"has {counts}", "it must have one of each")
    by_name = {layer.name: layer for layer in layers}
    start, end = inputs[0], outputs[0]
    if start not in by_name or by_name[start].kind != "InputLayer" or end not in by_name:
        raise ModelError(where, "its input or its output is not one of its layers")
    for layer in layers:
        missing = next((name for name in layer.inputs if name not in by_name), None)
        if missing is not None:
            name = printable(layer.name)
            raise ModelError(where, f"{name} reads {printable(missing)!r}, which does not exist")
    try:
        order = list(TopologicalSorter({x.name: x.inputs for x in layers}).static_order())
    except CycleError as error:
        raise ModelError(where, "its layers form a cycle", FUNCTIONAL) from error
    wanted = {end}
    for name in reversed(order):
        if name in wanted:
            wanted.update(by_name[name].inputs)
    used = tuple(by_name[name] for name in order if name in wanted and name != start)
    sizes = _sizes(_declared(by_name[start].config), input_shape, where)
    return KerasModel(where, used, layers, start, sizes, end)


def _layers(entries: Sequence[Any], where: str) -> tuple[Layer, ...]:
    if not isinstance(entries, list) or len(entries) > MAX_NODES:
        raise ModelError(where, f"its layers are not a list of at most {MAX_NODES}")
    layers = tuple(_layer(entry) for entry in entries)
    names = Counter(layer.name for layer in layers)
    if len(names) != len(layers):
        ((twice, _),) = names.most_common(1)
        raise ModelError(where, f"two layers are called {printable(twice)!r}")
    return layers


def _layer(entry: dict[str, Any]) -> Layer:
    config = entry["config"]
    kind, name = entry["class_name"], entry.get("name") or config["name"]
    module, registered = entry.get("module"), entry.get("registered_name")
    if not isinstance(kind, str) or not isinstance(name, str) or not isinstance(config, dict):
        raise TypeError
    is_operation = isinstance(module, str) and ".ops" in module
    nodes = entry.get("inbound_nodes") or []
    problem = remedy = ""
    # A class of the user's own may carry the name of one of Keras.
    own = isinstance(module, str) and module.split(".")[0] not in ("keras", "tf_keras")
    if own or registered not in (None, kind):
        problem = "is a custom object, whose code is never run"
        remedy = "replace it with layers of Keras"
    elif len(nodes) > 1:
        problem = f"is shared: it is used {len(nodes)} times"
        remedy = "give every use a layer of its own"
    elif "layers" in config:
        problem, remedy = "is a model inside the model", "build one flat model of all layers"
    elif any(_is_training(node) for node in nodes):
        problem, remedy = "is called in training mode", "call it without training=True"
    # Only the first use of a shared layer counts: with all of them it would feed itself.
    inputs = tuple(_history(nodes[:1]))
    return Layer(
        name, kind, config, inputs, problem=problem, remedy=remedy, is_operation=is_operation
    )


def _history(part: Any) -> Iterator[str]:
    """Names of the layers whose outputs are mentioned anywhere in ``part``, in order.

    Keras 2 writes ``[name, node, tensor]`` or ``[name, node, tensor, keywords]``, Keras 3 the
    same in a dictionary under ``keras_history``.
    """
    if isinstance(part, dict):
        for value in part.values():
            yield from _history(value)
    elif isinstance(part, list):
        if len(part) in (3, 4) and isinstance(part[0], str) and _is_index(part[1:3]):
            if part[2] != 0:
                raise ValueError
            yield part[0]
            part = part[3:]
        for value in part:
            yield from _history(value)


def _is_index(values: Sequence[Any]) -> bool:
    return all(isinstance(v, int) and not isinstance(v, bool) for v in values)


def _is_training(part: Any) -> bool:
    """Whether a call passes ``training``, by name or as its only flag."""
    if isinstance(part, dict):
        return bool(part.get("training")) or any(_is_training(v) for v in part.values())
    return isinstance(part, list) and any(v is True or _is_training(v) for v in part)


def _declared(config: dict[str, Any]) -> Any:
    return config.get("batch_shape") or config.get("batch_input_shape")


def _sizes(declared: Any, given: Sequence[int] | None, where: str) -> tuple[int, ...]:
    """The image as Keras has it, from what the file says and what the caller knows."""
    if declared is None and given is None:
        raise ModelError(where, "leaves the shape of its images open", "give the input shape")
    rank = len(given) if declared is None and given is not None else len(declared) - 1
    if rank not in (1, 2, 3):
        raise ModelError(where, f"takes {rank}-dimensional images", "it must be 1 to 3 dimensions")
    known = [None] * rank if declared is None else list(declared[1:])
    wanted = known if given is None else _channels_last(given, rank)
    if len(wanted) != rank:
        raise ModelError(where, f"takes {rank}-dimensional images, not {tuple(given or ())}")
    for size, want in zip(known, wanted, strict=True):
        if want is None:
            raise ModelError(where, "leaves the size of its images open", "give the input shape")
        if not _is_index([want]) or not 0 < want <= MAX_SIZE:
            raise ModelError(where, f"takes images with a side of {printable(str(want))}")
        if size is not None and size != want:
            last = "x".join(str(n or "?") for n in known)
            raise ModelError(
                where, f"takes images {last} (channels last), not {tuple(given or ())}"
            )
    return tuple(wanted)


def _channels_last(given: Sequence[int], rank: int) -> list[Any]:
    if rank == 2 and len(given) == 3 and given[0] == 1:
        return list(given[1:])
    return [*given[1:], given[0]] if rank == len(given) == 3 else list(given)
