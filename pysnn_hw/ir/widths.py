# SPDX-License-Identifier: BSD-2-Clause
"""Proven intervals of every membrane, by interval analysis (methods.md, section 1.5).

Nothing in the hardware can overflow because every register is as wide as the interval computed
here. All intervals are per channel, exact integers, and hold for any input in the declared range.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pysnn_hw.ir.snn import INPUT, Array, FixedNetwork, Neuron, Population, Projection


@dataclass(frozen=True, eq=False)
class PopulationWidths:
    """Intervals of one population; arrays are int64 of shape (C,).

    Attributes
    ----------
    drive_min, drive_max
        Weighted input of one step without bias: sum of the most negative (most positive) terms.
    after_min, after_max
        Membrane after firing and clamping, over all steps (and the initial value).
    total_min, total_max
        Everything the membrane can hold while events accumulate in any order, and ``u`` itself.
    """

    drive_min: Array
    drive_max: Array
    after_min: Array
    after_max: Array
    total_min: Array
    total_max: Array

    @property
    def bits(self) -> int:
        """Width of a signed register that holds the membrane at all times."""
        return signed_bits(int(self.total_min.min()), int(self.total_max.max()))

    @property
    def after_bits(self) -> int:
        """Width of a signed register that holds the membrane between steps."""
        return signed_bits(int(self.after_min.min()), int(self.after_max.max()))


def signed_bits(lo: int, hi: int) -> int:
    """Smallest two's complement width that holds ``lo .. hi``."""
    return max((-lo - 1).bit_length() if lo < 0 else 0, max(hi, 0).bit_length()) + 1


def drive_interval(net: FixedNetwork, projection: Projection) -> tuple[Array, Array]:
    """Smallest and largest weighted input of one step over one projection, int64 (C_out,)."""
    conv = projection.as_conv(net.shape_of(projection.source))
    lo, hi = _source_range(net, projection, conv.in_shape[0])
    # Input channel of each weight: group of the output channel, then position inside the group.
    c_out, per_group = conv.weight.shape[:2]
    group = np.arange(c_out) // (c_out // conv.groups)
    channel = group[:, None] * per_group + np.arange(per_group)[None, :]
    # Zero is always possible: a tap may fall outside the map, or its neuron stay silent.
    low, high = np.minimum(lo, 0)[channel], np.maximum(hi, 0)[channel]
    positive = np.maximum(conv.weight, 0).sum(axis=(2, 3))
    negative = conv.weight.sum(axis=(2, 3)) - positive
    worst = (positive * low + negative * high).sum(axis=1)
    best = (positive * high + negative * low).sum(axis=1)
    return worst.astype(np.int64), best.astype(np.int64)


def _source_range(net: FixedNetwork, projection: Projection, channels: int) -> tuple[Array, Array]:
    lo, hi = net.value_range(projection)
    if projection.source != INPUT:
        return np.full(channels, lo, np.int64), np.full(channels, hi, np.int64)
    window = 1
    if projection.pool is not None and projection.pool.mode == "sum":
        window = projection.pool.kernel[0] * projection.pool.kernel[1]
    zero = np.asarray(net.input.zero_point, np.int64)
    low, high = net.input.minimum - zero, net.input.maximum - zero
    if net.input.threshold is not None:
        low, high = np.zeros_like(zero), np.ones_like(zero)
    if net.input.encoding == "bernoulli":
        low, high = np.maximum(low, -1), np.minimum(high, 1)
    return window * low, window * high


def _drive(net: FixedNetwork, name: str) -> tuple[Array, Array]:
    channels = net.population(name).channels
    lo, hi = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    for projection in net.into(name):
        low, high = drive_interval(net, projection)
        lo, hi = lo + low, hi + high
    return lo, hi


