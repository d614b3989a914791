# SPDX-License-Identifier: BSD-2-Clause
"""What a network file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pysnn_hw.ir.file import load
from pysnn_hw.ir.snn import FixedNetwork, Population, Projection, Shape
from pysnn_hw.ir.widths import PopulationWidths, signed_bits, widths


@dataclass(frozen=True)
class PopulationSummary:
    """One population; ``membrane_bits`` is proven wide enough for every input.

    ``threshold`` is (smallest, largest) over the channels, ``None`` for the readout; so is
    ``clamp``, the range of the stored membrane.
    """

    name: str
    kind: str
    shape: Shape
    neurons: int
    spike_max: int
    threshold: tuple[int, int] | None
    clamp: tuple[int | None, int | None]
    membrane_bits: int


@dataclass(frozen=True)
class ProjectionSummary:
    """One projection; ``dense_macs`` is what it costs when every input is non-zero.

    ``weight_bits`` is the width of the widest weight, ``weights`` their number.
    """

    name: str
    source: str
    target: str
    kind: str
    weight_shape: tuple[int, ...]
    weights: int
    weight_bits: int
    pool: str
    dense_macs: int


@dataclass(frozen=True)
class Inspection:
    """Answer of `inspect`; see the parts."""

    file: Path
    timesteps: int
    input_shape: Shape
    input_range: tuple[int, int]
    input_threshold: int | None
    populations: tuple[PopulationSummary, ...]
    projections: tuple[ProjectionSummary, ...]
    neurons: int
    weights: int
    dense_macs: int
    provenance: Mapping[str, Any]


def inspect(network: str | Path) -> Inspection:
    """Summarise a ``.snn`` file.

    Raises
    ------
    FileFormatError, NetworkError
        If the file is malformed or the network breaks a rule.
    """
    net = load(Path(network))
    proven = widths(net)
    populations = tuple(_population(p, proven[p.name]) for p in net.populations)
    projections = tuple(_projection(net, p) for p in net.projections)
    return Inspection(
        file=Path(network),
        timesteps=net.timesteps,
        input_shape=net.input.shape,
        input_range=(net.input.minimum, net.input.maximum),
        input_threshold=net.input.threshold,
        populations=populations,
        projections=projections,
        neurons=sum(p.neurons for p in populations),
        weights=sum(p.weights for p in projections),
        dense_macs=net.dense_macs,
        provenance=net.provenance,
    )


def _population(population: Population, proven: PopulationWidths) -> PopulationSummary:
    theta = population.threshold
    return PopulationSummary(
        name=population.name,
        kind=population.kind,
        shape=population.shape,
        neurons=population.size,
        spike_max=population.spike_max,
        threshold=(int(theta.min()), int(theta.max())) if theta.size else None,
        clamp=(population.v_min, population.v_max),
        membrane_bits=proven.bits,
    )


def _projection(net: FixedNetwork, projection: Projection) -> ProjectionSummary:
    weight, pool = projection.weight, projection.pool
    return ProjectionSummary(
        name=projection.name,
        source=projection.source,
        target=projection.target,
        kind=projection.kind,
        weight_shape=tuple(weight.shape),
        weights=int(weight.size),
        weight_bits=signed_bits(int(weight.min()), int(weight.max())),
        pool="" if pool is None else f"{pool.mode} {pool.kernel[0]}x{pool.kernel[1]}",
        dense_macs=projection.as_conv(net.shape_of(projection.source)).macs,
    )
