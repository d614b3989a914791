# SPDX-License-Identifier: BSD-2-Clause
"""Cycles that a shared core spends on one pass, from the spikes that it reads.

Nothing holds a pass up from outside, so its length follows from its words alone. The model steps
the registers that decide when something moves: the reader's stages, the splitter's, the spike that
waits, the walk.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pysnn_hw.ir.snn import Array
from pysnn_hw.plan.layers import AccumulatePass
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


@njit(cache=True)
def _pass(steps, counts):  # type: ignore[no-untyped-def]
    """``steps`` of each spike of a word (words,), spikes of each part of a word (words, parts)."""
    words, parts = counts.shape
    none, end = -1, -2
    two_stages = parts > 1
    running, ending, index = True, False, 0
    read, fetch, out = none, none, none
    # Splitter: parts of the held word, spikes of the held part.
    held, parts_left, part = none, 0, 0
    current, left = none, 0
    event, busy, remain = none, False, 0
    cycle = 1  # in cycle 0 the pass was started
    while True:
        load = event != none and ((not busy) or remain == 1)
        if load and event == end:
            return cycle
        free = event == none or load
        item_ready = (free and left <= 1) or left == 0
        word_ready = item_ready
        if two_stages:
            word_ready = (item_ready and parts_left <= 1) or parts_left == 0
        advance = out == none or word_ready
        # Walk.
        if busy:
            remain -= 1
            busy = remain > 0
        if load:
            busy, remain = True, steps[event]
        # Event.
        if free:
            event = current if left > 0 else none
        # Splitter, from its end.
        if item_ready:
            left = 0
            if two_stages:
                if parts_left > 0:
                    current = held
                    if held == end:
                        left = 1
                    else:
                        while counts[held, part] == 0:
                            part += 1
                        left = counts[held, part]
                        part += 1
            elif out != none:
                current = out
                left = 1 if out == end else counts[out, 0]
        elif free:
            left -= 1
        if two_stages:
            if word_ready:
                parts_left, part = 0, 0
                if out != none:
                    held = out
                    parts_left = 1
                    if out != end:
                        parts_left = 0
                        for k in range(parts):
                            parts_left += counts[out, k] > 0
            elif item_ready:
                parts_left -= 1
        # Reader.
        if advance:
            out = none
            if fetch == end or (fetch != none and steps[fetch] > 0 and counts[fetch].sum() > 0):
                out = fetch
            fetch, read = read, none
            if running:
                read = index
                index += 1
                if index == words:
                    running, ending = False, True
            elif ending:
                read, ending = end, False
        cycle += 1
