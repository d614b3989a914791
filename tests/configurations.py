# SPDX-License-Identifier: BSD-2-Clause
"""One tiny network for each thing that a network may ask of the hardware."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from pysnn_hw.golden.reference import simulate_reference
from pysnn_hw.ir.snn import (
    INPUT,
    PLAIN,
    Array,
    FixedNetwork,
    Input,
    Neuron,
    Pool,
    Population,
    Probe,
    Projection,
    Readout,
)
from pysnn_hw.ir.widths import post_fire_interval
from pysnn_hw.plan.schedule import Schedule, full_banks, simple_schedule
from tests.networks import add_population, add_readout, random_images

IMAGES = 4
_SAME = (1, 1, 1, 1)
_INPUT = Input((2, 6, 6), (3, 0), 0, 15)
_RANDOM = Input((2, 6, 6), (3, 0), 0, 15, "bernoulli", 0x9E3779B9)
_THRESHOLD = Input((2, 6, 6), (0, 0), -4, 15, threshold=3)
_EVENTS = Input((2, 6, 6), (0, 0), -2, 5, "events")

_Finish = Callable[[FixedNetwork, np.random.Generator], FixedNetwork]


@dataclass(frozen=True, eq=False)
class Configuration:
    """A network, how it is folded, and images for it."""

    name: str
    net: FixedNetwork
    schedule: Schedule
    images: Array


@dataclass(frozen=True)
class _Recipe:
    """What to build: see `configuration`. Functions get a `_Builder`."""

    build: Callable[[_Builder], str]
    timesteps: int = 1
    spike_max: int = 1
    weight: int = 7
    finish: Callable[[FixedNetwork, np.random.Generator], FixedNetwork] | None = None
    schedule: Callable[[FixedNetwork], Schedule] = lambda net: simple_schedule(net, lanes=2)
    input: Input = _INPUT


class _Builder:
    """Adds populations whose thresholds suit their currents; each is known by its name."""

    def __init__(self, recipe: _Recipe, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.spike_max, self.limit = recipe.spike_max, recipe.weight
        self.net = FixedNetwork(recipe.timesteps, recipe.input, (), ())

    def weights(self, *shape: int) -> Array:
        return self.rng.integers(-self.limit, self.limit + 1, shape)

    def conv(
        self,
        source: str,
        channels: int = 4,
        *,
        kernel: int = 3,
        stride: int = 1,
        padding: tuple[int, int, int, int] = _SAME,
        groups: int = 1,
        pool: Pool | None = None,
        to: str = "",
    ) -> Projection:
        """A convolution that does not end anywhere yet."""
        shape = self.net.shape_of(source)
        weight = self.weights(channels, shape[0] // groups, kernel, kernel)
        return Projection(
            f"{source}_to_{to}", source, to, "conv2d", weight, (stride, stride), padding, groups,
            pool,
        )  # fmt: skip

    def identity(self, source: str) -> Projection:
        weight = self.rng.integers(1, self.limit + 1, self.net.shape_of(source)[0])
        return Projection("", source, "", "identity", weight)

    def fire(self, *projections: Projection, neuron: Neuron = PLAIN) -> str:
        """A fire population behind these projections."""
        name = f"n{len(self.net.populations)}"
        ending = tuple(
            replace(p, name=f"{p.source}_to_{name}_{k}", target=name)
            for k, p in enumerate(projections)
        )
        self.net = add_population(self.net, ending, self.spike_max, neuron, self.rng)
        return name

    def linear(self, source: str, neurons: int, pool: Pool | None = None) -> Projection:
        shape = self.net.shape_of(source)
        inputs = int(np.prod(shape if pool is None else pool.out_shape(shape)))
        return Projection("", source, "", "linear", self.weights(neurons, inputs), pool=pool)

    def counts(self, source: str) -> None:
        """A readout of how often the neurons of a population of classes fire."""
        shape = self.net.shape_of(source)
        ones = np.ones(shape[0], np.int64)
        identity = Projection("to_readout", source, "readout", "identity", ones)
        self.net = add_readout(self.net, identity, np.zeros(1, np.int64))
        self.net = replace(self.net, readout=Readout("count"))

    def readout(self, source: str, pool: Pool | None = None) -> None:
        ending = replace(self.linear(source, 3, pool), name="to_readout", target="readout")
        bias = self.rng.integers(-9, 10, 3)
        self.net = add_readout(self.net, ending, bias)


def configuration(name: str) -> Configuration:
    """The configuration called ``name``, one of `NAMES`."""
    recipe = _RECIPES[name]
    builder = _Builder(recipe, seed=sum(name.encode()))
    last = recipe.build(builder)
    if last:
        builder.readout(last)
    net = builder.net
    if recipe.finish is not None:
        net = recipe.finish(net, builder.rng)
    images = random_images(builder.rng, net, IMAGES)
    return Configuration(name, net, recipe.schedule(net), images)


def _chain(neuron: Neuron = PLAIN, depth: int = 2) -> Callable[[_Builder], str]:
    def build(b: _Builder) -> str:
        last = INPUT
        for _ in range(depth):
            last = b.fire(b.conv(last), neuron=neuron)
        return last

    return build


def _pooled(
    mode: Literal["sum", "max", "gate"], kernel: int = 2, stride: int = 2
) -> Callable[[_Builder], str]:
    """Pooling between two convolutions, and where windows tile the map before the readout, too."""
    pool = Pool(mode, (kernel, kernel), (stride, stride))

    def build(b: _Builder) -> str:
        last = b.fire(b.conv(b.fire(b.conv(INPUT)), pool=pool))
        b.readout(last, Pool(mode, (3, 3), (3, 3)) if pool.tiles else None)
        return ""

    return build


def _residual(b: _Builder) -> str:
    first = b.fire(b.conv(INPUT))
    second = b.fire(b.conv(first))
    return b.fire(b.conv(second), b.identity(first))


def _residual_pooled(b: _Builder) -> str:
    last = _residual(b)
    b.readout(last, Pool("max", (2, 2), (2, 2)))
    return ""


def _two_producers(b: _Builder) -> str:
    """What a concatenation becomes: each part has a projection of its own."""
    first = b.fire(b.conv(INPUT))
    left, right = b.fire(b.conv(first, 2)), b.fire(b.conv(first, 3, kernel=1, padding=(0, 0, 0, 0)))
    return b.fire(b.conv(left), b.conv(right), b.conv(first))


def _depthwise(b: _Builder) -> str:
    first = b.fire(b.conv(INPUT))
    return b.fire(b.conv(b.fire(b.conv(first, groups=4)), kernel=1, padding=(0, 0, 0, 0)))


def _grouped(b: _Builder) -> str:
    return b.fire(b.conv(b.fire(b.conv(INPUT)), 6, groups=2))


def _stride(b: _Builder) -> str:
    """A block that halves its map, with a 1x1 shortcut, as residual networks have them."""
    first = b.fire(b.conv(INPUT))
    second = b.fire(b.conv(first, 6, stride=2, padding=(0, 0, 1, 1)))
    third = b.conv(second, 6)
    return b.fire(third, b.conv(first, 6, kernel=1, stride=2, padding=(0, 0, 0, 0)))


def _dense(b: _Builder) -> str:
    return b.fire(b.linear(b.fire(b.linear(INPUT, 12)), 8))


def own_starts(net: FixedNetwork, rng: np.random.Generator) -> FixedNetwork:
    """A start value for every neuron, some negative, some at once enough to fire."""
    for population in net.populations[:-1]:
        theta = population.per_neuron("threshold")
        values = np.rint(rng.uniform(-0.7, 1.3, population.shape) * theta).astype(np.int64)
        net = _with_room(net, population.name, values)
    return net


def _with_room(
    net: FixedNetwork, name: str, start: Array, clamp: float | None = None
) -> FixedNetwork:
    """Start values of a population, and limits of its membranes that leave them room.

    With ``clamp`` the limits are so many thresholds beyond the starts, so that they act.
    """
    population = net.population(name)

    def placed(low: int | None, high: int | None) -> FixedNetwork:
        new = replace(population, v_init=start, v_min=low, v_max=high)
        return replace(
            net, populations=tuple(new if p.name == name else p for p in net.populations)
        )

    lows, highs = post_fire_interval(placed(None, None), name)
    low, high = int(lows.min()), int(highs.max())
    if clamp is not None:
        theta = population.per_neuron("threshold")
        low = max(low, int((start - clamp * theta).min()))
        high = min(high, int((start + clamp * theta).max()))
    return placed(low, high)


def _probed(
    probe: Probe, *, own: bool = False, clamp: float | None = None
) -> Callable[[FixedNetwork, np.random.Generator], FixedNetwork]:
    def finish(net: FixedNetwork, rng: np.random.Generator) -> FixedNetwork:
        net = replace(net, probe=probe)
        for population in net.populations[:-1]:
            start = population.per_neuron("v_init")
            if own:
                theta = population.per_neuron("threshold")
                start = np.rint(rng.uniform(-0.3, 0.8, population.shape) * theta).astype(np.int64)
            net = _with_room(net, population.name, start, clamp)
        return net

    return finish


def _counted(b: _Builder) -> str:
    """Scores are the spikes of a population of classes; some images cause none."""
    output = b.fire(b.linear(b.fire(b.conv(INPUT)), 3))
    b.net = _raised(b.net, output)
    b.counts(output)
    return ""


def _first_spike(b: _Builder) -> str:
    """Scores are the steps that are left when each class fires first: a latch says so."""
    b.spike_max = 1
    output = b.fire(b.linear(b.fire(b.conv(INPUT)), 3))
    latching = Projection("latched", output, "latch", "identity", np.full(3, b.net.timesteps))
    latch = Population(
        "latch", "fire", (3, 1, 1), np.zeros(1, np.int64), np.ones(1, np.int64),
        np.zeros(1, np.int64), 1, v_min=0, v_max=b.net.timesteps**2,
    )  # fmt: skip
    b.net = replace(
        b.net,
        populations=(*b.net.populations, latch),
        projections=(*b.net.projections, latching),
    )
    b.counts("latch")
    return ""


def _raised(net: FixedNetwork, name: str) -> FixedNetwork:
    """``net`` with thresholds at which a population rarely fires."""
    found = net.population(name)
    higher = replace(found, threshold=3 * found.threshold, v_init=np.zeros(1, np.int64))
    low, high = post_fire_interval(_with(net, replace(higher, v_min=None, v_max=None)), name)
    return _with(net, replace(higher, v_min=int(low.min()), v_max=int(high.max())))


def _with(net: FixedNetwork, population: Population) -> FixedNetwork:
    populations = (population if p.name == population.name else p for p in net.populations)
    return replace(net, populations=tuple(populations))


def _mixed(b: _Builder) -> str:
    """The second population sees the input beside the spikes of the first."""
    return b.fire(b.conv(b.fire(b.conv(INPUT))), b.conv(INPUT))


def _read(mode: Literal["potential", "count", "sampled"]) -> _Finish:
    """Sampled, or with early exit: at a lead that about half of the images reach before the end."""

    def finish(net: FixedNetwork, rng: np.random.Generator) -> FixedNetwork:
        scores = np.sort(simulate_reference(net, random_images(rng, net, 8)).scores, axis=1)
        if mode == "sampled":
            spread = int(np.ceil((scores[:, -1] - scores[:, 0]).mean() / 2))
            noise = tuple(int(n) for n in np.sort(rng.integers(-spread, spread + 1, 256)))
            return replace(net, readout=Readout("sampled", seed=0xC0FFEE, noise=noise))
        lead = max(1, int(np.median(scores[:, -1] - scores[:, -2])) // 2)
        return replace(net, readout=Readout(mode, margin=lead))

    return finish


def _probed_margin(net: FixedNetwork, rng: np.random.Generator) -> FixedNetwork:
    return _read("potential")(_probed(Probe(2, "mask"))(net, rng), rng)


def _folded(**changes: Any) -> Callable[[FixedNetwork], Schedule]:
    """A schedule whose cores all differ in the same way."""

    def schedule(net: FixedNetwork) -> Schedule:
        start = simple_schedule(net, lanes=4)
        return Schedule(tuple(replace(core, **changes) for core in start.cores))

    return schedule


def _banked(net: FixedNetwork) -> Schedule:
    start = simple_schedule(net, lanes=4)
    return Schedule(
        tuple(replace(c, banks=full_banks(net, c.population)) for c in start.cores), "ice40"
    )


def _loaded(net: FixedNetwork) -> Schedule:
    """Weights in memories that are filled after reset."""
    start = simple_schedule(net, lanes=2)
    cores = (
        replace(c, inputs=tuple(replace(i, weight_memory="spram") for i in c.inputs))
        for c in start.cores
    )
    return Schedule(tuple(cores), "ice40")


_RECIPES: Mapping[str, _Recipe] = {
    "T1_n1": _Recipe(_chain()),
    "T1_n2": _Recipe(_chain(), spike_max=3),
    "T1_n4": _Recipe(_chain(), spike_max=15, weight=127),
    "T4_n1": _Recipe(_chain(), 4),
    "T4_n4": _Recipe(_chain(depth=3), 4, 15),
    "hard_reset": _Recipe(_chain(Neuron(reset="hard")), 4, 3),
    "strict": _Recipe(_chain(Neuron(strict=True)), 4, weight=2),
    "leak": _Recipe(_chain(Neuron(leak=3)), 5),
    "leak_hard_strict": _Recipe(_chain(Neuron(reset="hard", strict=True, leak=2)), 3, 3),
    "signed": _Recipe(_chain(Neuron("signed")), 3, 3),
    "memory": _Recipe(_chain(Neuron("memory")), 4),
    "own_starts_T1": _Recipe(_chain(), 1, 3, finish=own_starts),
    "own_starts_T3": _Recipe(_residual_pooled, 3, 3, finish=own_starts),
    "own_starts_leak": _Recipe(_chain(Neuron("memory", leak=1)), 3, finish=own_starts),
    "mask_T1": _Recipe(_chain(), 1, weight=2, finish=_probed(Probe(1, "mask"))),
    "mask_T4": _Recipe(
        _residual_pooled, 4, 3, 3, finish=_probed(Probe(3, "mask"), own=True, clamp=1.5)
    ),
    "mask_max": _Recipe(_pooled("max"), 2, 3, 3, finish=_probed(Probe(2, "mask"), own=True)),
    "mask_gate": _Recipe(_pooled("gate"), 3, 1, 3, finish=_probed(Probe(3, "mask"), own=True)),
    "shift_T1": _Recipe(_chain(), 1, weight=2, finish=_probed(Probe(4, "shift"))),
    "shift_T3": _Recipe(
        _residual_pooled, 3, 3, 3, finish=_probed(Probe(2, "shift"), own=True, clamp=1.0)
    ),
    "shift_T2_probe1": _Recipe(_pooled("max"), 2, weight=2, finish=_probed(Probe(1, "shift"))),
    "running_max": _Recipe(_pooled("max"), 4, 3),
    "max": _Recipe(_pooled("max"), 1, 15),
    "gate": _Recipe(_pooled("gate"), 4, 3),
    "gate_T1": _Recipe(_pooled("gate"), 1, 15),
    "bernoulli": _Recipe(_chain(), 6, input=_RANDOM),
    "bernoulli_T1": _Recipe(_chain(), 1, 3, input=replace(_RANDOM, zero_point=(0, 0))),
    "bernoulli_beside_spikes": _Recipe(_mixed, 3, 3, input=_RANDOM),
    "threshold_T1": _Recipe(_chain(), 1, 3, input=_THRESHOLD),
    "threshold_T3": _Recipe(_chain(), 3, input=_THRESHOLD),
    "events": _Recipe(_chain(), 4, 3, input=_EVENTS),
    "events_beside_spikes": _Recipe(_mixed, 3, input=_EVENTS),
    "events_shift": _Recipe(
        _chain(), 3, schedule=_folded(lane_kind="shift"), input=replace(_EVENTS, minimum=0)
    ),
    "count": _Recipe(_counted, 4),
    "count_exit": _Recipe(_counted, 8, 3, finish=_read("count")),
    "first_spike": _Recipe(_first_spike, 5),
    "sampled": _Recipe(_chain(), 6, finish=_read("sampled")),
    "sampled_events": _Recipe(_chain(), 3, input=_EVENTS, finish=_read("sampled")),
    "early_exit": _Recipe(_chain(), 8, finish=_read("potential")),
    "early_exit_events": _Recipe(_chain(), 6, input=_EVENTS, finish=_read("potential")),
    "early_exit_probe": _Recipe(_chain(), 5, weight=2, finish=_probed_margin),
    "sum_pool": _Recipe(_pooled("sum"), 2, 3),
    "sum_pool_readdressed": _Recipe(
        _pooled("sum"),
        2,
        3,
        schedule=lambda net: simple_schedule(net, lanes=2, pool_at_sender=False),
    ),
    "sum_pool_gaps": _Recipe(_pooled("sum", 2, 3), 2, 3),
    "sum_pool_overlapping": _Recipe(_pooled("sum", 3, 2), 2, 3),
    "running_max_overlapping": _Recipe(_pooled("max", 3, 2), 3, 3),
    "gate_overlapping": _Recipe(_pooled("gate", 2, 1), 3, 3),
    "max_overlapping": _Recipe(_pooled("max", 3, 2), 1, 15),
    "max_with_gaps": _Recipe(_pooled("max", 2, 3), 2),
    "residual": _Recipe(_residual, 2, 3),
    "two_producers": _Recipe(_two_producers, 2, 3),
    "depthwise": _Recipe(_depthwise, 1, 15),
    "grouped": _Recipe(_grouped, 2, 3),
    "stride_2_shortcut": _Recipe(_stride, 1, 15),
    "dense": _Recipe(_dense, 2, 3, input=Input((1, 5, 3), (0,), -8, 7)),
    "lanes_add": _Recipe(
        _dense, 3, 1, schedule=_folded(lane_kind="add"), input=Input((1, 4, 4), (0,), 0, 1)
    ),
    "lanes_shift": _Recipe(
        _chain(), 2, 15, schedule=_folded(lane_kind="shift"), input=Input((1, 6, 6), (0,), 0, 255)
    ),
    "lanes_dsp": _Recipe(_chain(), 2, 15, schedule=_folded(lane_kind="dsp")),
    "banks": _Recipe(_residual, 1, 3, schedule=_banked),
    "small_memories": _Recipe(_chain(), 2, 3, schedule=_folded(membrane_memory="lut")),
    "loaded_weights": _Recipe(_chain(), 1, 3, schedule=_loaded),
}
NAMES = tuple(_RECIPES)
PROBED = tuple(name for name in NAMES if name.startswith(("mask", "shift")))


def probe_ends(net: FixedNetwork) -> FixedNetwork:
    """``net`` as it is when its probe run ends: the run alone."""
    if net.probe is None:
        raise ValueError("the network has no probe run")
    return replace(net, timesteps=net.probe.steps, probe=None)
