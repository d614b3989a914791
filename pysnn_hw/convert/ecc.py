# SPDX-License-Identifier: BSD-2-Clause
"""Explicit current control: count times threshold equals charge (methods.md, section 3).

Current normalisation gives every layer one scale lambda, here ``spike_max * theta``; the classic
division of weights and biases by it changes no spike and is left out (see `rate`). Thresholding for
residual elimination is ``v(0) = tau * theta``: a residue of at least ``(1 - tau) * theta`` still
makes a spike. At T = 1 with ``spike_max = T'`` this is the layer-synchronous form: counts of up to
T', equal to a network with quantised, clipped activations.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pysnn_hw.convert.skeleton import Skeleton
from pysnn_hw.ir.snn import INPUT, Array


def share_scales(skeleton: Skeleton, thresholds: Mapping[str, Array]) -> dict[str, Array]:
    """Thresholds of which those that meet in a sum are one: the largest of them.

    Spikes that reach a sum without weights (identity projections beside others) and the sum itself
    are a group; groups that share a population merge, so that all blocks of a residual stage end
    up with one scale. Counts can then be added as they are.

    Parameters
    ----------
    skeleton
        Of the network.
    thresholds
        By fire population, (C,) or (1,).
    """
    groups = {name: name for name in thresholds}

    def root(name: str) -> str:
        while groups[name] != name:
            groups[name] = groups[groups[name]]
            name = groups[name]
        return name

    for layer in skeleton.layers:
        into = [p for p in skeleton.projections if p.target == layer.name]
        for p in into if layer.kind == "fire" and len(into) > 1 else ():
            if p.kind == "identity" and p.source != INPUT:
                groups[root(p.source)] = root(layer.name)
    largest: dict[str, Array] = {}
    for name, theta in thresholds.items():
        largest[root(name)] = np.maximum(largest.get(root(name), 0.0), theta)
    return {name: largest[root(name)] for name in thresholds}
