# SPDX-License-Identifier: BSD-2-Clause
"""Imports Keras models: ``.keras`` and ``.h5`` files, and models in memory."""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import Array, GraphBuilder, Refusal, Tensor, Value
from pysnn_hw.frontend.compare import Reference
from pysnn_hw.frontend.keras_args import Args
from pysnn_hw.frontend.keras_file import load_model
from pysnn_hw.frontend.keras_graph import KerasModel
from pysnn_hw.frontend.keras_ops import HANDLERS, OPERATIONS
from pysnn_hw.frontend.keras_reference import make_reference
from pysnn_hw.frontend.remedies import remedy

__all__ = ["build", "load_model", "make_reference", "model_reference", "save_and_load"]

BATCH = 3
"""Images in a comparison: Keras leaves it open."""
REMEDIES = {
    "Lambda": "it holds Python code, which is never run: write it with layers of Keras",
    "TFOpLambda": "write it with layers of Keras",
    "Concatenate": remedy("concat"),
}


def build(model: KerasModel) -> tuple[GraphBuilder, Value]:
    """Walk the layers of ``model``; returns the builder and the output."""
    b = GraphBuilder(_channels_first(model.sizes), BATCH)
    env: dict[str, Value] = {model.input: b.input}
    orders: dict[str, Array] = {}
    for layer in model.layers:
        args = Args(b, layer, env, orders)
        env[layer.name] = b.attempt(layer.name, layer.kind, partial(_apply, args))
    output = env[model.output]
    if isinstance(output, Tensor) and output.node in orders:
        problem = "the result is a flattened map"
        b.refuse(model.output, "output", problem, "end with a Dense layer or with pooling")
    return b, output


def save_and_load(source: Any, input_shape: Sequence[int] | None = None) -> KerasModel:
    """Read a model in memory by way of a temporary file, as if the user had saved it."""
    where = type(source).__name__
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder, f"{where}.keras")
        try:
            source.save(path)
        # Saving runs the configuration of the user's own layers, which may raise anything.
        except Exception as error:
            problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(where, f"cannot be saved: {problem[:200]}") from error
        return load_model(path, input_shape)


def model_reference(source: Any, model: KerasModel) -> Reference:
    """Run ``source``, a model in memory, itself."""

    def run(x: Array) -> Array:
        images = x.transpose(0, 2, 3, 1).reshape(len(x), *model.sizes)
        output = source(np.ascontiguousarray(images), training=False)
        values: Any = sys.modules["keras"].ops.convert_to_numpy(output)
        return np.asarray(values)

    return run


def _channels_first(sizes: Sequence[int]) -> tuple[int, ...]:
    match sizes:
        case height, width, channels:
            return channels, height, width
        case height, width:
            return 1, height, width
        case _:
            return tuple(sizes)


def _apply(args: Args) -> Value:
    layer = args.layer
    if layer.problem:
        raise Refusal(layer.problem, layer.remedy)
    handler = HANDLERS.get(layer.kind)
    if handler is None or (layer.is_operation and layer.kind not in OPERATIONS):
        raise Refusal("is not supported", REMEDIES.get(layer.kind) or remedy(layer.kind))
    args.check_layout()
    return handler(args)
