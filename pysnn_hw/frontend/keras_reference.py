# SPDX-License-Identifier: BSD-2-Clause
"""Evaluates a Keras model layer by layer as Keras defines it: what an import is compared with.

Keras itself is not asked. Its loader may run code that a file names, it would bring a second
framework, and a process can have only one Keras backend, which is the user's choice. So this is a
second, independent reading of the layers: float64, channels last, convolutions as sums over the
taps of a kernel. The tests hold it against Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pysnn_hw.frontend.builder import Array
from pysnn_hw.frontend.compare import Reference
from pysnn_hw.frontend.keras_graph import KerasModel, Layer

Config = Mapping[str, Any]


def make_reference(model: KerasModel) -> Reference:
    """Evaluate ``model``; call the result only after all of its layers were accepted."""

    def run(x: Array) -> Array:
        images = x.astype(np.float64).transpose(0, 2, 3, 1).reshape(len(x), *model.sizes)
        values = {model.input: images}
        last_use = {name: layer.name for layer in model.layers for name in layer.inputs}
        for layer in model.layers:
            inputs = [values[name] for name in layer.inputs]
            values[layer.name] = LAYERS.get(layer.kind, _first)(layer, inputs)
            for name in {n for n in layer.inputs if last_use[n] == layer.name}:
                del values[name]
        return values[model.output]

    return run


def _first(layer: Layer, inputs: Sequence[Array]) -> Array:
    return inputs[0]


def _conv2d(layer: Layer, inputs: Sequence[Array]) -> Array:
    c = layer.config
    y = _correlate(inputs[0], layer.weights[0], c, c.get("groups", 1))
    return _activated(c, _biased(layer, y))


def _depthwise(layer: Layer, inputs: Sequence[Array]) -> Array:
    return _activated(layer.config, _biased(layer, _per_channel(layer, inputs[0])))


def _separable(layer: Layer, inputs: Sequence[Array]) -> Array:
    y = _per_channel(layer, inputs[0]) @ layer.weights[1][0, 0]
    return _activated(layer.config, _biased(layer, y))


def _per_channel(layer: Layer, x: Array) -> Array:
    kernel = layer.weights[0]
    rows, columns, channels, multiplier = kernel.shape
    as_groups = kernel.reshape(rows, columns, 1, channels * multiplier)
    return _correlate(x, as_groups, layer.config, channels)


def _correlate(x: Array, kernel: Array, c: Config, groups: int) -> Array:
    rows, columns, inputs, outputs = kernel.shape
    step = _both(c.get("strides", 1))
    x = _padded(x, (rows, columns), step, c.get("padding", "valid"), 0.0)
    height, width = (
        (n - k) // s + 1 for n, k, s in zip(x.shape[1:3], kernel.shape, step, strict=False)
    )
    weight = kernel.astype(np.float64).reshape(rows, columns, inputs, groups, outputs // groups)
    y = np.zeros((groups, len(x) * height * width, outputs // groups))
    for i in range(rows):
        for j in range(columns):
            seen = x[:, i : i + height * step[0] : step[0], j : j + width * step[1] : step[1]]
            seen = seen[:, :height, :width].reshape(-1, groups, inputs)
            y += seen.transpose(1, 0, 2) @ weight[i, j].transpose(1, 0, 2)
    return y.transpose(1, 0, 2).reshape(len(x), height, width, outputs)


def _padded(x: Array, window: Sequence[int], step: Sequence[int], mode: str, fill: float) -> Array:
    """TensorFlow's "same": as many outputs as strides fit, the odd pixel at the end."""
    if mode == "valid":
        return x
    sides = []
    for size, k, s in zip(x.shape[1:3], window, step, strict=True):
        total = max(k - s if size % s == 0 else k - size % s, 0)
        sides.append((total // 2, total - total // 2))
    return np.pad(x, [(0, 0), *sides, (0, 0)], constant_values=fill)


def _biased(layer: Layer, y: Array) -> Array:
    return y + layer.weights[-1] if layer.config.get("use_bias", True) else y


def _dense(layer: Layer, inputs: Sequence[Array]) -> Array:
    return _activated(layer.config, _biased(layer, inputs[0] @ layer.weights[0].astype(np.float64)))


def _batch_norm(layer: Layer, inputs: Sequence[Array]) -> Array:
    c, stored = layer.config, [w.astype(np.float64) for w in layer.weights]
    gamma = stored.pop(0) if c.get("scale", True) else 1.0
    beta = stored.pop(0) if c.get("center", True) else 0.0
    mean, variance = stored
    root = np.sqrt(variance + c.get("epsilon", 1e-3))
    normalised: Array = (inputs[0] - mean) / root * gamma + beta
    return normalised


def _normalization(layer: Layer, inputs: Sequence[Array]) -> Array:
    c = layer.config
    stored = layer.weights if c.get("mean") is None else (c["mean"], c["variance"])
    mean, variance = (np.asarray(v, dtype=np.float64).reshape(-1) for v in stored[:2])
    normalised: Array = (inputs[0] - mean) / np.maximum(np.sqrt(variance), 1e-7)
    return normalised


def _rescaling(layer: Layer, inputs: Sequence[Array]) -> Array:
    c = layer.config
    scale, offset = (np.asarray(c.get(name, 0.0), dtype=np.float64) for name in ("scale", "offset"))
    scaled: Array = inputs[0] * scale + offset
    return scaled


def _activation(layer: Layer, inputs: Sequence[Array]) -> Array:
    return _activated(layer.config, inputs[0])


def _activated(c: Config, x: Array) -> Array:
    kind = c.get("activation")
    if isinstance(kind, dict):
        if kind["class_name"] == "ReLU":
            return _rectified(kind["config"], x)
        kind = kind["config"]
    if kind in ("softmax", "log_softmax"):
        y = x - x.max(axis=-1, keepdims=True)
        y -= np.log(np.exp(y).sum(axis=-1, keepdims=True))
        return y if kind == "log_softmax" else np.asarray(np.exp(y))
    if kind in ("relu", "relu6"):
        return _rectified({"max_value": 6} if kind == "relu6" else {}, x)
    return x


def _relu(layer: Layer, inputs: Sequence[Array]) -> Array:
    return _rectified(layer.config, inputs[0])


def _rectified(c: Config, x: Array) -> Array:
    limit = c.get("max_value")
    return np.clip(x, 0, np.inf if limit is None else limit)


def _softmax(layer: Layer, inputs: Sequence[Array]) -> Array:
    return _activated({"activation": "softmax"}, inputs[0])


def _max_pool(layer: Layer, inputs: Sequence[Array]) -> Array:
    windows: Array = _windows(layer.config, inputs[0], -np.inf).max(axis=(4, 5))
    return windows


def _average_pool(layer: Layer, inputs: Sequence[Array]) -> Array:
    windows: Array = np.nanmean(_windows(layer.config, inputs[0], np.nan), axis=(4, 5))
    return windows


def _windows(c: Config, x: Array, fill: float) -> Array:
    size = _both(c.get("pool_size", 2))
    step = size if c.get("strides") is None else _both(c["strides"])
    x = _padded(x, size, step, c.get("padding", "valid"), fill)
    view = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))
    return view[:, :: step[0], :: step[1]]


