# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Compare-subtract stages against floor division, at and around every multiple."""

import random

import numpy as np
import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.fire import FirePipeline, ThresholdPort, stage_weights
from pysnn_hw.ir.snn import PLAIN, Neuron


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


NEURONS = [
    PLAIN,
    Neuron(strict=True),
    Neuron(reset="hard"),
    Neuron(reset="hard", strict=True),
    Neuron("signed"),
    Neuron("memory"),
    Neuron("memory", reset="hard"),
]
EMITTED_BITS = 6


def _golden(
    u: int,
    theta: int,
    spike_max: int,
    clamp: tuple[int, int] | None,
    neuron: Neuron,
    emitted: int,
) -> tuple[int, int, int]:
    lowest = {"positive": 0, "memory": -min(emitted, spike_max), "signed": -spike_max}
    count = min(max((u - neuron.strict) // theta, lowest[neuron.polarity]), spike_max)
    rest = u - count * theta
    if neuron.reset == "hard" and count:
        rest = 0
    if clamp is not None:
        rest = min(max(rest, clamp[0]), clamp[1])
    return count, rest, emitted + count


@pytest.mark.parametrize("spike_max", [1, 3, 10, 15])
@pytest.mark.parametrize("clamp", [None, (-40, 90)])
@pytest.mark.parametrize("neuron", NEURONS, ids=str)
@pytest.mark.parametrize("constant", [True, False], ids=["constants", "port"])
def test_fires_as_the_formula_says(
    spike_max: int, clamp: tuple[int, int] | None, neuron: Neuron, constant: bool
) -> None:
    thresholds = np.array([[1, 17], [33, 8], [64, 100]])
    groups, lanes = thresholds.shape
    bits = 13
    memory = neuron.polarity == "memory"
    dut = FirePipeline(
        thresholds if constant else ThresholdPort(lanes, int(thresholds.max())),
        bits=bits,
        spike_max=spike_max,
        neuron=neuron,
        clamp=clamp,
        emitted_bits=EMITTED_BITS if memory else 0,
    )
    rng = random.Random(spike_max)
    # What a memory may hold: no more than leaves room for another spike.
    low, high, full = -(1 << (bits - 1)), (1 << (bits - 1)) - 1, (1 << EMITTED_BITS) - 1
    words = []
    for group in range(groups):
        # At, just below and just above every multiple of the threshold, and both rails.
        for multiple in range(-spike_max - 2, spike_max + 2):
            for offset in (-1, 0, 1):
                u = [int(thresholds[group, p]) * multiple + offset for p in range(lanes)]
                words.append((group, [min(max(v, low), high) for v in u]))
        words += [(group, [low, high]), (group, [-1, 0])]
        if neuron.polarity == "signed":
            continue
        words += [(group, [low // 2, low])] * 4
    rng.shuffle(words)
    emitted = [
        [rng.choice([0, 1, spike_max, rng.randint(0, full - spike_max)]) for _ in range(lanes)]
        for _ in words
    ]
    want = [
        [
            _golden(v, int(thresholds[g, p]), spike_max, clamp, neuron, before[p])
            for p, v in enumerate(u)
        ]
        for (g, u), before in zip(words, emitted, strict=True)
    ]
    if memory:  # both limits of a negative spike act
        negative = {
            (-s, b[p]) for w, b in zip(want, emitted, strict=True) for p, (s, _, _) in enumerate(w)
        }
        assert any(s == b > 0 for s, b in negative)
        assert any(b > s == spike_max for s, b in negative)
    got = []

    async def bench(ctx) -> None:
        advances = 0
        while len(got) < len(words):
            index = min(advances, len(words) - 1)
            group, u = words[index]
            if constant:
                ctx.set(dut.group, group)
            else:
                ctx.set(dut.theta, thresholds[group].tolist())
            ctx.set(dut.u, u)
            if memory:
                ctx.set(dut.emitted, emitted[index])
            advance = rng.random() < 0.7
            ctx.set(dut.advance, advance)
            if advance:
                if advances >= dut.latency:
                    spikes, residue = ctx.get(dut.spikes), ctx.get(dut.residue)
                    got.append([(int(spikes[p]), int(residue[p])) for p in range(lanes)])
                    if memory:
                        after = ctx.get(dut.emitted_after)
                        got[-1] = [(*found, int(after[p])) for p, found in enumerate(got[-1])]
                advances += 1
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    if not memory:
        want = [[found[:2] for found in word] for word in want]
    assert got == want


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="thresholds must be at least 1, not 0"):
        FirePipeline(np.array([[0]]), bits=8, spike_max=1)
    with pytest.raises(ValueError, match="spike_max must be at least 1, not 0"):
        FirePipeline(np.array([[1]]), bits=8, spike_max=0)
    with pytest.raises(ValueError, match="emitted_bits belong to"):
        FirePipeline(np.array([[1]]), bits=8, spike_max=1, emitted_bits=3)