def post_fire_interval(net: FixedNetwork, name: str, *, clamp: bool = False) -> tuple[Array, Array]:
    """Per-channel interval of the membrane between steps, int64 (C,) each.

    With ``clamp`` the population's own ``v_min`` and ``v_max`` are applied after each step;
    without, the interval is what holds if nothing ever clamps (the values a quantiser stores).
    For a readout: the interval over all steps.
    """
    population = net.population(name)
    drive_lo, drive_hi = _drive(net, name)
    bias = population.per_channel("bias").astype(np.int64)
    lo, hi = _start(net, population)
    steps = longest_run(net)
    if population.kind == "readout":
        low = lo + steps * np.minimum(bias + drive_lo, 0)
        high = hi + steps * np.maximum(bias + drive_hi, 0)
        return low, high
    theta = population.per_channel("threshold").astype(np.int64)
    for _ in range(steps):
        rest_lo, rest_hi = _leaked(lo, population.neuron), _leaked(hi, population.neuron)
        low, high = _fired(rest_lo + bias + drive_lo, rest_hi + bias + drive_hi, theta, population)
        if clamp:
            low, high = _clamped(population, low, high)
        low, high = np.minimum(lo, low), np.maximum(hi, high)
        if (low == lo).all() and (high == hi).all():
            break
        lo, hi = low, high
    return lo, hi


def longest_run(net: FixedNetwork) -> int:
    """Most timesteps between two starts: T, or those of the probe."""
    return max(net.timesteps, 0 if net.probe is None else net.probe.steps)


def _start(net: FixedNetwork, population: Population) -> tuple[Array, Array]:
    """Smallest and largest membrane that a channel starts from."""
    values = population.per_neuron("v_init").astype(np.int64).reshape(population.channels, -1)
    low, high = values.min(axis=1), values.max(axis=1)
    if population.kind == "fire" and net.probe is not None and net.probe.rule == "shift":
        theta = population.per_channel("threshold").astype(np.int64)
        low, high = low - theta, high + theta
    return low, high


def _leaked(values: Array, neuron: Neuron) -> Array:
    """Leaking grows with the membrane, so it maps the ends of an interval to its ends."""
    return values - (values >> neuron.leak) if neuron.leak else values


def _fired(lo: Array, hi: Array, theta: Array, population: Population) -> tuple[Array, Array]:
    neuron, largest = population.neuron, population.spike_max
    # Between zero and the threshold nothing fires; above, the rest is less than a threshold (or
    # the threshold itself if it had to be exceeded) unless there is more than can be fired.
    rest = theta - 1 + neuron.strict
    if neuron.reset == "hard":
        low, high = np.minimum(lo, 0), np.minimum(hi, rest)
        if neuron.polarity == "signed":
            low = np.maximum(low, 0)
        return low, np.maximum(high, low)
    high = np.maximum(np.minimum(hi, rest), hi - largest * theta)
    low = np.minimum(lo, 0)
    if neuron.polarity == "signed":
        low = np.minimum(low + largest * theta, 0)
    if neuron.polarity != "positive":
        # A negative spike may leave anything up to a threshold.
        high = np.where(lo < 0, np.maximum(high, rest), high)
    return low, high


def _clamped(population: Population, lo: Array, hi: Array) -> tuple[Array, Array]:
    if population.v_min is not None:
        lo, hi = np.maximum(lo, population.v_min), np.maximum(hi, population.v_min)
    if population.v_max is not None:
        lo, hi = np.minimum(lo, population.v_max), np.minimum(hi, population.v_max)
    return lo, hi


@lru_cache(maxsize=1024)
def clamps(net: FixedNetwork, name: str) -> bool:
    """Whether the population's clamp can ever act."""
    population = net.population(name)
    lo, hi = post_fire_interval(net, name)
    below = population.v_min is not None and bool((lo < population.v_min).any())
    above = population.v_max is not None and bool((hi > population.v_max).any())
    return below or above


@lru_cache(maxsize=1024)
def population_widths(net: FixedNetwork, name: str) -> PopulationWidths:
    """Proven intervals of one population."""
    population = net.population(name)
    drive_lo, drive_hi = _drive(net, name)
    after_lo, after_hi = post_fire_interval(net, name, clamp=True)
    bias = population.per_channel("bias").astype(np.int64)
    # The bias may be added before or after the events of its step: both must fit. A readout may
    # hold all its biases from the start.
    steps = longest_run(net) if population.kind == "readout" else 1
    total_lo = after_lo + np.minimum(steps * bias, 0) + drive_lo
    total_hi = after_hi + np.maximum(steps * bias, 0) + drive_hi
    return PopulationWidths(drive_lo, drive_hi, after_lo, after_hi, total_lo, total_hi)


def widths(net: FixedNetwork) -> dict[str, PopulationWidths]:
    """Proven intervals of every population, by name."""
    return {p.name: population_widths(net, p.name) for p in net.populations}
