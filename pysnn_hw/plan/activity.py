# SPDX-License-Identifier: BSD-2-Clause
"""What a network does on sample images, and what that costs each core in cycles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.lib.stride_tricks import sliding_window_view

from pysnn_hw.ir.snn import INPUT, Array, FixedNetwork, Pool, Projection
from pysnn_hw.plan.schedule import (
    CorePlan,
    Schedule,
    outgoing_pool,
    port_geometry,
    reads_each_step,
    reread_words,
    scan_geometry,
)


@dataclass(frozen=True, eq=False)
class Activity:
    """Spike trains of N sample images.

    Attributes
    ----------
    inputs
        int64 (N, S or 1, C, H, W): the values that enter the network in each step; one for all if
        the input is constant.
    spikes
        Per fire population, (N, S, C, H, W), S steps in all: values before pooling (a golden
        trace).
    steps
        int64 (N,): timesteps that count where a readout exits early; None for all.
    """

    inputs: Array
    spikes: Mapping[str, Array]
    steps: Array | None = None

    @staticmethod
    def of(
        net: FixedNetwork,
        images: Array,
        spikes: Mapping[str, Array],
        steps: Array | None = None,
    ) -> Activity:
        """Activity of raw integer ``images`` with their spike trace (and exits).

        ``images`` are (N, C, H, W), or (N, T, C, H, W) for an input of events.
        """
        values = net.input.values(images)
        if net.input.encoding != "events":
            values = values[:, None]
        if net.input.encoding == "bernoulli":
            values = _drawn(net, values)
        return Activity(values, spikes, steps)

    @property
    def images(self) -> int:
        """Number of sample images N."""
        return int(self.inputs.shape[0])

    def values(self, source: str) -> Array:
        """Spike values of a population, or the input's integers: (N, S or 1, C, H, W)."""
        return self.inputs if source == INPUT else self.spikes[source]


def _drawn(net: FixedNetwork, values: Array) -> Array:
    """Bernoulli events (N, T, C, H, W) of ``values`` (N, 1, C, H, W)."""
    bits = net.input.peak.bit_length()
    c, h, w = net.input.shape
    numbers = _xorshift(np.uint32(net.input.seed), net.timesteps * c * h * w) >> (32 - bits)
    u = numbers.astype(np.int64).reshape(net.timesteps, h, w, c).transpose(0, 3, 1, 2)
    magnitude = np.abs(values)
    return np.asarray(np.sign(values) * (u < magnitude + (magnitude >> (bits - 1))))


@njit(cache=True)
def _xorshift(state: np.uint32, count: int) -> Array:
    """``count`` 32-bit numbers after ``state``."""
    numbers = np.empty(count, np.uint32)
    for k in range(count):
        state = np.uint32(state ^ (state << np.uint32(13)))
        state = np.uint32(state ^ (state >> np.uint32(17)))
        state = np.uint32(state ^ (state << np.uint32(5)))
        numbers[k] = state
    return numbers


def pooled(net: FixedNetwork, values: Array, pool: Pool | None) -> Array:
    """Spike values (N, S, C, H, W) after a pooling; its totals start again after a probe."""
    if pool is None:
        return values
    values = values.astype(np.int64)
    probe = 0 if net.probe is None else net.probe.steps
    runs = np.split(values, [probe], axis=1) if probe else [values]
    return np.concatenate([_pooled_run(run, pool) for run in runs], axis=1)


def _pooled_run(values: Array, pool: Pool) -> Array:
    if pool.mode == "sum":
        return np.asarray(_windows(values, pool).sum(axis=-1))
    totals = _windows(values.cumsum(axis=1), pool)
    if pool.mode == "max":
        return np.diff(totals.max(axis=-1), axis=1, prepend=0)
    most = totals.argmax(axis=-1)[..., None]
    return np.take_along_axis(_windows(values, pool), most, axis=-1)[..., 0]


