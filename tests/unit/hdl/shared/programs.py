# SPDX-License-Identifier: BSD-2-Clause
"""Small networks whose populations share a core, all but the first and the readout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pysnn_hw.ir.snn import INPUT, PLAIN, FixedNetwork, Input, Neuron, Pool, Projection
from pysnn_hw.plan.layers import LayerProgram, layer_program
from pysnn_hw.plan.schedule import CorePlan
from tests.networks import add_population, add_readout, ranged


class Builder:
    """Adds populations whose thresholds suit their currents."""

    def __init__(
        self, timesteps: int, spike_max: int, seed: int, neuron: Neuron = PLAIN, scale: int = 1
    ) -> None:
        self.rng, self.spike_max, self.neuron = np.random.default_rng(seed), spike_max, neuron
        self.scale = scale
        self.net = FixedNetwork(timesteps, Input((2, 7, 6), (0, 1), -3, 7), (), ())

    def conv(self, source, channels=4, kernel=3, stride=1, padding=None, groups=1, pool=None):
        shape = self.net.shape_of(source)
        pad, channels = kernel // 2, channels * self.scale
        groups = groups if groups == 1 else channels
        weight = self.rng.integers(-7, 8, (channels, shape[0] // groups, kernel, kernel))
        return Projection(
            "", source, "", "conv2d", weight, (stride, stride), padding or (pad,) * 4, groups, pool
        )

    def identity(self, source):
        factors = self.rng.integers(1, 8, self.net.shape_of(source)[0])
        return Projection("", source, "", "identity", factors)

    def fire(self, *projections):
        name = f"n{len(self.net.populations)}"
        ending = tuple(
            replace(p, name=f"{p.source}_to_{name}_{k}", target=name)
            for k, p in enumerate(projections)
        )
        net = add_population(self.net, ending, self.spike_max, self.neuron, self.rng)
        # Shared cores do not clamp.
        free = ranged(net, net.population(name))
        self.net = replace(net, populations=(*net.populations[:-1], free))
        return name

    def readout(self, source):
        inputs = int(np.prod(self.net.shape_of(source)))
        weight = self.rng.integers(-7, 8, (3, inputs))
        ending = Projection("to_readout", source, "readout", "linear", weight)
        self.net = add_readout(self.net, ending, self.rng.integers(-9, 10, 3))


def residual(b):
    """Blocks as residual networks have them, one of them halving the map."""
    x = b.fire(b.conv(INPUT))
    y = b.fire(b.conv(b.fire(b.conv(x))), b.identity(x))
    h = b.fire(b.conv(y, 6, stride=2))
    return b.fire(b.conv(h, 6), b.conv(y, 6, kernel=1, stride=2))


def chain(b):
    return b.fire(b.conv(b.fire(b.conv(b.fire(b.conv(INPUT))))))


def wide(b):
    """Depthwise and pointwise, larger kernels, a pooled source, several ways out and in."""
    x, z = b.fire(b.conv(INPUT)), b.fire(b.conv(INPUT, 2))
    d = b.fire(b.conv(x, 4, groups=4), b.conv(z, 4, kernel=5))
    p = b.fire(b.conv(d, 8, kernel=1))
    return b.fire(b.conv(p, 4, pool=Pool("sum", (2, 2), (2, 2))))


NETS = {"residual": residual, "chain": chain, "wide": wide}


def network(
    name: str, timesteps: int, spike_max: int, neuron: Neuron = PLAIN, *, scale: int = 1
) -> FixedNetwork:
    """A network of that shape, with ``scale`` times its channels."""
    builder = Builder(timesteps, spike_max, sum(name.encode()) + timesteps, neuron, scale)
    builder.readout(NETS[name](builder))
    return builder.net


def program(net: FixedNetwork, *, lanes: int = 2, banks: tuple[int, int] = (1, 3)) -> LayerProgram:
    """All populations that can share a core in one."""
    names = tuple(
        p.name
        for p in net.populations
        if p.kind == "fire" and all(q.source != INPUT for q in net.into(p.name))
    )
    return layer_program(net, CorePlan(names, (), lanes, banks))
