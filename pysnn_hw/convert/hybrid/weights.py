# SPDX-License-Identifier: BSD-2-Clause
"""Weights and biases of a spiking network by name, out and strictly in again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pysnn_hw.errors import ModelError
from pysnn_hw.ir.snn import Array, SnnNetwork


def weights_of(net: SnnNetwork) -> dict[str, Array]:
    """``PROJECTION.weight`` and ``POPULATION.bias`` (C,) of all of them, float64."""
    weights = {f"{p.name}.weight": p.weight for p in net.projections}
    return weights | {f"{p.name}.bias": p.per_channel("bias") for p in net.populations}


def load_weights(net: SnnNetwork, tensors: Mapping[str, Array]) -> SnnNetwork:
    """``net`` with the weights and biases of ``tensors``, named as `weights_of` names them.

    Thresholds and everything else stay.

    Raises
    ------
    ModelError
        If a tensor is missing, is of nothing in the network, has another shape, or holds values
        that are not finite. Nothing is skipped: a network that is partly another one would run.
    """
    own = weights_of(net)
    for name in own:
        if name not in tensors:
            raise ModelError(name, "is missing among the weights")
    for name, values in tensors.items():
        if name not in own:
            raise ModelError(name, "is among the weights, but not in the network")
        if values.shape != own[name].shape:
            raise ModelError(
                name, f"has shape {values.shape}, but the network's is {own[name].shape}"
            )
        if not np.isfinite(values).all():
            raise ModelError(name, "holds values that are not finite")
    projections = tuple(
        replace(p, weight=np.asarray(tensors[f"{p.name}.weight"], np.float64))
        for p in net.projections
    )
    populations = tuple(
        replace(p, bias=np.asarray(tensors[f"{p.name}.bias"], np.float64)) for p in net.populations
    )
    return replace(net, projections=projections, populations=populations)
