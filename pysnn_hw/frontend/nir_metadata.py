# SPDX-License-Identifier: BSD-2-Clause
"""What a NIR graph cannot say of our networks, kept in the graph's metadata.

Under the key `KEY`: a JSON text (`Metadata`), and the initial membranes as arrays. Weights, biases
and thresholds are those of the graph, so that a file which another tool has trained further is read
as it is now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pysnn_hw.errors import ModelError, NetworkError
from pysnn_hw.frontend.builder import Array
from pysnn_hw.frontend.nir_graph import Graph
from pysnn_hw.ir.check import check_fixed, check_network
from pysnn_hw.ir.file import from_document
from pysnn_hw.ir.schema import Document
from pysnn_hw.ir.snn import INPUT, FixedNetwork, Population, Projection, SnnNetwork

KEY = "pysnn_hw"
DOCUMENT = "document"
INITIAL = "v_init"
_DROP = "drop the metadata pysnn_hw, and give reset, strict, dt and timesteps"


class NodeNames(BaseModel):
    """Where in the graph a part of the network is."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    node: Annotated[str, Field(max_length=300)]
    single: list[Literal["bias", "threshold"]] = Field(
        default=[], description="Parameters that the population has one of for all channels."
    )


class Metadata(BaseModel):
    """The JSON text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal[1]
    dt: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    integers: bool
    populations: list[NodeNames]
    projections: list[NodeNames]
    network: Document


def read_metadata(graph: Graph) -> tuple[Metadata, Mapping[str, Array]] | None:
    """Metadata and initial membranes by population; None if the graph is none of ours.

    Raises
    ------
    ModelError
        If they are malformed.
    """
    found = graph.metadata.get(KEY)
    if found is None:
        return None
    where = f"{graph.where}: metadata {KEY}"
    if not isinstance(found, Mapping) or not isinstance(found.get(DOCUMENT), str):
        raise ModelError(where, "is malformed", _DROP)
    try:
        metadata = Metadata.model_validate_json(found[DOCUMENT])
    except (ValidationError, RecursionError) as error:
        raise ModelError(where, "does not suit its schema", _DROP) from error
    network = metadata.network
    names = [p.name for p in network.populations]
    if len(metadata.populations) != len(names) or len(set(names)) != len(names):
        raise ModelError(where, "does not name each population once", _DROP)
    if len(metadata.projections) != len(network.projections):
        raise ModelError(where, "does not name each projection once", _DROP)
    initial = found.get(INITIAL)
    values = initial if isinstance(initial, Mapping) else {}
    return metadata, {str(k): np.asarray(v) for k, v in values.items()}


def restored(
    net: SnnNetwork, metadata: Metadata, initial: Mapping[str, Array], where: str
) -> SnnNetwork:
    """The network that was written, with the arrays of ``net``, as which its graph was read.

    Raises
    ------
    ModelError
        If graph and metadata do not belong together.
    """
    try:
        return _restored(net, metadata, initial)
    except (NetworkError, LookupError, TypeError, ValueError, OverflowError) as error:
        problem = f"does not describe this graph ({error})"
        raise ModelError(f"{where}: metadata {KEY}", problem, _DROP) from error


def _restored(net: SnnNetwork, metadata: Metadata, initial: Mapping[str, Array]) -> SnnNetwork:
    document = metadata.network
    counterparts = _projections(net, metadata)
    arrays = _parameters(net, metadata, initial)
    for k, (projection, part) in enumerate(zip(counterparts, document.projections, strict=True)):
        arrays[f"p{k}.weight"] = _weight(net, projection, part)
    real: SnnNetwork
    if metadata.integers:
        fixed = from_document(
            document, {k: _integers(k, v) for k, v in arrays.items()}, FixedNetwork
        )
        check_fixed(fixed)
        real = fixed
    else:
        real = from_document(document, arrays, SnnNetwork)
        check_network(real)
    for mine, written in zip(real.projections, counterparts, strict=True):
        if _geometry(real, mine) != _geometry(net, written):
            raise NetworkError(f"projection {mine.name!r}", "has another geometry")
    return real


def _geometry(net: SnnNetwork, projection: Projection) -> tuple[Any, ...]:
    view = projection.as_conv(net.shape_of(projection.source))
    return projection.pool, view.in_shape, view.stride, view.groups, view.out_shape


def _integers(name: str, values: Array) -> Array:
    if (values % 1).any():
        raise NetworkError(name, "is no longer of integers")
    return values.astype(np.int64)


def _parameters(
    net: SnnNetwork, metadata: Metadata, initial: Mapping[str, Array]
) -> dict[str, Array]:
    """Arrays of the populations, by their names in a network file."""
    found: dict[str, Array] = {}
    parts = zip(metadata.network.populations, metadata.populations, strict=True)
    for j, (part, names) in enumerate(parts):
        population, threshold = net.populations[-1], np.zeros(0)
        if part.kind == "fire":
            population = net.population(names.node)
            threshold = _parameter(population, "threshold", names)
        if population.shape != part.shape or population.neuron.leak != part.neuron.leak:
            raise NetworkError(f"population {part.name!r}", "has another shape or leak")
        found[f"n{j}.threshold"] = threshold
        found[f"n{j}.bias"] = _parameter(population, "bias", names)
        found[f"n{j}.v_init"] = np.ascontiguousarray(initial[f"n{j}"], np.float64)
    return found


def _projections(net: SnnNetwork, metadata: Metadata) -> list[Projection]:
    """The projections of ``net``, in the order of the document's."""
    network = metadata.network
    parts = zip(network.populations, metadata.populations, strict=True)
    nodes = {part.name: names.node for part, names in parts if part.kind == "fire"}
    nodes |= {INPUT: INPUT, network.populations[-1].name: net.populations[-1].name}
    by_name = {p.name: p for p in net.projections}
    found = []
    for part, names in zip(network.projections, metadata.projections, strict=True):
        projection = by_name[names.node] if names.node else net.projections[-1]
        if (projection.source, projection.target) != (nodes[part.source], nodes[part.target]):
            raise NetworkError(f"projection {part.name!r}", "joins other populations")
        found.append(projection)
    if len(found) != len(net.projections):
        raise NetworkError("projections", "there are others")
    return found


def _parameter(
    population: Population, name: Literal["bias", "threshold"], names: NodeNames
) -> Array:
    values = population.per_channel(name)
    if name not in names.single:
        return values
    if (values != values[0]).any():
        raise NetworkError(f"population {population.name!r}", f"has more than one {name}")
    return values[:1]


def _weight(net: SnnNetwork, projection: Projection, part: Any) -> Array:
    """The weights in the form that the network had them in."""
    view = projection.as_conv(net.shape_of(projection.source))
    weight, padding = view.weight, view.padding
    if part.kind == "conv2d":
        # Uneven padding was written as even padding of a larger kernel.
        top, left, bottom, right = (p - q for p, q in zip(padding, part.padding, strict=True))
        rows, columns = weight.shape[2] - bottom, weight.shape[3] - right
        return weight[:, :, top:rows, left:columns]
    if part.kind == "linear":
        return weight.reshape(len(weight), -1)
    return weight.reshape(len(weight), -1)[:, 0]
