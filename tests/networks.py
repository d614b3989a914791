# SPDX-License-Identifier: BSD-2-Clause
"""Small random networks, alive but not saturated, for every test that compares two implementations.

The same generator state gives the same network, so a failure is reproduced by its seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
    Shape,
)
from pysnn_hw.ir.widths import post_fire_interval

EXTRAS = ("v_init", "probe", "bernoulli", "events", "gate", "count", "sampled", "margin")
"""What random networks may have besides: see `random_network`."""


def random_network(
    rng: np.random.Generator,
    *,
    timesteps: int | None = None,
    spike_max: int | None = None,
    depth: int | None = None,
    neurons: Sequence[Neuron] | None = None,
    pools: tuple[str, ...] = ("sum", "max"),
    extras: tuple[str, ...] = (),
    overlap: bool = True,
    residual: bool | None = None,
    max_side: int = 9,
    max_channels: int = 6,
) -> FixedNetwork:
    """Draw a network: convolutions, poolings, skips, then a linear readout.

    Parameters
    ----------
    timesteps, spike_max, depth
        T, the largest spike value and the number of fire populations; drawn if None (1..6, one
        of 1, 2, 3, 7, 15, 1..3).
    neurons
        How populations fire, drawn from these; None for all kinds, every other one plain.
    pools, overlap
        Pooling modes to draw from (may be empty); whether windows may overlap or leave gaps.
    extras
        What may be drawn besides, of `EXTRAS`; "gate" joins the pooling modes.
    residual
        Add identity skips wherever shapes allow: always, never, or (None) now and then.
    max_side, max_channels
        Largest side and number of channels of a map.
    """
    pools = (*pools, "gate") if "gate" in extras else tuple(pools)
    draw = _Draw(rng, pools, overlap, max_channels)
    timesteps = timesteps or int(rng.integers(1, 7))
    probe = draw.probe(extras)
    if probe is not None:
        neurons = [PLAIN]
    spike_max = spike_max or int(rng.choice([1, 2, 3, 7, 15]))
    depth = depth or int(rng.integers(1, 4))
    net = FixedNetwork(timesteps, draw.input(max_side, extras, probe), (), ())
    source = INPUT
    for layer in range(depth):
        name = f"n{layer}"
        must_skip = residual is True and layer == depth - 1
        skip = layer > 0 and (must_skip or (residual is None and rng.random() < 0.5))
        projections = draw.layer(net, source, name, skip)
        neuron = draw.neuron() if neurons is None else neurons[draw.upto(len(neurons)) - 1]
        net = add_population(net, projections, spike_max, neuron, rng)
        source = name
    pool = draw.pool(net.shape_of(source), net.population(source).spike_min)
    inputs = int(
        np.prod(net.shape_of(source) if pool is None else pool.out_shape(net.shape_of(source)))
    )
    classes = int(rng.integers(2, 6))
    projection = Projection(
        "to_readout", source, "readout", "linear", draw.weights((classes, inputs)), pool=pool
    )
    bias = rng.integers(-100, 101, classes)
    if "count" in extras and rng.random() < 0.5:
        projection = replace(projection, name=f"{source}_to_output", target="output")
        net = add_population(net, (projection,), spike_max, PLAIN, rng)
        ones, zeros = np.ones(classes, np.int64), np.zeros(classes, np.int64)
        projection = Projection("to_readout", "output", "readout", "identity", ones)
        net = _extended(net, _readout((classes, 1, 1), zeros, "readout"), (projection,))
        net = replace(net, readout=Readout("count"))
    else:
        net = _extended(net, _readout((classes, 1, 1), bias, "readout"), (projection,))
    if "v_init" in extras and rng.random() < 0.5:
        net = _with_starts(net, rng)
    if probe is not None:
        net = _with_probe(net, probe)
    return _with_readout(net, extras, rng)


def random_images(rng: np.random.Generator, net: FixedNetwork, count: int) -> Array:
    """``count`` images int64 (count, C, H, W) over the input's range, a third of it background.

    For an input of events (count, T, C, H, W).
    """
    steps = (net.timesteps,) if net.input.encoding == "events" else ()
    size = (count, *steps, *net.input.shape)
    images = rng.integers(net.input.minimum, net.input.maximum + 1, size)
    background = np.reshape(net.input.zero_point, (-1, 1, 1))
    return np.where(rng.random(size) < 1 / 3, background, images)


class _Draw:
    """Draws the parts of a network that need no knowledge of activity."""

    def __init__(
        self, rng: np.random.Generator, pools: tuple[str, ...], overlap: bool, max_channels: int
    ) -> None:
        self.rng, self.pools, self.overlap, self.max_channels = rng, pools, overlap, max_channels

    def upto(self, high: int, low: int = 1) -> int:
        return int(self.rng.integers(low, high + 1))

    def probe(self, extras: tuple[str, ...]) -> Probe | None:
        if "probe" not in extras or self.rng.random() < 0.6:
            return None
        return Probe(self.upto(5), ("mask", "shift")[self.upto(1, 0)])

    def input(self, max_side: int, extras: tuple[str, ...], probe: Probe | None) -> Input:
        plain = self.constant_input(max_side)
        encodings = [e for e in ("bernoulli", "events") if e in extras]
        if probe is not None or not encodings or self.rng.random() < 0.5:
            return plain
        encoding = encodings[self.upto(len(encodings)) - 1]
        if encoding == "bernoulli":
            return replace(plain, encoding="bernoulli", seed=int(self.rng.integers(1, 1 << 32)))
        return replace(plain, encoding="events", zero_point=(0,) * plain.shape[0])

    def constant_input(self, max_side: int) -> Input:
        shape = (self.upto(3), self.upto(max_side, 5), self.upto(max_side, 5))
        low, high = [(0, 255), (0, 15), (-128, 127)][self.upto(2, 0)]
        zero_point = tuple(
            int(z) for z in self.rng.integers(low, low + (high - low) // 2, shape[0])
        )
        if self.rng.random() < 0.5:
            zero_point = (max(low, 0),) * shape[0]
        return Input(shape, zero_point, low, high)

    def neuron(self) -> Neuron:
        if self.rng.random() < 0.5:
            return PLAIN
        polarity = ("positive", "memory", "signed")[self.upto(2, 0)]
        return Neuron(
            polarity,
            reset=("soft", "soft", "hard")[self.upto(2, 0)],
            strict=polarity == "positive" and self.rng.random() < 0.5,
            leak=self.upto(4, 0) if self.rng.random() < 0.5 else 0,
        )

    def weights(self, shape: tuple[int, ...]) -> Array:
        limit = 2 ** self.upto(7) - 1
        return self.rng.integers(-limit, limit + 1, shape)

    def pool(self, shape: Shape, source_min: int) -> Pool | None:
        if min(shape[1:]) < 3 or not self.pools or self.rng.random() < 0.4:
            return None
        mode = self.pools[self.upto(len(self.pools), 1) - 1]
        kernel = (self.upto(3), self.upto(3, 2))
        stride = kernel
        if self.overlap and self.rng.random() < 0.3:
            stride = (self.upto(3), self.upto(3))
        if mode == "gate" and (source_min < 0):
            mode = "max"
        return Pool(mode, kernel, stride)

    def layer(
        self, net: FixedNetwork, source: str, target: str, skip: bool
    ) -> tuple[Projection, ...]:
        """A convolution (or a linear layer), with an identity beside it if ``skip``."""
        shape = net.shape_of(source)
        name = f"{source}_to_{target}"
        if skip:
            weight = self.weights((shape[0], shape[0], 3, 3))
            conv = Projection(name, source, target, "conv2d", weight, padding=(1, 1, 1, 1))
            same = [p.name for p in net.populations if p.shape == shape]
            factor = np.maximum(1, np.abs(self.weights((shape[0],))))
            origin = same[self.upto(len(same)) - 1]
            return conv, Projection(f"{name}_skip", origin, target, "identity", factor)
        pool = None if source == INPUT else self.pool(shape, net.population(source).spike_min)
        c, h, w = shape if pool is None else pool.out_shape(shape)
        if self.rng.random() < 0.1:
            weight = self.weights((self.upto(self.max_channels, 2), c * h * w))
            return (Projection(name, source, target, "linear", weight, pool=pool),)
        groups = c if self.rng.random() < 0.25 else 1
        per_group = self.upto(max(1, self.max_channels // groups))
        kernel = self.upto(min(h, 3)), self.upto(min(w, 3))
        top, bottom = (self.upto(kernel[0] - 1, 0) for _ in range(2))
        left, right = (self.upto(kernel[1] - 1, 0) for _ in range(2))
        stride = (self.upto(2), self.upto(2)) if self.rng.random() < 0.4 else (1, 1)
        weight = self.weights((groups * per_group, c // groups, *kernel))
        padding = (top, left, bottom, right)
        return (Projection(name, source, target, "conv2d", weight, stride, padding, groups, pool),)


def _with_starts(net: FixedNetwork, rng: np.random.Generator) -> FixedNetwork:
    """``net`` whose fire populations start at random potentials, one per neuron."""

    def started(population: Population) -> Population:
        if population.kind == "readout" or rng.random() < 0.3:
            return population
        reach = int(population.threshold.max())
        starts = rng.integers(-reach, reach + 1, population.shape)
        return ranged(net, replace(population, v_init=starts))

    return replace(net, populations=tuple(started(p) for p in net.populations))


def _with_probe(net: FixedNetwork, probe: Probe) -> FixedNetwork:
    net = replace(net, probe=probe)
    fire = tuple(ranged(net, p) for p in net.populations[:-1])
    return replace(net, populations=(*fire, net.populations[-1]))


def _with_readout(
    net: FixedNetwork, extras: tuple[str, ...], rng: np.random.Generator
) -> FixedNetwork:
    """``net`` read in another way, now and then."""
    scores = np.sort(simulate_reference(net, random_images(rng, net, 4)).scores, axis=1)
    mode = net.readout.mode
    if "sampled" in extras and mode == "potential" and rng.random() < 0.4:
        spread = max(2, int(scores.std()))
        noise = tuple(int(n) for n in np.sort(rng.integers(-spread, spread, 256)))
        return replace(net, readout=Readout("sampled", 0, int(rng.integers(1, 1 << 32)), noise))
    if "margin" in extras and rng.random() < 0.5:
        lead = int((scores[:, -1] - scores[:, -2]).mean() * rng.random()) + 1
        return replace(net, readout=Readout(mode, margin=lead))
    return net


def ranged(net: FixedNetwork, population: Population) -> Population:
    """``population``, part of ``net``, with clamps that never act."""
    others = tuple(population if p.name == population.name else p for p in net.populations)
    lowest, highest = post_fire_interval(replace(net, populations=others), population.name)
    return replace(population, v_min=int(lowest.min()), v_max=int(highest.max()))


def unclamped(net: FixedNetwork) -> FixedNetwork:
    """``net`` with clamps that never act."""
    wide = {"v_min": -(2**31), "v_max": 2**31 - 1}
    populations = tuple(replace(p, **wide) if p.kind == "fire" else p for p in net.populations)
    return replace(net, populations=populations)


def add_readout(net: FixedNetwork, projection: Projection, bias: Array) -> FixedNetwork:
    """Add the readout at which ``projection`` ends."""
    view = projection.as_conv(net.shape_of(projection.source))
    return _extended(net, _readout(view.out_shape, bias, projection.target), (projection,))


def _readout(shape: Shape, bias: Array, name: str) -> Population:
    zero = np.zeros(1, np.int64)
    return Population(name, "readout", shape, bias, np.zeros(0, np.int64), zero, 0)


def _extended(
    net: FixedNetwork, population: Population, projections: tuple[Projection, ...]
) -> FixedNetwork:
    return replace(
        net,
        populations=(*net.populations, population),
        projections=(*net.projections, *projections),
    )


def add_population(
    net: FixedNetwork,
    projections: tuple[Projection, ...],
    spike_max: int,
    neuron: Neuron,
    rng: np.random.Generator,
) -> FixedNetwork:
    """Add a fire population whose thresholds suit the currents that random images cause."""
    name = projections[0].target
    view = projections[0].as_conv(net.shape_of(projections[0].source))
    channels = view.out_shape[0]
    # As a readout it integrates the very currents that it will have to turn into spikes.
    probe = _extended(net, _readout(view.out_shape, np.zeros(1, np.int64), name), projections)
    membranes = simulate_reference(probe, random_images(rng, net, 4)).trace.membranes[name]
    current = membranes / net.timesteps
    spread = np.maximum(1, np.abs(current).mean(axis=(0, 2, 3)))
    bias = np.rint(rng.normal(0, 0.3, channels) * spread).astype(np.int64)
    top = np.percentile(current, 92, axis=(0, 2, 3)) + bias
    # A channel that only ever sees negative currents is lifted, so that it lives too.
    bias = np.where(top < spread / 2, bias + np.rint(spread - top).astype(np.int64), bias)
    threshold = np.maximum(1, np.rint(np.maximum(top, spread / 2) / spike_max)).astype(np.int64)
    if rng.random() < 0.3:
        threshold = np.array([int(np.median(threshold))])
    v_init = threshold // 2 if rng.random() < 0.7 else np.zeros(1, np.int64)
    if rng.random() < 0.1 and v_init.size == channels:
        v_init = -v_init  # leaks upwards
    population = Population(
        name, "fire", view.out_shape, bias, threshold, v_init, spike_max, neuron=neuron
    )
    net = _extended(net, population, projections)
    lowest, highest = post_fire_interval(net, name)
    low, high = int(lowest.min()), int(highest.max())
    if rng.random() < 0.3:  # a clamp that acts
        reach = int(threshold.max()) * 2
        low, high = max(low, -reach), min(high, reach)
    return replace(
        net, populations=(*net.populations[:-1], replace(population, v_min=low, v_max=high))
    )
