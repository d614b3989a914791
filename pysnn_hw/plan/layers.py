# SPDX-License-Identifier: BSD-2-Clause
"""What a core that runs several layers in turn does: its program, its tables, its memories.

Layers run one after the other, each for all timesteps: its projections are accumulated, then it
fires. Spikes stay in one memory that layers share (`liveness`); membranes live for one layer only
and are zero before and after it. A projection from a neuron to the same neuron (a residual sum) is
added while its target fires and costs no cycle.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np

from pysnn_hw.errors import PlanError
from pysnn_hw.ir.snn import INPUT, Array, FixedNetwork, Population, Projection
from pysnn_hw.ir.widths import clamps, population_widths, signed_bits
from pysnn_hw.plan.geometry import with_wide_groups
from pysnn_hw.plan.liveness import Placement, Span, place
from pysnn_hw.plan.rotation import RotatedGeometry, RotatedRow, rotated_geometry
from pysnn_hw.plan.schedule import CorePlan

COPIES = 2
"""Places for what comes from outside: one image is read while the next one arrives."""


Constant = Literal["threshold", "bias", "start"]
"""What a neuron needs to fire."""


@dataclass(frozen=True, eq=False)
class Region:
    """Where the spikes of a population lie: ``words`` for each timestep from ``base`` on.

    Those from ``outside`` the core lie there twice, one image after the other.
    """

    population: str
    base: int
    words: int
    outside: bool


@dataclass(frozen=True, eq=False)
class AccumulatePass:
    """One projection: where its source lies, and where its tables and weights begin."""

    projection: Projection
    geometry: RotatedGeometry
    source: Region
    y_base: int
    x_base: int
    weight_base: int


@dataclass(frozen=True, eq=False)
class ResidualRead:
    """A projection that is added at firing: its source, and factors (groups, lanes)."""

    projection: Projection
    source: Region
    factors: Array


@dataclass(frozen=True, eq=False)
class LayerRun:
    """One population: what is accumulated, and how it fires.

    Attributes
    ----------
    banks
        How its membranes lie in the core's banks: by channel groups, rows, columns.
    constant_base
        Where its constants begin, one word per channel group.
    target
        Where its spikes are kept, if a later layer of this core reads them.
    sends
        Whether they leave the core.
    """

    population: Population
    passes: tuple[AccumulatePass, ...]
    residual: ResidualRead | None
    banks: tuple[int, int, int]
    constant_base: int
    target: Region | None
    sends: bool


@dataclass(frozen=True, eq=False)
class LayerProgram:
    """All of one shared core.

    Attributes
    ----------
    lanes, banks
        Channels per word, and membrane banks.
    layers
        In the order in which they run.
    outside
        Regions that are filled from outside, in the order of the core's streams.
    spike_words
        Depth of the spike memory, and what no placement could do without.
    """

    net: FixedNetwork
    lanes: int
    banks: int
    layers: tuple[LayerRun, ...]
    outside: tuple[Region, ...]
    spikes: Placement

    @cached_property
    def passes(self) -> tuple[AccumulatePass, ...]:
        """All of them, in order."""
        return tuple(p for layer in self.layers for p in layer.passes)

    @property
    def y_rows(self) -> tuple[RotatedRow, ...]:
        """The table of all projections along y."""
        return tuple(row for p in self.passes for row in p.geometry.y.rows)

    @property
    def x_rows(self) -> tuple[RotatedRow, ...]:
        """The table of all projections along x."""
        return tuple(row for p in self.passes for row in p.geometry.x.rows)

    def weight_words(self) -> Array:
        """Contents of the weight memory, int64 (depth, banks, lanes)."""
        words = [p.geometry.weight_words() for p in self.passes]
        return np.concatenate(
            [np.pad(w, ((0, 0), (0, self.banks - w.shape[1]), (0, 0))) for w in words]
        )

    @cached_property
    def spike_range(self) -> tuple[int, int]:
        """Smallest and largest value in the spike memory."""
        names = {layer.population.name for layer in self.layers}
        names |= {region.population for region in self.outside}
        found = [self.net.population(name) for name in names]
        return min(p.spike_min for p in found), max(p.spike_max for p in found)

    @property
    def bank_words(self) -> int:
        """Depth of one membrane bank."""
        return max(layer_words(run.population, self.lanes, run.banks) for run in self.layers)

    @cached_property
    def bits(self) -> int:
        """Width of the membranes, with and without what is added at firing."""
        found = [_membrane_range(self.net, layer.population.name) for layer in self.layers]
        return signed_bits(min(low for low, _ in found), max(high for _, high in found))

    @property
    def constant_words(self) -> int:
        """Words of the constants of all layers."""
        return sum(layer.population.channels // self.lanes for layer in self.layers)

    def constant_range(self, name: Constant) -> tuple[int, int]:
        """Smallest and largest of what `constants` gives."""
        found = [_constant_range(layer.population, name) for layer in self.layers]
        return min(low for low, _ in found), max(high for _, high in found)

    def constants(self, name: Constant) -> Array:
        """Constants of all layers, int64 (words, lanes): ``threshold``, ``bias`` or ``start``.

        ``start`` is what the first timestep adds, bias included.
        """
        found = []
        for layer in self.layers:
            found.append(_constant(layer.population, name).reshape(-1, self.lanes))
        return np.concatenate(found)


def _constant(population: Population, name: Constant) -> Array:
    values = population.per_channel("bias" if name == "start" else name)
    if name == "start":
        values = values + population.per_channel("v_init")
    return np.asarray(values, np.int64)


@lru_cache(maxsize=4096)
def _constant_range(population: Population, name: Constant) -> tuple[int, int]:
    values = _constant(population, name)
    return int(values.min()), int(values.max())


@lru_cache(maxsize=4096)
def _membrane_range(net: FixedNetwork, name: str) -> tuple[int, int]:
    """What a membrane may hold (or zero), with and without what is added at firing."""
    w = population_widths(net, name)
    before_low, before_high = np.minimum(w.after_min, 0), np.maximum(w.after_max, 0)
    low = min(0, int((before_low + w.drive_min).min()), int(w.total_min.min()))
    high = max(0, int((before_high + w.drive_max).max()), int(w.total_max.max()))
    return low, high


def layer_words(population: Population, lanes: int, banks: tuple[int, int, int]) -> int:
    """Words of each membrane bank that a population takes."""
    channels, height, width = population.shape
    return -(-height // banks[1]) * -(-width // banks[2]) * -(-channels // lanes // banks[0])


def arrangements(banks: int) -> list[tuple[int, int, int]]:
    """Ways to lay channel groups, rows and columns out in so many banks, columns first."""
    return [
        (g, y, x)
        for x in range(banks, 0, -1)
        for y in range(banks // x, 0, -1)
        for g in range(banks // x // y, 0, -1)
    ]


def layer_program(net: FixedNetwork, core: CorePlan) -> LayerProgram:
    """The program of a shared core.

    Raises
    ------
    PlanError
        If a population cannot share a core; it says why, and what can be done.
    """
    inside = tuple(net.population(name) for name in core.populations)
    for population in inside:
        _check(net, population, core.lanes)
    regions, outside, spikes = _place(net, inside, core.lanes)
    count = core.banks[0] * core.banks[1]
    layers: list[LayerRun] = []
    y_base = x_base = weight_base = constant_base = 0
    for population in inside:
        passes, residual = [], None
        banks = _arrangement(net, population, core.lanes, count)
        for projection in net.into(population.name):
            source = regions[projection.source]
            if residual is None and _adds_at_fire(projection):
                factors = np.asarray(projection.weight, np.int64).reshape(-1, core.lanes)
                residual = ResidualRead(projection, source, factors)
                continue
            geometry = _geometry(net, projection, core.lanes, banks)
            passes.append(AccumulatePass(projection, geometry, source, y_base, x_base, weight_base))
            y_base += len(geometry.y.rows)
            x_base += len(geometry.x.rows)
            weight_base += geometry.weight_depth
        sends = any(p.target not in core.populations for p in net.out_of(population.name))
        layers.append(
            LayerRun(
                population,
                tuple(passes),
                residual,
                banks,
                constant_base,
                regions.get(population.name),
                sends,
            )
        )
        constant_base += population.channels // core.lanes
    return LayerProgram(net, core.lanes, count, tuple(layers), outside, spikes)


# A planner tries the same layers in many cores.
@lru_cache(maxsize=8192)
def _geometry(
    net: FixedNetwork, projection: Projection, lanes: int, banks: tuple[int, int, int]
) -> RotatedGeometry:
    shape = net.shape_of(projection.source)
    view = with_wide_groups(projection.as_conv(shape), lanes)
    where = f"projection {projection.name}"
    return rotated_geometry(where, view, shape, projection.pool, lanes, banks)


@lru_cache(maxsize=8192)
def _arrangement(
    net: FixedNetwork, population: Population, lanes: int, banks: int
) -> tuple[int, int, int]:
    """The arrangement in which a population's passes take the fewest cycles if all neurons fire.

    Of those that are alike, the one with the fewest words per bank.
    """
    passes = [p for k, p in enumerate(net.into(population.name)) if not _adds(net, population, k)]

    def cost(choice: tuple[int, int, int]) -> tuple[int, int]:
        steps = 0
        for p in passes:
            geometry = _geometry(net, p, lanes, choice)
            steps += int(geometry.steps().sum()) * net.shape_of(p.source)[0]
        return steps, layer_words(population, lanes, choice)

    single = any(p.as_conv(net.shape_of(p.source)).groups > 1 for p in passes)
    return min((c for c in arrangements(banks) if c[0] == 1 or not single), key=cost)


def _adds(net: FixedNetwork, population: Population, number: int) -> bool:
    """Whether the projection of that number is the one that is added at firing."""
    adding = [k for k, p in enumerate(net.into(population.name)) if _adds_at_fire(p)]
    return bool(adding) and adding[0] == number


def _adds_at_fire(projection: Projection) -> bool:
    return projection.kind == "identity" and projection.pool is None


def _check(net: FixedNetwork, population: Population, lanes: int) -> None:
    problem = _obstacle(net, population, lanes)
    if problem is not None:
        raise PlanError(f"population {population.name}", problem, "give it a core of its own")


@lru_cache(maxsize=8192)
def _obstacle(net: FixedNetwork, population: Population, lanes: int) -> str | None:
    """Why a population cannot share a core, if it cannot."""
    sources = {p.source for p in net.into(population.name)}
    start = population.per_neuron("v_init")
    problem = None
    if population.kind != "fire":
        problem = "a readout does not share a core"
    elif INPUT in sources:
        problem = "it sees the input, and shares no core"
    elif population.neuron.polarity == "memory" or population.neuron.leak:
        problem = "neurons that leak or remember what they emitted share no core"
    elif net.probe is not None:
        problem = "a probe run needs cores of one population each"
    elif population.channels % lanes:
        problem = f"{lanes} lanes do not divide its {population.channels} channels"
    elif clamps(net, population.name) and net.timesteps > 1:
        problem = "its membranes are clamped, which shared cores do not do"
    elif bool((start != start[:, :1, :1]).any()):
        problem = "neurons of one channel start from different values"
    elif any(p.pool is not None and p.pool.mode != "sum" for p in net.out_of(population.name)):
        problem = "its spikes are pooled by maximum, which happens at the sender"
    return problem


@lru_cache(maxsize=1024)
def _place(
    net: FixedNetwork, inside: tuple[Population, ...], lanes: int
) -> tuple[dict[str, Region], tuple[Region, ...], Placement]:
    """Regions of all spikes that are read here; those from outside; the whole placement.

    Layer k accumulates at step 2 k and fires at step 2 k + 1; with several timesteps it does both
    in turn, so that its sources are read until the end.
    """
    order = {p.name: k for k, p in enumerate(inside)}
    last: dict[str, int] = {}
    pairs = []
    for population in inside:
        k, taken = order[population.name], False
        for projection in net.into(population.name):
            adds = _adds_at_fire(projection) and not taken
            taken = taken or adds
            step = 2 * k + 1 if adds or net.timesteps > 1 else 2 * k
            last[projection.source] = max(last.get(projection.source, 0), step)
            if adds:
                pairs.append((projection.source, population.name))
    words = {name: _words(net.population(name), lanes) for name in last}
    steps = net.timesteps
    spans = [
        Span(name, words[name] * steps, 2 * order[name] + 1, step)
        if name in order
        # From outside the next image may come at any time.
        else Span(name, COPIES * words[name] * steps, 0, 2 * len(inside))
        for name, step in last.items()
    ]
    spikes = place(spans, [(a, b) for a, b in pairs if a in order])
    regions = {
        name: Region(name, spikes.base[name], words[name], name not in order) for name in last
    }
    return regions, tuple(r for r in regions.values() if r.outside), spikes


def _words(population: Population, lanes: int) -> int:
    channels, height, width = population.shape
    if channels % lanes:
        raise PlanError(
            f"population {population.name}",
            f"{lanes} lanes do not divide its {population.channels} channels",
            "share fewer lanes, or give those that it reaches cores of their own",
        )
    return channels // lanes * height * width
