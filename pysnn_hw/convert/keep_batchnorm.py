# SPDX-License-Identifier: BSD-2-Clause
"""Batch normalisation as thresholds: its gain moves there from the weights (methods.md 3.4 b).

Folding multiplies weights by the gain of their channel. Instead the membrane can count in units of
the convolution itself: weights stay as they were trained (but for the sign where gamma is
negative), and a channel of large gain has a low threshold. The normalisation then acts on currents
in units of spikes, so its constants are scaled, epsilon like the variance.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pysnn_hw.convert.scale import scale_channels
from pysnn_hw.ir.ann import AnnGraph, BatchNorm, Conv2d, Linear
from pysnn_hw.ir.snn import INPUT, Array, Projection, SnnNetwork

SPIKE_VALUES = "spike_values"


def scaled_batchnorm(layer: BatchNorm, source: float, target: float) -> BatchNorm:
    """``layer`` for inputs divided by the scale ``source``, its output divided by ``target``.

    ``scaled(x / source) == layer(x) / target``. Epsilon is scaled like the variance beside it: left
    alone it would weigh too much or too little wherever the variance is small.
    """
    return replace(
        layer,
        mean=layer.mean / source,
        var=layer.var / source**2,
        eps=layer.eps / source**2,
        gamma=layer.gamma / target,
        beta=layer.beta / target,
    )


def keep_batchnorm(net: SnnNetwork, graph: AnnGraph, unit: float) -> SnnNetwork:
    """``net``, converted from the folded ``graph``, with the gains in its thresholds.

    A population counts in units of the first convolution or linear layer into it that has a batch
    normalisation; gains of others in the same sum stay in their weights, as do gains of zero. The
    readout stays as it is: scores must be comparable.

    Parameters
    ----------
    net
        Of real numbers.
    graph
        Before batch normalisation was folded; its weighted layers name the projections of ``net``.
    unit
        What one raw unit of the input stands for in the model.
    """
    values = {
        p.name: p.per_channel("threshold").tolist() for p in net.populations if p.kind == "fire"
    }
    scales = {
        INPUT: unit,
        **{p.name: float(p.threshold.max()) for p in net.populations if p.kind == "fire"},
    }
    for name in [p.name for p in net.populations if p.kind == "fire"]:
        for projection in net.into(name):
            layer = _behind(graph, projection)
            if layer is not None:
                scaled = scaled_batchnorm(layer, scales[projection.source], scales[name])
                net = scale_channels(net, name, 1 / (_size(scaled) * scales[name]))
                break
    return replace(net, provenance={**net.provenance, SPIKE_VALUES: values})


def spike_values(net: SnnNetwork, name: str) -> Array:
    """What one spike per timestep of population ``name`` stands for in the trained network, (C,).

    The threshold, unless `keep_batchnorm` has changed what the membrane counts in.
    """
    values = net.provenance.get(SPIKE_VALUES)
    return (
        net.population(name).per_channel("threshold") if values is None else np.array(values[name])
    )


def _size(layer: BatchNorm) -> Array:
    """Absolute gain per channel; 1 where it is zero."""
    gain, _ = layer.scale_shift
    return np.abs(np.where(gain == 0, 1.0, gain))


def _behind(graph: AnnGraph, projection: Projection) -> BatchNorm | None:
    """The batch normalisation that was folded into the layer of ``projection``."""
    node = next((n for n in graph.nodes if n.name == projection.name), None)
    if not isinstance(node, Conv2d | Linear):
        return None
    (reader, *others) = graph.consumers(node.name) or (None,)
    return reader if isinstance(reader, BatchNorm) and not others else None
