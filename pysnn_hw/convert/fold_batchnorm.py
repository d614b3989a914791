# SPDX-License-Identifier: BSD-2-Clause
"""Fold batch normalisation and per-channel affine layers into convolutions and linear layers.

Backwards, into the producer (eps is the layer's own)::

    w' = w * scale      b' = b * scale + shift      scale = gamma / sqrt(var + eps)

A layer behind a concatenation of such is cut into pieces first, one for each producer.

Forwards, into the only reader, where that is exact: always for a linear layer, for a convolution
only if it pads nothing or the shift is zero (padding would otherwise have to be ``shift``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pysnn_hw.convert.rewrite import remove, split, substitute
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.ann import (
    Affine,
    AnnGraph,
    BatchNorm,
    Concat,
    Conv2d,
    Flatten,
    Linear,
    Node,
    parameters,
    shapes,
)
from pysnn_hw.ir.snn import Array

WEIGHTED = Conv2d | Linear
MOVE_BEFORE_RELU = "place it between the convolution or linear layer and its ReLU, and retrain"


def fold_batchnorm(graph: AnnGraph) -> AnnGraph:
    """The same function without `BatchNorm` and `Affine` nodes.

    Raises
    ------
    ModelError
        Names the first layer that cannot be folded exactly, and why.
    """
    while layer := next((n for n in graph.nodes if isinstance(n, BatchNorm | Affine)), None):
        graph = _fold(graph, layer)
    return graph


def _fold(graph: AnnGraph, layer: BatchNorm | Affine) -> AnnGraph:
    scale, shift = layer.scale_shift if isinstance(layer, BatchNorm) else (layer.scale, layer.shift)
    producer = graph.producer(layer)
    if isinstance(producer, WEIGHTED):
        if len(graph.consumers(producer.name)) > 1:
            raise ModelError(
                layer.name,
                f"cannot be folded: {producer.name!r} also feeds another layer",
                "give each branch its own convolution",
            )
        folded = _backward(producer, scale, shift)
        return remove(substitute(graph, {producer.name: folded}), layer.name)
    if isinstance(producer, Concat) and _joins_weights(graph, producer):
        return split(graph, producer, layer, _pieces(graph, producer, layer))
    return _forward(graph, layer, scale, shift)


def _joins_weights(graph: AnnGraph, concat: Concat) -> bool:
    """Whether ``concat`` has one reader and joins weighted layers, or others that do."""
    inputs = [graph.node(name) for name in concat.inputs]
    return len(graph.consumers(concat.name)) == 1 and all(
        _joins_weights(graph, node) if isinstance(node, Concat) else isinstance(node, WEIGHTED)
        for node in inputs
    )


def _pieces(graph: AnnGraph, concat: Concat, layer: BatchNorm | Affine) -> list[BatchNorm | Affine]:
    """``layer`` cut into what each input of ``concat`` sees."""
    shape_of = shapes(graph)
    ends = np.cumsum([shape_of[name][0] for name in concat.inputs])
    cut = {name: np.split(values, ends[:-1]) for name, values in parameters(layer).items()}
    pieces: list[dict[str, Any]] = [
        {name: values[i] for name, values in cut.items()} for i in range(len(ends))
    ]
    return [replace(layer, **piece) for piece in pieces]


def _backward(producer: Conv2d | Linear, scale: Array, shift: Array) -> Conv2d | Linear:
    gain = scale.reshape(-1, *(1,) * (producer.weight.ndim - 1))
    bias = shift if producer.bias is None else producer.bias * scale + shift
    return replace(producer, weight=producer.weight * gain, bias=bias)


def _forward(graph: AnnGraph, layer: Node, scale: Array, shift: Array) -> AnnGraph:
    readers = graph.consumers(layer.name)
    reader = readers[0] if len(readers) == 1 else None
    if isinstance(reader, Flatten) and len(graph.consumers(reader.name)) == 1:
        _, height, width = shapes(graph)[layer.name]
        scale, shift = np.repeat(scale, height * width), np.repeat(shift, height * width)
        reader = graph.consumers(reader.name)[0]
    if not isinstance(reader, Conv2d | Linear):
        raise ModelError(
            layer.name,
            f"cannot be folded: it follows {graph.producer(layer).name!r}, which has no weights, "
            "and does not feed exactly one convolution or linear layer",
            MOVE_BEFORE_RELU,
        )
    if isinstance(reader, Conv2d) and any(reader.padding) and shift.any():
        raise ModelError(
            layer.name,
            f"cannot be folded into {reader.name!r}, whose zero padding would become its shift",
            MOVE_BEFORE_RELU,
        )
    return remove(substitute(graph, {reader.name: _into_reader(reader, scale, shift)}), layer.name)


def _into_reader(reader: Conv2d | Linear, scale: Array, shift: Array) -> Conv2d | Linear:
    bias = np.zeros(len(reader.weight)) if reader.bias is None else reader.bias
    if isinstance(reader, Linear):
        return replace(reader, weight=reader.weight * scale, bias=bias + reader.weight @ shift)
    gain = per_input_channel(reader.weight, scale, reader.groups)
    offset = per_input_channel(reader.weight, shift, reader.groups)
    return replace(
        reader,
        weight=reader.weight * gain,
        bias=bias + (reader.weight * offset).sum((1, 2, 3)),
    )


def per_input_channel(weight: Array, values: Array, groups: int) -> Array:
    """``values`` (C_in,) laid out to multiply a grouped weight (C_out, C_in / groups, kh, kw)."""
    by_group = values.reshape(groups, 1, weight.shape[1])
    repeated = np.repeat(by_group, weight.shape[0] // groups, axis=1)
    return repeated.reshape(weight.shape[0], weight.shape[1], 1, 1)
