# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random
from collections import deque

import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.shared.word_queue import WordQueue


@pytest.mark.parametrize("under_way", [1, 5, 13])
@pytest.mark.parametrize("takes", [1.0, 0.5, 0.1])
def test_a_pipeline_that_asks_for_room_loses_nothing(under_way, takes):
    """A pipeline of exactly ``under_way`` stages, silent in places, asks before each word."""
    dut = WordQueue(16, under_way=under_way)
    rng = random.Random(under_way)
    sent, got, full = 0, [], 0
    # ``room`` in cycle t lets in what is at the queue in cycle t + under_way.
    pipeline = deque([None] * under_way)

    async def bench(ctx):
        nonlocal sent, full
        for _ in range(1500):
            taking = rng.random() < takes
            ctx.set(dut.o.ready, taking)
            arriving = pipeline.popleft()
            ctx.set(dut.valid, arriving is not None)
            ctx.set(dut.word, arriving or 0)
            full += not ctx.get(dut.room)
            begun = None
            if ctx.get(dut.room) and sent < 900 and rng.random() < 0.9:
                sent += 1
                begun = sent
            pipeline.append(begun)
            if taking and ctx.get(dut.o.valid):
                got.append(ctx.get(dut.o.payload))
            await ctx.tick()
        ctx.set(dut.valid, 0)
        ctx.set(dut.o.ready, 1)
        for _ in range(50):
            if ctx.get(dut.o.valid):
                got.append(ctx.get(dut.o.payload))
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    waiting = [word for word in pipeline if word is not None]
    assert got == list(range(1, sent + 1 - len(waiting)))
    assert sent > 100
    assert (full > 100) == (takes < 1)  # it was full where it can be


def test_a_depth_too_small_for_what_is_under_way_is_refused():
    with pytest.raises(ValueError, match="depth must be at least 17, not 16"):
        WordQueue(8, under_way=13, depth=16)