def _global_average(layer: Layer, inputs: Sequence[Array]) -> Array:
    keep = layer.config.get("keepdims", False)
    return np.asarray(inputs[0].mean(axis=(1, 2), keepdims=keep))


def _global_max(layer: Layer, inputs: Sequence[Array]) -> Array:
    keep = layer.config.get("keepdims", False)
    return np.asarray(inputs[0].max(axis=(1, 2), keepdims=keep))


def _flatten(layer: Layer, inputs: Sequence[Array]) -> Array:
    return inputs[0].reshape(len(inputs[0]), -1)


def _reshape(layer: Layer, inputs: Sequence[Array]) -> Array:
    return inputs[0].reshape(len(inputs[0]), *layer.config["target_shape"])


def _zero_padding(layer: Layer, inputs: Sequence[Array]) -> Array:
    rows, columns = _both(layer.config.get("padding", 1))
    return np.pad(inputs[0], [(0, 0), _both(rows), _both(columns), (0, 0)])


def _add(layer: Layer, inputs: Sequence[Array]) -> Array:
    return np.asarray(sum(inputs[1:], start=inputs[0]))


def _concatenate(layer: Layer, inputs: Sequence[Array]) -> Array:
    return np.concatenate(inputs, axis=-1)


def _both(value: Any) -> tuple[Any, Any]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


LAYERS: dict[str, Callable[[Layer, Sequence[Array]], Array]] = {
    "Activation": _activation,
    "Add": _add,
    "AveragePooling2D": _average_pool,
    "BatchNormalization": _batch_norm,
    "Concatenate": _concatenate,
    "Conv2D": _conv2d,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _global_average,
    "GlobalMaxPooling2D": _global_max,
    "MaxPooling2D": _max_pool,
    "Normalization": _normalization,
    "ReLU": _relu,
    "Relu": _relu,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "SeparableConv2D": _separable,
    "Softmax": _softmax,
    "ZeroPadding2D": _zero_padding,
}
"""Layers that do something in inference; all others hand on their input."""
