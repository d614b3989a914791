# SPDX-License-Identifier: BSD-2-Clause
"""A scan memory against a list: read late, forgotten on demand, held while nothing moves."""

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.scan_memory import ScanMemory


@pytest.mark.parametrize("advance_share", [1.0, 0.4])
@pytest.mark.parametrize(("words", "width"), [(1, 3), (5, 1), (40, 20)])
def test_words_come_back(words: int, width: int, advance_share: float) -> None:
    dut = ScanMemory(words, width, family="ecp5")
    rng = random.Random(words)
    checked = [0, 0]

    async def bench(ctx: Any) -> None:
        kept = [0] * words
        for turn in range(6):
            forget = turn in (0, 3)
            ctx.set(dut.forget, forget)
            shown: list[int] = []
            while len(shown) < words + dut.latency:
                advance = rng.random() < advance_share
                index = len(shown) % words
                ctx.set(dut.index, index)
                ctx.set(dut.advance, advance)
                (_, _, word) = await ctx.tick().sample(dut.word)
                if len(shown) >= dut.latency:
                    place = shown[-dut.latency]
                    assert word == (0 if forget else kept[place])
                    checked[forget] += word != kept[place]
                if advance:
                    shown.append(index)
            ctx.set(dut.advance, 0)
            for index in range(words):  # a later write at every place, one of them held back
                new = rng.getrandbits(width) | 1
                keep = words == 1 or index != turn
                ctx.set(dut.keep, keep)
                ctx.set(dut.keep_index, index)
                ctx.set(dut.keep_word, new)
                await ctx.tick()
                kept[index] = new if keep else kept[index]
            ctx.set(dut.keep, 0)

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert checked[0] == 0
    assert checked[1] > 0  # something was forgotten
