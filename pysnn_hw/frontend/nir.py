# SPDX-License-Identifier: BSD-2-Clause
"""NIR graphs in: already spiking networks, so they become an `SnnNetwork` without conversion."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import MAX_TOTAL_VALUES, MAX_WEIGHTS, printable
from pysnn_hw.frontend.nir_graph import Graph, Node, graph_of
from pysnn_hw.frontend.nir_metadata import KEY, Metadata, read_metadata, restored
from pysnn_hw.frontend.nir_neurons import KINDS, Rules, check_rules, integrator_gain, neurons
from pysnn_hw.frontend.nir_synapses import Signal, added, fold, spikes
from pysnn_hw.ir.check import MAX_NEURONS, check_network
from pysnn_hw.ir.snn import INPUT, Input, Population, Projection, Readout, Shape, SnnNetwork

READOUT = "readout"


@dataclass(frozen=True)
class NirOptions:
    """What a NIR graph leaves open; files that `write_nir` wrote say all of it themselves.

    Attributes
    ----------
    timesteps
        Timesteps T of one inference.
    reset, strict, dt, approximate_leak
        See `nir_neurons.Rules`.
    encoding
        ``events``: an image is (T, C, H, W), a value per step. ``constant``: one value for all.
    minimum, maximum
        Range of the input values; the largest is by default 1 for events and 255 for constant
        input.
    scale
        The graph sees value / scale.
    """

    timesteps: int | None = None
    reset: Literal["soft", "hard"] | None = None
    strict: bool | None = None
    dt: float | None = None
    approximate_leak: bool = False
    encoding: Literal["events", "constant"] = "events"
    minimum: int = 0
    maximum: int | None = None
    scale: float = 1.0


def read_nir(source: str | Path | Any, options: NirOptions | None = None) -> SnnNetwork:
    """Read a NIR graph.

    Parameters
    ----------
    source
        Path of a ``.nir`` file (nothing in it is run), or a `nir.NIRGraph`.
    options
        What the graph does not say.

    Returns
    -------
    SnnNetwork
        In floating point. A graph that ends in spiking neurons is read by their spike counts, any
        other by the sum over all steps of what it puts out.

    Raises
    ------
    ModelError
        If the source cannot be read, is ambiguous, or holds what the hardware cannot do.
    NetworkError
        If the network breaks a rule of `check_network`.
    """
    options = options or NirOptions()
    graph = _renamed(load_graph(source))
    found = read_metadata(graph)
    shape, sizes = _shape(graph.one("Input"))
    entry = spikes(INPUT, shape, sizes)
    if found is not None:
        metadata, initial = found
        _check_agreement(graph.where, metadata, options)
        walk = _Walk(graph, _written_rules(metadata), entry, 1.0)
        written = walk.network(metadata.network.timesteps, _input(shape, options))
        return restored(written, metadata, initial, graph.where)
    rules, timesteps = check_rules(
        graph.where,
        options.reset,
        options.strict,
        options.dt,
        options.timesteps,
        options.approximate_leak,
    )
    walk = _Walk(graph, defaultdict(lambda: rules), entry, options.scale)
    net = walk.network(timesteps, _input(shape, options))
    check_network(net)
    return net


def _written_rules(metadata: Metadata) -> Mapping[str, Rules]:
    """The rules of each neuron node; of others those of any."""
    parts = zip(metadata.network.populations, metadata.populations, strict=True)
    rules = {
        names.node: Rules(part.neuron.reset, part.neuron.strict, metadata.dt)
        for part, names in parts
    }
    return defaultdict(lambda: Rules("soft", False, metadata.dt), rules)


def _check_agreement(where: str, metadata: Metadata, options: NirOptions) -> None:
    """Refuse options that contradict what the file says itself."""
    neurons = [p.neuron for p in metadata.network.populations if p.kind == "fire"]
    said: dict[str, list[Any]] = {
        "timesteps": [metadata.network.timesteps],
        "dt": [metadata.dt],
        "reset": [n.reset for n in neurons],
        "strict": [n.strict for n in neurons],
    }
    for name, values in said.items():
        given = getattr(options, name)
        if given is not None and any(value != given for value in values):
            problem = f"says itself that {name} is {values[0]}, not {given}"
            raise ModelError(where, problem, f"leave {name} out")


def is_ours(source: str | Path | Any) -> bool:
    """Whether a graph says in its metadata all that `NirOptions` would."""
    return KEY in load_graph(source).metadata


def load_graph(source: str | Path | Any) -> Graph:
    """The graph of a file or of a `nir.NIRGraph`; see `read_nir`."""
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise ModelError(str(source), "there is no such file")
        try:
            from pysnn_hw.frontend.nir_file import read_tree
        except ImportError as error:
            hint = "pip install 'pysnn-hw[nir]'"
            raise ModelError(
                str(source), "the package 'h5py' is needed to read it", hint
            ) from error
        return graph_of(read_tree(path), path.name)
    if not hasattr(source, "to_dict"):
        raise ModelError(type(source).__name__, "is neither a .nir file nor a nir.NIRGraph")
    return graph_of(source.to_dict(), type(source).__name__)


class _Walk:
    """Goes through the nodes in order and gathers populations and projections."""

    def __init__(
        self, graph: Graph, rules: Mapping[str, Rules], entry: Signal, scale: float
    ) -> None:
        self._graph, self._rules = graph, rules
        if not (scale > 0 and math.isfinite(scale)):
            raise ModelError("scale", f"{scale!r} is not a positive number")
        self._entry = entry.scaled(np.full(entry.shape[0], 1 / scale))
        self._populations: list[Population] = []
        self._projections: list[Projection] = []
        self._values, self._weights = MAX_TOTAL_VALUES, MAX_WEIGHTS

    def network(self, timesteps: int, entry: Input) -> SnnNetwork:
        """All nodes, in order."""
        output = self._graph.one("Output")
        used = {source for sources in self._graph.sources.values() for source in sources}
        signals: dict[str, Signal] = {}
        for node in self._graph.nodes:
            if node.name not in used and node is not output:
                raise node.refusal("leads nowhere", "drop it, or connect it")
            signals[node.name] = x = self._after(node, signals)
            self._values -= x.shape[0] * (1 + len(x.ways))
            self._weights -= sum(w.layer.weight.size for w in x.ways if w.layer is not None)
            if min(self._values, self._weights) < 0:
                raise node.refusal("with it the network is too large")
        readout = self._read(output, signals[output.name])
        return SnnNetwork(
            timesteps,
            entry,
            tuple(self._populations),
            tuple(_unique(self._projections)),
            readout,
            {"source": self._graph.where, "method": "nir"},
        )

    def _after(self, node: Node, signals: dict[str, Signal]) -> Signal:
        if node.kind == "Input":
            return self._entry
        x = added(node, [signals[name] for name in self._graph.sources[node.name]])
        if node.kind in KINDS:
            population, scaled = neurons(node, x, self._rules[node.name])
            self._populations.append(population)
            self._projections += [way.projection(node) for way in scaled.ways]
            return spikes(node.name, x.shape, x.sizes)
        if node.kind == "Output":
            return x
        if node.kind == "I":
            if x.integrated:
                raise node.refusal("integrates what is integrated already")
            return replace(
                x.scaled(integrator_gain(node, x, self._rules[node.name].dt)), integrated=True
            )
        if node.kind in ("LI", "CubaLI"):
            problem = "is a leaky integrator, and a readout of the hardware does not leak"
            raise node.refusal(problem, "end in I, in a linear layer, or in spiking neurons")
        return fold(node, x)

    def _read(self, node: Node, x: Signal) -> Readout:
        """Adds the readout, and says how the class is read."""
        if max(x.shape[1:]) > 1:
            problem = f"puts out a map of {x.shape}, not a vector of classes"
            raise node.refusal(problem, "flatten in front of a linear layer")
        counts = (
            x.bare
            and len(x.ways) == 1
            and x.ways[0].source != INPUT
            and x.ways[0].pool is None
            and bool((x.ways[0].gain == 1).all())
        )
        names = {p.name for p in self._populations}
        name = READOUT
        while name in names:
            name += "_"
        target = replace(node, name=name)
        empty, zero = np.zeros(0), np.zeros(1)
        self._populations.append(Population(name, "readout", x.shape, x.bias, empty, zero, 0))
        self._projections += [way.projection(target) for way in x.ways]
        return Readout("count" if counts else "potential")


def _renamed(graph: Graph) -> Graph:
    """``graph`` with names that a network may have."""
    new: dict[str, str] = {}
    used = {INPUT}
    for node in graph.nodes:
        name = base = printable(node.name)
        count = 1
        while name in used:
            count += 1
            name = f"{base}_{count}"
        used.add(name)
        new[node.name] = name
    nodes = tuple(replace(node, name=new[node.name]) for node in graph.nodes)
    sources = {new[k]: tuple(new[s] for s in found) for k, found in graph.sources.items()}
    return replace(graph, nodes=nodes, sources=sources)


def _unique(projections: Sequence[Projection]) -> list[Projection]:
    """``projections``, those of one name numbered."""
    seen: Counter[str] = Counter()
    taken = {p.name for p in projections}
    out = []
    for projection in projections:
        name = projection.name
        while seen[name]:
            seen[projection.name] += 1
            name = f"{projection.name}_{seen[projection.name]}"
            name = f"{name}_" if name in taken else name
        seen[name] += 1
        out.append(replace(projection, name=name))
    return out


def _shape(node: Node) -> tuple[Shape, tuple[int, ...]]:
    """(C, H, W) of the input, and its shape as the graph has it."""
    sizes = node.shape("shape")
    if len(sizes) > 3 or math.prod(sizes) > MAX_NEURONS:
        raise node.refusal(f"has shape {sizes}", "at most (channels, height, width)")
    if len(sizes) == 2:
        return (sizes[0], 1, sizes[1]), sizes
    padded = (*sizes, 1, 1)
    return (padded[0], padded[1], padded[2]), sizes


def _input(shape: Shape, options: NirOptions) -> Input:
    if options.encoding not in ("events", "constant"):
        raise ModelError("encoding", f"{options.encoding!r} is neither events nor constant")
    largest = options.maximum if options.maximum is not None else 255
    if options.maximum is None and options.encoding == "events":
        largest = 1
    return Input(shape, (0,) * shape[0], options.minimum, largest, options.encoding)
