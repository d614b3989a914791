# SPDX-License-Identifier: BSD-2-Clause
"""What every conversion method starts from: populations and synapses, but no thresholds yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pysnn_hw.ir.snn import Array, Projection, Shape


@dataclass(frozen=True, eq=False)
class Layer:
    """A population to be.

    Attributes
    ----------
    name
        Of the population and of the ANN node whose output its spikes stand for.
    bias
        Float64 (C,), in units of the ANN's pre-activation.
    ceiling
        Upper clip of the activation (ReLU6 has 6); None if unbounded, and for the readout.
    """

    name: str
    kind: Literal["fire", "readout"]
    shape: Shape
    bias: Array
    ceiling: float | None = None


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Layers and projections in topological order; the last layer is the readout.

    Weights are float64 in units of the ANN: they expect the source's activation (for the input:
    the model's own input). ``1 / k**2`` of an average pooling is already in them.
    """

    input_shape: Shape
    layers: tuple[Layer, ...]
    projections: tuple[Projection, ...]
