# SPDX-License-Identifier: BSD-2-Clause
"""Spike trains as the streams see them: which event, which word, in which order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pysnn_hw.ir.snn import Array, FixedNetwork, Population
from pysnn_hw.plan.activity import Activity, pooled, sent_values
from pysnn_hw.plan.schedule import (
    CorePlan,
    Schedule,
    keeps_current,
    outgoing_pool,
    port_geometry,
    reread_words,
    scan_geometry,
)

STEP, INFERENCE, PROBE = -1, -2, -3
"""Markers among the steps of events."""


@dataclass(frozen=True, eq=False)
class PortTokens:
    """Transfers of one projection, all images in a row.

    Attributes
    ----------
    steps
        int64: accumulate cycles of each event (0 if it touches nothing), or a marker.
    splits
        int64: transfers after splitting into set bits (1 where lanes multiply).
    """

    steps: Array
    splits: Array


@dataclass(frozen=True, eq=False)
class WordTokens:
    """Scanned words of one core, all images and timesteps in a row: int64 (words, parts).

    Non-zero values of each word as it is sent after pooling, per part of the serializer; zero for
    words that send nothing (silent, or not the last of their pooling window). Where windows do not
    tile the map, these are the words that are read again.
    """

    sent: Array


def part_lanes(lanes: int) -> int:
    """Lanes per part of the serializer's second stage (all of them if it has one stage)."""
    divisors = [d for d in range(2, lanes) if lanes % d == 0]
    if lanes <= 8 or not divisors:
        return lanes
    return min(divisors, key=lambda d: (max(d, lanes // d), d))


def port_tokens(
    net: FixedNetwork, schedule: Schedule, activity: Activity, core: CorePlan, name: str
) -> PortTokens:
    """Events of projection ``name`` in the order in which they arrive."""
    projection = next(p for p in net.projections if p.name == name)
    geometry = port_geometry(net, schedule, name)
    values = sent_values(net, schedule, activity, projection).transpose(0, 1, 3, 4, 2)
    n, t = values.shape[:2]
    steps = np.broadcast_to(geometry.steps()[:, :, None], values.shape[2:])
    split = core.lane_kind == "shift"
    all_steps, all_splits = [], []
    for image in range(n):
        for step in range(t):
            sent = values[image, step] != 0
            all_steps += [steps[sent], [_marker(net, step, t)]]
            bits = np.bitwise_count(values[image, step][sent]) if split else np.ones(sent.sum())
            all_splits += [bits, [1]]
    return PortTokens(
        np.concatenate(all_steps).astype(np.int64), np.concatenate(all_splits).astype(np.int64)
    )


def collector_tokens(spikes: Array, lanes: int) -> PortTokens:
    """Events of a population on their way to a shared core: the word of each, or a marker.

    ``spikes`` are (N, T, C, H, W).
    """
    n, t, c, h, w = spikes.shape
    numbers = np.arange(c // lanes * h * w).reshape(h, w, c // lanes)
    word = np.repeat(numbers, lanes, axis=2)
    found = []
    for image in range(n):
        for step in range(t):
            fired = spikes[image, step].transpose(1, 2, 0) != 0
            found += [word[fired], [INFERENCE if step == t - 1 else STEP]]
    steps = np.concatenate(found).astype(np.int64)
    return PortTokens(steps, np.ones_like(steps))


def _marker(net: FixedNetwork, step: int, steps: int) -> int:
    """What ends step number ``step`` of as many ``steps`` as the source sends."""
    if step == steps - 1:
        return INFERENCE
    return PROBE if net.probe is not None and step == net.probe.steps - 1 else STEP


def word_tokens(net: FixedNetwork, activity: Activity, core: CorePlan) -> WordTokens:
    """Words of a fire core in scan order."""
    scan = scan_geometry(net, core)
    sent = pooled(net, activity.spikes[core.population], outgoing_pool(net, core)) != 0
    n, t, _, h, w = sent.shape
    size = part_lanes(core.lanes)
    parts = core.lanes // size
    counts = sent.transpose(0, 1, 3, 4, 2).reshape(n, t, h, w, scan.groups, parts, size).sum(-1)
    if reread_words(net, core):
        # Windows row by row, in each all groups, of each word its last member sends.
        by_window = np.zeros((n, t, h, w, scan.groups, _members(net, core), parts), np.int64)
        by_window[..., -1, :] = counts
        return WordTokens(by_window.reshape(-1, parts))
    order = scan.order()
    kh, kw = scan.window
    ends_y = (order[:, 0] % kh == kh - 1) & (order[:, 0] // kh < h)
    ends_x = (order[:, 1] % kw == kw - 1) & (order[:, 1] // kw < w)
    ends = ends_y & ends_x
    result = np.zeros((n, t, scan.words, parts), np.int64)
    y, x, g = (order[ends] // np.array([kh, kw, 1])).T
    result[:, :, ends] = counts[:, :, y, x, g]
    return WordTokens(result.reshape(-1, parts))


def _members(net: FixedNetwork, core: CorePlan) -> int:
    """Positions in a window of the outgoing pooling."""
    pool = outgoing_pool(net, core)
    return 1 if pool is None else pool.kernel[0] * pool.kernel[1]


@dataclass(frozen=True, eq=False)
class InputTokens:
    """What the encoder has to do, one advance each, all images in a row.

    Attributes
    ----------
    sends
        bool: whether it sends an event or a marker, rather than nothing.
    first, last
        int64 (images,): where each image begins, and what it ends with.
    """

    sends: Array
    first: Array
    last: Array


def input_tokens(net: FixedNetwork, activity: Activity) -> InputTokens:
    """Integers of an image (or, if events come in, those alone), and a marker after each step."""
    values = activity.inputs.transpose(0, 1, 3, 4, 2)
    sends = values.reshape(*values.shape[:2], -1) != 0
    sends = np.concatenate([sends, np.ones((*sends.shape[:2], 1), bool)], axis=2)
    taken = sends if net.input.encoding == "events" else np.ones_like(sends)
    end = np.cumsum(taken.sum(axis=(1, 2)))
    return InputTokens(sends[taken], np.append(0, end[:-1]), end - 1)


def repeats(net: FixedNetwork, population: Population) -> int:
    """Timesteps that the core runs by itself."""
    constant = keeps_current(net, population.name)
    return net.total_steps if constant and population.kind == "fire" else 1
