# SPDX-License-Identifier: BSD-2-Clause
"""Collect what calibration needs to know of each layer's activations, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from pysnn_hw.errors import DataError
from pysnn_hw.ir.ann import AnnGraph, evaluate, shapes
from pysnn_hw.ir.snn import Array

VALUES_PER_LAYER = 1 << 19
"""Values sampled of each layer."""
BATCH_VALUES = 1 << 23
"""Values of all layers together that are held at a time."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Activations of one layer over the calibration images.

    Attributes
    ----------
    values
        Float32 (C, S): values at randomly drawn positions, the same number from every image. No
        padding is among them.
    maximum
        Float32 (C,): the largest activation over all images and positions.
    """

    values: Array
    maximum: Array


def sample_activations(
    graph: AnnGraph, x: Array, names: Collection[str], *, seed: int = 0
) -> dict[str, Sample]:
    """Sample the outputs of the nodes ``names`` on the model inputs ``x`` (N, C, H, W).

    Where a layer has more than `VALUES_PER_LAYER` values over all images, positions are drawn
    without replacement, anew for each image and the same for all its channels.

    Raises
    ------
    DataError
        An activation is NaN or infinite.
    """
    shape_of = shapes(graph)
    step = max(1, BATCH_VALUES // sum(math.prod(s) for s in shape_of.values()))
    rng = np.random.default_rng(seed)
    parts: dict[str, list[Array]] = {name: [] for name in names}
    maxima: dict[str, list[Array]] = {name: [] for name in names}
    for first in range(0, len(x), step):
        _, kept = evaluate(graph, x[first : first + step], keep=names)
        for name, activation in kept.items():
            if not np.isfinite(activation).all():
                raise DataError(name, "an activation is NaN or infinite on the calibration images")
            channels, height, width = shape_of[name]
            flat = activation.reshape(len(activation), channels, height * width)
            wanted = max(1, VALUES_PER_LAYER // (len(x) * channels))
            if wanted < flat.shape[2]:
                order = rng.random((len(flat), 1, flat.shape[2])).argpartition(wanted, axis=2)
                drawn = np.take_along_axis(flat, order[:, :, :wanted], axis=2)
            else:
                drawn = flat
            parts[name].append(drawn.transpose(1, 0, 2).reshape(channels, -1))
            maxima[name].append(flat.max((0, 2)))
    return {
        name: Sample(np.concatenate(parts[name], axis=1), np.max(maxima[name], axis=0))
        for name in names
    }
