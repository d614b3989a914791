# SPDX-License-Identifier: BSD-2-Clause
"""Cycles that a shared core spends on one pass, from the spikes that it reads.

Nothing holds a pass up from outside, so its length follows from its words alone. The model steps
the registers that decide when something moves: the reader's stages, the splitter's, the spike that
waits, the walk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from pysnn_hw.ir.snn import Array
from pysnn_hw.plan.activity import Activity, CoreCycles, mean_events, mean_sending
from pysnn_hw.plan.latency import (
    SHARED_SPIKES,
    SHARED_WEIGHTS,
    lane_latency,
    membrane_hazard,
    shared_scan_depth,
    value_bits,
)
from pysnn_hw.plan.layers import AccumulatePass, LayerProgram
from pysnn_hw.plan.schedule import LaneKind
from pysnn_hw.plan.tokens import part_lanes


def pass_cycles(p: AccumulatePass, spikes: Array, lanes: int) -> int:
    """Cycles from the start of a pass until its last step was offered.

    Parameters
    ----------
    p
        The pass.
    spikes
        Values of its source in one timestep, integers (C, H, W).
    lanes
        Channels per word.
    """
    channels, height, width = spikes.shape
    size = part_lanes(lanes)
    parts = (spikes.transpose(1, 2, 0) != 0).reshape(
        height, width, channels // lanes, lanes // size, size
    )
    counts = parts.sum(-1).reshape(-1, lanes // size).astype(np.int64)
    steps = np.repeat(p.geometry.steps().reshape(-1), channels // lanes).astype(np.int64)
    return int(_pass(steps, counts))


@dataclass(frozen=True, eq=False)
class Runs:
    """What a shared core does, one entry per layer, timestep and image, in order.

    Attributes
    ----------
    cycles
        From loading the first pass until firing begins.
    words
        That are scanned.
    sends, keeps
        Whether spikes leave, and whether they go to the spike memory.
    first
        Row of the first word in ``sent``, for runs that send.
    sent
        Non-zero values per part of the serializer, int64 (words of all runs that send, parts).
    """

    cycles: Array
    words: Array
    sends: Array
    keeps: Array
    first: Array
    sent: Array


_NONE = np.zeros(0, np.int64)
NO_RUNS = Runs(_NONE, _NONE, _NONE > 0, _NONE > 0, _NONE, np.zeros((0, 1), np.int64))
"""Of a core of one population."""


def shared_runs(program: LayerProgram, activity: Activity, lane_kind: str) -> Runs:
    """What the core of ``program`` does with the sample images."""
    images, timesteps, lanes = activity.images, program.net.timesteps, program.lanes
    size = part_lanes(lanes)
    extra = PASS_CYCLES + _drain(program, lane_kind)
    cycles, words, sends, keeps, first = [], [], [], [], []
    sent: list[Array] = []
    rows = 0
    for image in range(images):
        for run in program.layers:
            channels, height, width = run.population.shape
            scanned = channels // lanes * height * width
            for step in range(timesteps):
                taken = [
                    extra + pass_cycles(p, _spikes(activity, p, image, step), lanes)
                    for p in run.passes
                ]
                cycles.append(sum(taken))
                words.append(scanned)
                sends.append(run.sends)
                keeps.append(run.target is not None)
                first.append(rows)
                if run.sends:
                    fired = activity.spikes[run.population.name][image, step] != 0
                    counts = fired.transpose(1, 2, 0).reshape(scanned, lanes // size, size).sum(-1)
                    sent.append(counts.astype(np.int64))
                    rows += scanned
    none = np.zeros((0, lanes // size), np.int64)
    return Runs(
        np.array(cycles),
        np.array(words),
        np.array(sends),
        np.array(keeps),
        np.array(first),
        np.concatenate([none, *sent]),
    )


def shared_core_cycles(
    program: LayerProgram, activity: Activity, lane_kind: LaneKind
) -> CoreCycles:
    """Mean busy cycles per image of the core of ``program``, on the sample images."""
    layers = shared_layer_cycles(program, activity, lane_kind)
    return CoreCycles(
        f"{layers[0].core} .. {layers[-1].core}",
        sum(layer.accumulate for layer in layers),
        sum(layer.fire for layer in layers),
        sum(layer.overhead for layer in layers),
    )


def shared_layer_cycles(
    program: LayerProgram, activity: Activity, lane_kind: LaneKind
) -> tuple[CoreCycles, ...]:
    """`shared_core_cycles` of each layer by itself, named after its population."""
    steps = program.net.timesteps
    extra = PASS_CYCLES + _drain(program, lane_kind)
    depth = shared_scan_depth(program)
    found = []
    for run in program.layers:
        accumulate = overhead = 0.0
        for p in run.passes:
            events = mean_events(program.net, activity, p.projection.source, None, False)
            needed = float((events * p.geometry.steps()).sum())
            # A word is read per cycle, whether it holds spikes or not.
            accumulate += max(needed, steps * p.source.words)
            overhead += steps * (extra + FIRST_STEP)
        channels, height, width = run.population.shape
        words = channels // program.lanes * height * width
        sending = 0.0
        if run.sends:
            name = run.population.name
            sending, _ = mean_sending(program.net, activity, name, None, program.lanes)
        overhead += steps * depth
        fire = max(sending, steps * words)
        found.append(CoreCycles(run.population.name, accumulate, fire, overhead))
    return tuple(found)


FIRST_STEP = 7 + SHARED_SPIKES
"""Cycles from the start of a pass to its first step, if its first words hold spikes."""

PASS_CYCLES = 4
"""Cycles of a pass beside its own: its descriptor is loaded, its place worked out."""


def _spikes(activity: Activity, p: AccumulatePass, image: int, step: int) -> Array:
    return np.asarray(activity.spikes[p.projection.source][image, step])


def _drain(program: LayerProgram, lane_kind: str) -> int:
    """Cycles from the last step on offer until its sum is certainly written."""
    product = lane_latency(lane_kind, value_bits(program.spike_range))
    return SHARED_WEIGHTS + TURN + product + membrane_hazard(far=True) + 1


TURN = 1
"""`WeightTurner.latency`."""


@njit(cache=True)
def _pass(steps, counts):  # type: ignore[no-untyped-def]
    """``steps`` of each spike of a word (words,), spikes of each part of a word (words, parts)."""
    words, parts = counts.shape
    none, end = -1, -2
    two_stages = parts > 1
    running, ending, index = True, False, 0
    read, fetch, bring, out = none, none, none, none
    # Skid buffers before and behind the splitter: what is on offer, what waits.
    word, word_spare, spike, spike_spare = none, none, none, none
    # Splitter: parts of the held word, the skid buffer between (words, and spikes of a part of
    # each), spikes of the held part.
    held, parts_left, part = none, 0, 0
    between, between_spikes, aside, aside_spikes = none, 0, none, 0
    current, left = none, 0
    event, busy, remain = none, False, 0
    cycle = 1  # in cycle 0 the pass was started
    while True:
        load = event != none and ((not busy) or remain == 1)
        if load and event == end:
            return cycle
        free = event == none or load
        spike_ready = spike_spare == none
        item_ready = (spike_ready and left <= 1) or left == 0
        word_ready = item_ready
        part_ready = aside == none
        if two_stages:
            word_ready = (part_ready and parts_left <= 1) or parts_left == 0
        advance = out == none or word_spare == none
        # Walk.
        if busy:
            remain -= 1
            busy = remain > 0
        if load:
            busy, remain = True, steps[event]
        # Event.
        if free:
            event = spike
        single = current if left > 0 else none
        if free or spike == none:
            spike = spike_spare if spike_spare != none else single
            spike_spare = none
        elif single != none and spike_ready:
            spike_spare = single
        # Splitter, from its end.
        if item_ready:
            left = 0
            if two_stages:
                current, left = between, between_spikes
            elif word != none:
                current = word
                left = 1 if word == end else counts[word, 0]
        elif spike_ready:
            left -= 1
        if two_stages:
            offered = 0
            if parts_left > 0 and part_ready:
                offered = 1
                if held != end:
                    while counts[held, part] == 0:
                        part += 1
                    offered = counts[held, part]
                    part += 1
            if item_ready or between == none:
                if aside != none:
                    between, between_spikes, aside = aside, aside_spikes, none
                elif offered > 0:
                    between, between_spikes = held, offered
                else:
                    between, between_spikes = none, 0
            elif offered > 0:
                aside, aside_spikes = held, offered
            if word_ready:
                parts_left, part = 0, 0
                if word != none:
                    held = word
                    parts_left = 1
                    if word != end:
                        parts_left = 0
                        for k in range(parts):
                            parts_left += counts[word, k] > 0
            elif part_ready:
                parts_left -= 1
        if word_ready or word == none:
            word = word_spare if word_spare != none else out
            word_spare = none
        elif out != none and word_spare == none:
            word_spare = out
        # Reader.
        if advance:
            out = none
            if bring == end or (bring != none and steps[bring] > 0 and counts[bring].sum() > 0):
                out = bring
            bring, fetch, read = fetch, read, none
            if running:
                read = index
                index += 1
                if index == words:
                    running, ending = False, True
            elif ending:
                read, ending = end, False
        cycle += 1
