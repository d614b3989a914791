# SPDX-License-Identifier: BSD-2-Clause
"""Move normalisation that stands inside the graph, right behind the input, into `Preprocessing`."""

from __future__ import annotations

from dataclasses import replace

from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.convert.rewrite import remove
from pysnn_hw.ir.ann import Affine, AnnGraph, BatchNorm


def absorb_input(graph: AnnGraph, preprocessing: Preprocessing) -> tuple[AnnGraph, Preprocessing]:
    """Drop a per-channel affine layer that alone reads the input; exact, also under zero padding.

    With ``m = (x / scale - mean) / std`` the layer's ``gain * m + shift`` is again of that form,
    with mean ``mean - shift * std / gain`` and deviation ``std / gain``. A layer with a gain that
    is not positive is left for `fold_batchnorm`.
    """
    channels = graph.input.shape[0]
    while True:
        readers = graph.consumers(graph.input.name)
        layer = readers[0] if len(readers) == 1 else None
        if isinstance(layer, BatchNorm):
            gain, shift = layer.scale_shift
        elif isinstance(layer, Affine):
            gain, shift = layer.scale, layer.shift
        else:
            return graph, preprocessing
        if not (gain > 0).all():
            return graph, preprocessing
        mean, std = preprocessing.per_channel(channels)
        preprocessing = replace(
            preprocessing,
            mean=tuple(float(v) for v in mean - shift * std / gain),
            std=tuple(float(v) for v in std / gain),
        )
        graph = remove(graph, layer.name)
