# SPDX-License-Identifier: BSD-2-Clause
"""Compiled, event-driven kernels; `run` simulates many images in one call.

They all live in this file: numba caches machine code by the source file of the outermost
function, and would not notice a change in another file.

Membranes, weights and events are all float32 or all int32, whatever is proven exact. Innermost
loops index with unsigned integers: numba guards signed ones against negative values, which would
keep the loops from being vectorised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from pysnn_hw.ir.snn import Array

if TYPE_CHECKING:
    from pysnn_hw.golden.program import Output, Program

NO_POOL, SUM_POOL, MAX_POOL, GATE_POOL = 0, 1, 2, 3
NO_PROBE, MASK_PROBE, SHIFT_PROBE = 0, 1, 2
POSITIVE, MEMORY, SIGNED = 0, 1, 2
Row = Any
"""One record of a table in `program`; its fields are known to numba, not to a type checker."""

_compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@_compiled
def arrive(spikes: Array, p: Row, state: Array, line: Array, events: Array) -> None:
    """Turn a source's ``spikes``, (H, W, C) flat, into the ``events`` that the synapses see.

    Pooling works on whole rows of the map, so pooled columns stay where their windows start: the
    event of window (y, x) is ``events[y, x * stride]`` of a map as wide as the source, int32.
    ``state`` is what running maxima remember, ``line`` is scratch for a row.
    """
    size = np.uintp(p.height * p.width * p.channels)
    if p.pool == NO_POOL:
        for i in range(size):
            events[i] = spikes[i]
    elif p.pool == SUM_POOL:
        _pool(spikes, p, line, events)
    elif p.pool == GATE_POOL:
        totals = state[p.totals :]
        for i in range(size):
            totals[i] += spikes[i]
        _gate(spikes, totals, p, events)
    else:
        totals, peaks = state[p.totals :], state[p.peaks :]
        for i in range(size):
            totals[i] += spikes[i]
        _pool(totals, p, line, events)
        for i in range(np.uintp(p.pooled_height * p.width * p.channels)):
            peak = events[i]
            events[i] = peak - peaks[i]
            peaks[i] = peak


@_compiled
def _pool(source: Array, p: Row, line: Array, out: Array) -> None:
    """Sum or maximum of each window: down the columns, then along the rows."""
    length = np.uintp(p.width * p.channels)
    reach = np.uintp((p.width - p.pool_columns + 1) * p.channels)
    for y in range(p.pooled_height):
        first = np.uintp(y * p.pool_stride_y) * length
        into = np.uintp(y) * length
        for j in range(length):
            line[j] = source[first + j]
        for dy in range(1, p.pool_rows):
            row = first + np.uintp(dy) * length
            if p.pool == SUM_POOL:
                for j in range(length):
                    line[j] += source[row + j]
            else:
                for j in range(length):
                    line[j] = max(line[j], source[row + j])
        for j in range(reach):
            out[into + j] = line[j]
        for dx in range(1, p.pool_columns):
            shift = np.uintp(dx * p.channels)
            if p.pool == SUM_POOL:
                for j in range(reach):
                    out[into + j] += line[shift + j]
            else:
                for j in range(reach):
                    out[into + j] = max(out[into + j], line[shift + j])


@_compiled
def _gate(spikes: Array, totals: Array, p: Row, out: Array) -> None:
    """What the first member of each window with the largest total sends."""
    channels = p.channels
    for y in range(p.pooled_height):
        for x in range(p.pooled_width):
            first = (y * p.pool_stride_y * p.width + x * p.pool_stride_x) * channels
            into = (y * p.width + x * p.pool_stride_x) * channels
            for c in range(channels):
                best = first + c
                for dy in range(p.pool_rows):
                    for dx in range(p.pool_columns):
                        member = first + (dy * p.width + dx) * channels + c
                        if totals[member] > totals[best]:
                            best = member
                out[into + c] = spikes[best]


@_compiled
def accumulate(
    membrane: Array,
    events: Array,
    p: Row,
    weights: Array,
    found: Array,
    values: Array,
    stamp: Array,
) -> int:
    """Add weighted ``events``, as `arrive` leaves them, to the target's membranes; return the SOPs.

    All events of a pixel meet the same neighbourhood of outputs: their weighted sum, the stamp,
    is added there. ``p`` is a row of the projection table; ``found`` (uint64) and ``values`` are
    scratch for the events of one pixel, C + 4 each, ``stamp`` for one channel's kernel.
    """
    channels, span = p.channels, p.out_channels // p.groups
    high = (p.rows + p.stride_y - 1) // p.stride_y
    wide = (p.columns + p.stride_x - 1) // p.stride_x
    line = wide * span
    kernel = p.stride_y * p.stride_x * high * line
    sops = 0
    for y in range(p.pooled_height):
        oy_first, oy_last = _reach(y + p.top, p.rows, p.stride_y, p.out_height)
        for x in range(p.pooled_width):
            pixel = np.uintp((y * p.width + x * p.pool_stride_x) * channels)
            count = _find(events, pixel, np.uintp(channels), found)
            if count == 0:
                continue
            ox_first, ox_last = _reach(x + p.left, p.columns, p.stride_x, p.out_width)
            if oy_first > oy_last or ox_first > ox_last:
                continue
            lines, taps = oy_last - oy_first + 1, ox_last - ox_first + 1
            sops += np.int64(count) * lines * taps * span
            # Where the first output finds its weight inside a channel's kernel.
            part = (y + p.top) % p.stride_y * p.stride_x + (x + p.left) % p.stride_x
            over = high - 1 - ((y + p.top) // p.stride_y - oy_first)
            left = wide - 1 - ((x + p.left) // p.stride_x - ox_first)
            first = p.weights + (part * high + over) * line + left * span
            into = np.uintp((oy_first * p.out_width + ox_first) * p.out_channels)
            if p.groups > 1:
                _add_groups(membrane, into, weights, first, events, pixel, p, lines, taps, kernel)
                continue
            for k in range(count):
                values[k] = events[pixel + found[k]]
                found[k] = np.uintp(first) + found[k] * np.uintp(kernel)
            _weigh(stamp, weights, found, values, count, np.uintp((lines - 1) * line + taps * span))
            for row in range(lines):
                to = into + np.uintp(row * p.out_width * span)
                at = np.uintp(row * line)
                for j in range(np.uintp(taps * span)):
                    membrane[to + j] += stamp[at + j]
    return sops


@_compiled
def _reach(position: int, kernel: int, stride: int, size: int) -> tuple[int, int]:
    """First and last output coordinate whose window holds the padded input ``position``."""
    return max(0, -((kernel - 1 - position) // stride)), min(size - 1, position // stride)


@_compiled
def _find(events: Array, pixel: np.uintp, channels: np.uintp, found: Array) -> np.uintp:
    """Gather the channels of a pixel's non-zero events; return how many."""
    count, some = np.uintp(0), np.int32(0)
    for c in range(channels):  # vectorised, unlike the next loop, and most pixels end here
        some |= events[pixel + c]
    if some == 0:
        return count
    for c in range(channels):
        found[count] = c
        count += np.uintp(events[pixel + c] != 0)
    return count


