# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Compare-subtract stages against floor division, at and around every multiple."""

import random

import numpy as np
import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.fire import FirePipeline, stage_weights


@pytest.mark.parametrize("spike_max", [1, 2, 3, 5, 7, 10, 15, 100, 255])
def test_stage_weights_reach_every_count_greedily(spike_max: int) -> None:
    weights = stage_weights(spike_max)
    assert len(weights) == spike_max.bit_length()
    assert sum(weights) == spike_max
    for count in range(spike_max + 1):
        rest = count
        for weight in weights:
            rest -= weight * (rest >= weight)
        assert rest == 0


def test_powers_of_two_for_full_ranges() -> None:
    assert stage_weights(15) == [8, 4, 2, 1]


def _golden(u: int, theta: int, spike_max: int, clamp: tuple[int, int] | None) -> tuple[int, int]:
    count = min(max(u // theta, 0), spike_max)
    rest = u - count * theta
    if clamp is not None:
        rest = min(max(rest, clamp[0]), clamp[1])
    return count, rest


@pytest.mark.parametrize("spike_max", [1, 3, 10, 15])
@pytest.mark.parametrize("clamp", [None, (-40, 90)])
def test_fires_as_the_formula_says(spike_max: int, clamp: tuple[int, int] | None) -> None:
    thresholds = np.array([[1, 17], [33, 8], [64, 100]])
    groups, lanes = thresholds.shape
    bits = 13
    dut = FirePipeline(thresholds, bits=bits, spike_max=spike_max, clamp=clamp)
    rng = random.Random(spike_max)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    words = []
    for group in range(groups):
        # At, just below and just above every multiple of the threshold, and both rails.
        for multiple in range(spike_max + 2):
            for offset in (-1, 0, 1):
                u = [int(thresholds[group, p]) * multiple + offset for p in range(lanes)]
                words.append((group, [min(max(v, low), high) for v in u]))
        words += [(group, [low, high]), (group, [-1, 0])]
    rng.shuffle(words)
    want = [
        [_golden(v, int(thresholds[g, p]), spike_max, clamp) for p, v in enumerate(u)]
        for g, u in words
    ]
    got = []

    async def bench(ctx) -> None:
        advances = 0
        while len(got) < len(words):
            group, u = words[min(advances, len(words) - 1)]
            ctx.set(dut.group, group)
            ctx.set(dut.u, u)
            advance = rng.random() < 0.7
            ctx.set(dut.advance, advance)
            if advance:
                if advances >= dut.latency:
                    spikes, residue = ctx.get(dut.spikes), ctx.get(dut.residue)
                    got.append([(int(spikes[p]), int(residue[p])) for p in range(lanes)])
                advances += 1
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert got == want


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="thresholds must be at least 1, not 0"):
        FirePipeline(np.array([[0]]), bits=8, spike_max=1)
    with pytest.raises(ValueError, match="spike_max must be at least 1, not 0"):
        FirePipeline(np.array([[1]]), bits=8, spike_max=0)
