# SPDX-License-Identifier: BSD-2-Clause
import random

import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.shared.turn import WeightTurner


@pytest.mark.parametrize("banks", [(1, 3), (3, 1), (3, 3), (2, 4)])
def test_slots_go_to_their_banks(banks):
    by, bx = banks
    dut = WeightTurner(banks, 5)
    rng = random.Random(by * 10 + bx)
    turns = [(y, x) for y in range(by) for x in range(bx)] * 3
    rng.shuffle(turns)
    words = [[rng.randrange(32) for _ in range(by * bx)] for _ in turns]
    got = []

    async def bench(ctx):
        for k in range(len(turns) + dut.latency):
            if k < len(turns):
                ctx.set(dut.slots, words[k])
                ctx.set(dut.y_turn, turns[k][0])
                ctx.set(dut.x_turn, turns[k][1])
            await ctx.tick()
            if k >= dut.latency - 1:
                got.append([int(ctx.get(dut.banked[b])) for b in range(by * bx)])

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    for (y, x), word, found in zip(turns, words, got, strict=False):
        want = [word[(j - y) % by * bx + (i - x) % bx] for j in range(by) for i in range(bx)]
        assert found == want
    assert len(got) >= len(turns)
    assert dut.latency == (by > 1) + (bx > 1)
