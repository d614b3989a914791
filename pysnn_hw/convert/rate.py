# SPDX-License-Identifier: BSD-2-Clause
"""Rate coding: the spikes of T steps, times the threshold, stand for the activation.

For a population with threshold theta (in units of its activation), mean spike value r and
v(0) = theta / 2 (or another share tau of it), ``activation = r * theta`` up to rounding and
clipping. Synapses therefore carry
``weight * theta`` of their source per input channel, and biases enter unchanged every step. (The
classic weight normalisation is this with every population's current divided by its threshold,
which changes no spike.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pysnn_hw.convert.fold_batchnorm import per_input_channel
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.convert.skeleton import Layer, Skeleton
from pysnn_hw.ir.snn import INPUT, Array, Input, Population, Projection, SnnNetwork


def rate_network(
    skeleton: Skeleton,
    thresholds: Mapping[str, Array],
    preprocessing: Preprocessing,
    *,
    timesteps: int,
    spike_max: int,
    tau: float = 0.5,
) -> SnnNetwork:
    """The spiking network of ``skeleton`` with ``thresholds`` by population, (C,) or (1,).

    The input is the raw integer pixel minus the zero point, the integer next to the model's zero;
    ``1 / (scale * std)`` goes into the weights. What rounding the zero point left over is constant
    and goes into the first biases: exact where no padding is involved, and at most half a grey
    level off under padding.
    """
    channels = skeleton.input_shape[0]
    mean, std = preprocessing.per_channel(channels)
    gain = 1 / (preprocessing.scale * std)
    zero_point = preprocessing.zero_point(channels)
    rest = (np.array(zero_point) - mean * preprocessing.scale) * gain

    shape_of = {layer.name: layer.shape for layer in skeleton.layers}
    factor = {k: np.broadcast_to(v, (shape_of[k][0],)) for k, v in thresholds.items()}
    # A unit event of a thresholded input stands for the largest raw integer.
    factor[INPUT] = gain if preprocessing.threshold is None else gain * preprocessing.maximum
    shape_of[INPUT] = skeleton.input_shape
    projections = tuple(
        replace(p, weight=_per_source_channel(p, factor[p.source], shape_of[p.source]))
        for p in skeleton.projections
    )
    extra = {layer.name: np.zeros(len(layer.bias)) for layer in skeleton.layers}
    for p in skeleton.projections:
        if p.source == INPUT:
            window = 1 if p.pool is None or p.pool.mode == "max" else np.prod(p.pool.kernel)
            extra[p.target] = extra[p.target] + window * _response(p, rest, shape_of[INPUT])
    populations = tuple(
        _population(layer, layer.bias + extra[layer.name], thresholds, spike_max, tau)
        for layer in skeleton.layers
    )
    return SnnNetwork(
        timesteps,
        Input(
            skeleton.input_shape,
            zero_point,
            preprocessing.minimum,
            preprocessing.maximum,
            threshold=preprocessing.threshold,
        ),
        populations,
        projections,
    )


def with_hard_reset(net: SnnNetwork) -> SnnNetwork:
    """``net`` whose neurons go back to zero after a spike, as in the oldest conversions.

    What a membrane holds beyond the threshold is lost, so rates come out too low: for comparison
    only (methods.md, INV-6).
    """
    populations = tuple(
        replace(p, neuron=replace(p.neuron, reset="hard")) if p.kind == "fire" else p
        for p in net.populations
    )
    return replace(net, populations=populations)


def _population(
    layer: Layer, bias: Array, thresholds: Mapping[str, Array], spike_max: int, tau: float
) -> Population:
    if layer.kind == "readout":
        return Population(
            layer.name, "readout", layer.shape, bias, np.empty(0), np.zeros(1), spike_max=0
        )
    theta = thresholds[layer.name].astype(np.float64)
    return Population(layer.name, "fire", layer.shape, bias, theta, tau * theta, spike_max)


def _per_source_channel(
    projection: Projection, values: Array, source: tuple[int, int, int]
) -> Array:
    """The weight of ``projection`` times one value per channel of its source."""
    _, height, width = projection.in_shape(source)
    match projection.kind:
        case "conv2d":
            factor = per_input_channel(projection.weight, values, projection.groups)
        case "linear":
            factor = np.repeat(values, height * width)
        case "identity":
            factor = values
    return np.asarray(projection.weight * factor)


def _response(projection: Projection, values: Array, source: tuple[int, int, int]) -> Array:
    """Current per target channel, far from borders, if each input of channel c is ``values[c]``."""
    weighted = _per_source_channel(projection, values, source)
    return weighted if projection.kind == "identity" else weighted.reshape(len(weighted), -1).sum(1)