@_compiled
def _weigh(
    stamp: Array, weights: Array, found: Array, values: Array, count: np.uintp, length: np.uintp
) -> None:
    """Sum ``count`` events times their weights, which start at ``found``, four at a time."""
    for extra in range(count, count + np.uintp(3)):
        found[extra], values[extra] = found[0], 0
    for j in range(length):
        stamp[j] = 0
    for k in range(np.uintp(0), count, np.uintp(4)):
        a, p = found[k], values[k]
        b, q = found[k + np.uintp(1)], values[k + np.uintp(1)]
        c, r = found[k + np.uintp(2)], values[k + np.uintp(2)]
        d, s = found[k + np.uintp(3)], values[k + np.uintp(3)]
        for j in range(length):
            stamp[j] += (
                p * weights[a + j] + q * weights[b + j] + r * weights[c + j] + s * weights[d + j]
            )


@_compiled
def _add_groups(
    membrane: Array,
    into: np.uintp,
    weights: Array,
    first: int,
    events: Array,
    pixel: np.uintp,
    p: Row,
    lines: int,
    taps: int,
    kernel: int,
) -> None:
    """Add a pixel's events to the membranes of their own groups."""
    span, per_group = p.out_channels // p.groups, p.channels // p.groups
    line = (p.columns + p.stride_x - 1) // p.stride_x * span
    for c in range(p.channels):
        value = events[pixel + np.uintp(c)]
        if value == 0:
            continue
        group = into + np.uintp(c // per_group * span)
        for row in range(lines):
            for tap in range(taps):
                to = group + np.uintp((row * p.out_width + tap) * p.out_channels)
                at = np.uintp(first + c * kernel + row * line + tap * span)
                for j in range(np.uintp(span)):
                    membrane[to + j] += value * weights[at + j]


@_compiled
def fire(membrane: Array, current: Array, threshold: Array, limits: Array, spikes: Array) -> int:
    """Add the constant ``current``, fire, subtract, clamp; return the number of non-zero spikes.

    ``limits`` is (0, spike_max, v_min, v_max). The quotient (float32 of integers below 2**24, or
    float64 of 32-bit integers) is never rounded up to the next integer k: ``k - 1 / threshold`` is
    farther from k than half a unit in the last place.
    """
    zero, largest, low, high = limits[0], limits[1], limits[2], limits[3]
    if largest == 1:
        for j in range(len(membrane)):
            u, theta = membrane[j] + current[j], threshold[j]
            fires = u >= theta
            spikes[j] = fires
            membrane[j] = min(max(u - theta if fires else u, low), high)
    else:
        for j in range(len(membrane)):
            u, theta = membrane[j] + current[j], threshold[j]
            s = min(max(np.floor(u / theta), zero), largest)
            spikes[j] = spikes.dtype.type(s)
            membrane[j] = min(max(u - s * theta, low), high)
    count = 0
    for j in range(len(spikes)):
        count += spikes[j] != 0
    return count


@_compiled
def leak(membrane: Array, shift: int) -> None:
    """Let the membranes lose a part of what they hold."""
    for j in range(len(membrane)):
        v = np.int64(membrane[j])
        membrane[j] = v - (v >> shift)


@_compiled
def fire_other(
    membrane: Array,
    current: Array,
    threshold: Array,
    limits: Array,
    spikes: Array,
    population: Row,
    emitted: Array,
) -> int:
    """`fire` for every other neuron than the plain one, in integers; keeps count in ``emitted``."""
    largest, low, high = np.int64(limits[1]), np.int64(limits[2]), np.int64(limits[3])
    count = 0
    for j in range(len(membrane)):
        u = np.int64(membrane[j]) + np.int64(current[j])
        theta = np.int64(threshold[j])
        lowest = np.int64(0)
        if population.polarity == MEMORY:
            lowest = -min(largest, np.int64(emitted[j]))
        elif population.polarity == SIGNED:
            lowest = -largest
        s = min(max((u - population.strict) // theta, lowest), largest)
        v = u - s * theta
        if population.hard and s != 0:
            v = np.int64(0)
        membrane[j] = min(max(v, low), high)
        spikes[j] = spikes.dtype.type(s)
        emitted[j] += s
        count += s != 0
    return count


@_compiled
def start_over(
    membrane: Array, program: Program, spikes_before: Array, start: Array, silent: Array
) -> None:
    """After the probe: where each neuron starts from, and which ones stay silent.

    ``spikes_before`` is what each neuron emitted in the probe; ``start`` and ``silent`` are
    written.
    """
    for j in range(len(membrane)):
        v, theta = membrane[j], program.threshold[j]
        start[j] = program.v_init[j]
        if program.rule == MASK_PROBE:
            silent[j] = v <= 0
        elif v >= theta:
            start[j] += theta
        elif v < 0 and spikes_before[j] > 0:
            start[j] -= theta


@_compiled
def hush(spikes: Array, membrane: Array, v_init: Array, silent: Array) -> int:
    """Take back what silent neurons did in this step; return how many spikes that were."""
    count = 0
    for j in range(len(spikes)):
        if silent[j]:
            count += spikes[j] != 0
            spikes[j] = 0
            membrane[j] = v_init[j]
    return count


@_compiled
def _lead(scores: Array) -> int:
    """By how much the best score is above the second."""
    best, second = max(scores[0], scores[1]), min(scores[0], scores[1])
    for j in range(2, len(scores)):
        if scores[j] > best:
            best, second = scores[j], best
        elif scores[j] > second:
            second = scores[j]
    return int(best - second)


@_compiled
def _vote(scores: Array, noise: Array, random: np.uint32, votes: Array) -> np.uint32:
    """A vote for the class of the largest noisy score; returns the generator's state."""
    winner, best = 0, np.int64(0)
    for j in range(len(scores)):
        random = xorshift(random)
        score = scores[j] + noise[random >> np.uint32(24)]
        if j == 0 or score > best:
            winner, best = j, score
    votes[winner] += 1
    return random


@_compiled
def xorshift(state: np.uint32) -> np.uint32:
    """Next state of the 32-bit generator (Marsaglia's 13, 17, 5)."""
    state = np.uint32(state ^ (state << np.uint32(13)))
    state = np.uint32(state ^ (state >> np.uint32(17)))
    return np.uint32(state ^ (state << np.uint32(5)))


@_compiled
def draw(images: Array, bits: int, seed: np.uint32, frames: Array) -> None:
    """Bernoulli events (N, T, H * W * C) of ``images`` less their zero point."""
    shift, top = np.uint32(32 - bits), np.int64(bits - 1)
    steps, size = frames.shape[1], frames.shape[2]
    random = seed
    for t in range(steps):
        for k in range(size):
            random = xorshift(random)
            u = np.int64(random >> shift)
            for i in range(len(images)):
                x = np.int64(images[i, k])
                a = abs(x)
                frames[i, t, k] = np.sign(x) if u < a + (a >> top) else 0


@_compiled
def _copy(source: Array, out: Array) -> None:
    """``out[:] = source``, converting; spelled out, as numba takes seconds to compile that."""
    for j in range(len(source)):
        out[j] = source[j]


@_compiled
def run(program: Program, frames: Array, block: int, output: Output) -> None:
    """Simulate images, ``frames`` int32 (N, S, H * W * C) less their zero point.

    S is 1 if the input is the same at every timestep. Time advances in blocks of ``block`` steps:
    within a block a population runs through all its steps before the next one starts, so that its
    spikes are used while they are in the cache. No block reaches beyond the end of a probe.
    """
    populations, projections = program.populations, program.projections
    dtype = program.weights.dtype
    membrane, current = np.empty_like(program.bias), np.empty_like(program.bias)
    start_from = np.empty_like(program.bias)
    spikes = np.empty((block, len(membrane)), output.spike_trace.dtype)
    emitted = np.empty(len(membrane), np.int32)
    silent = np.empty(len(membrane), np.bool_)
    size, length, channels, kernel = 1, 1, 1, 1
    for p in projections:
        size = max(size, p.height * p.width * p.channels)
        length, channels = max(length, p.width * p.channels), max(channels, p.channels)
        kernel = max(kernel, p.rows * p.columns * p.out_channels // p.groups)
    line, events = np.empty(length, np.int32), np.empty(size, np.int32)
    found, values = np.empty(channels + 4, np.uint64), np.empty(channels + 4, dtype)
    scratch = found, values, np.empty(kernel, dtype)
    state = np.empty_like(program.state)
    readout = populations[-1]
    constant_input = frames.shape[1] == 1
    for i in range(len(frames)):
        scores = output.scores[i]
        _copy(program.v_init, start_from)
        _copy(program.bias, current)
        _copy(program.state, state)
        silent[:] = False
        for k in range(len(projections)):
            p = projections[k]
            if p.source < 0 and constant_input:
                into = current[populations[p.target].first :]
                arrive(frames[i, 0], p, state, line, events)
                output.sops[i, k] = accumulate(into, events, p, program.weights, *scratch)
        start, restart, random, open_ = 0, True, program.noise_seed, True
        while start < program.steps:
            if restart:
                restart = False
                _copy(start_from, membrane)
                _copy(program.state, state)
                _copy(start_from[readout.first :], scores)
                emitted[:] = 0
            proper = start >= program.probe
            steps = min(block, (program.steps if proper else program.probe) - start)
            for n in range(len(populations)):
                first, last = populations[n].first, populations[n].first + populations[n].size
                mine, constant = membrane[first:last], current[first:last]
                for t in range(steps):
                    if not populations[n].fires:
                        mine[:] = 0
                    elif populations[n].leak:
                        leak(mine, populations[n].leak)
                    for k in range(len(projections)):
                        p = projections[k]
                        if p.target != n or (p.source < 0 and constant_input):
                            continue
                        if p.source < 0:
                            arrive(frames[i, start + t], p, state, line, events)
                        else:
                            arrive(spikes[t, p.first :], p, state, line, events)
                        output.sops[i, k] += accumulate(mine, events, p, program.weights, *scratch)
                    if not populations[n].fires:
                        if not open_:
                            continue
                        for j in range(last - first):
                            scores[j] += np.int64(mine[j] + constant[j])
                        if not proper:
                            continue
                        output.steps[i] += 1
                        if len(program.noise):
                            random = _vote(scores, program.noise, random, output.votes[i])
                        elif program.margin:
                            open_ = _lead(scores) < program.margin
                        continue
                    if populations[n].other:
                        count = fire_other(
                            mine,
                            constant,
                            program.threshold[first:last],
                            program.limits[n],
                            spikes[t, first:last],
                            populations[n],
                            emitted[first:last],
                        )
                    else:
                        count = fire(
                            mine,
                            constant,
                            program.threshold[first:last],
                            program.limits[n],
                            spikes[t, first:last],
                        )
                    if program.rule == MASK_PROBE and proper:
                        count -= hush(
                            spikes[t, first:last],
                            mine,
                            program.v_init[first:last],
                            silent[first:last],
                        )
                    elif program.rule == SHIFT_PROBE and not proper:
                        for j in range(last - first):
                            emitted[first + j] += spikes[t, first + j]
                    output.spikes[i, n] += count
            if len(output.spike_trace):
                for t in range(steps):
                    _copy(spikes[t], output.spike_trace[i, start + t])
            start += steps
            if start == program.probe:
                start_over(membrane[: readout.first], program, emitted, start_from, silent)
                restart = True
        if len(output.membrane_trace):
            _copy(membrane, output.membrane_trace[i])
            _copy(scores, output.membrane_trace[i, readout.first :])