def _windows(values: Array, pool: Pool) -> Array:
    """(N, T, C, h, w, members of a window, row by row)."""
    windows = sliding_window_view(values, pool.kernel, axis=(3, 4))
    windows = windows[:, :, :, :: pool.stride[0], :: pool.stride[1]]
    return windows.reshape(*windows.shape[:5], -1)


def sent_values(
    net: FixedNetwork, schedule: Schedule, activity: Activity, projection: Projection
) -> Array:
    """Event values that arrive over a projection, (N, S or 1, C, h, w)."""
    values = activity.values(projection.source)
    if projection.source == INPUT:
        return values
    return pooled(net, values, outgoing_pool(net, schedule.core_of(projection.source)))


@lru_cache(maxsize=1024)
def mean_events(
    net: FixedNetwork, activity: Activity, source: str, pool: Pool | None, bits: bool
) -> Array:
    """Events per image at each position, float64 (H, W): of all channels and timesteps.

    ``pool`` is that of the sender; with ``bits``, an event counts once per set bit of its value.
    """
    values = activity.values(source)
    if source != INPUT:
        values = pooled(net, values, pool)
    count = np.bitwise_count(values) if bits else values != 0
    return np.asarray(count.sum(axis=(0, 1, 2)) / activity.images)


@lru_cache(maxsize=1024)
def mean_sending(
    net: FixedNetwork, activity: Activity, population: str, pool: Pool | None, lanes: int
) -> tuple[float, int]:
    """Cycles per image that words of ``lanes`` take to be sent; words of one timestep.

    A word costs the cycles of its non-zero values, at least the one in which it is scanned.
    """
    sent = pooled(net, activity.spikes[population], pool) != 0
    n, t, c, h, w = sent.shape
    per_word = sent.reshape(n, t, c // lanes, lanes, h, w).sum(axis=3)
    return float(np.maximum(per_word, 1).sum() / n), c // lanes * h * w


@dataclass(frozen=True)
class CoreCycles:
    """Mean cycles per image of one core: its phases, which follow each other.

    Attributes
    ----------
    core
        Its name.
    accumulate
        Steps of all events (or the arrival of the image's integers, if that takes longer).
    fire
        Scanning and sending, all timesteps.
    overhead
        Filling and draining pipelines between phases.
    """

    core: str
    accumulate: float
    fire: float
    overhead: float

    @property
    def total(self) -> float:
        """Cycles from one image to the next if this core alone set the pace."""
        return self.accumulate + self.fire + self.overhead


PHASE_OVERHEAD = 28
"""Cycles that one accumulate and one fire phase spend on filling and draining (typical)."""


def core_cycles(
    net: FixedNetwork, schedule: Schedule, activity: Activity, core: CorePlan
) -> CoreCycles:
    """Mean busy cycles per image of a core of one population, on the sample images."""
    population = net.population(core.population)
    accumulate = 0.0
    for port in core.inputs:
        projection = next(p for p in net.projections if p.name == port.projection)
        pool = None
        if projection.source != INPUT:
            pool = outgoing_pool(net, schedule.core_of(projection.source))
        bits = core.lane_kind == "shift"
        events = mean_events(net, activity, projection.source, pool, bits)
        # An event that touches nothing takes a cycle, too.
        steps = np.maximum(port_geometry(net, schedule, port.projection).steps(), 1)
        accumulate += float((events * steps).sum())
    scan = scan_geometry(net, core)
    overhead = PHASE_OVERHEAD * net.total_steps
    if population.kind == "readout":
        reads = net.timesteps if reads_each_step(net) else 1
        return CoreCycles(core.name, accumulate, reads * scan.words * core.lanes, overhead)
    pool = outgoing_pool(net, core)
    sending, sent_words = mean_sending(net, activity, core.population, pool, core.lanes)
    silent = net.total_steps * (scan.words + reread_words(net, core) - sent_words)
    return CoreCycles(core.name, accumulate, sending + silent, overhead)
