# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Against a pipeline that is simply held, with random and with steered advances."""

import itertools
import random

import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.read_hold import ReadHold

PATTERNS = [list(p) for p in itertools.product((0, 1), repeat=6)]
"""Every way to advance or not within six cycles: longer than anything is remembered."""


def _run(advances: list[int]) -> None:
    dut = ReadHold(16)
    rng = random.Random(5)
    words = [rng.randrange(1 << 16) for _ in range(len(advances) + 2)]
    held: list[int | None] = [None, None]  # a pipeline with a clock enable
    seen = 0

    async def bench(ctx) -> None:
        nonlocal seen
        address, fetched = 0, [0, 0]
        for advance in advances:
            ctx.set(dut.fetched, fetched[0])
            ctx.set(dut.advance, advance)
            if held[0] is not None:
                assert ctx.get(dut.word) == held[0]
                seen += 1
            fetched = [fetched[1], words[address]]
            if advance:
                held[:] = [held[1], words[address]]
                address += 1
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert seen > len(advances) // 2


def test_every_pattern_of_advances():
    rng = random.Random(7)
    rng.shuffle(PATTERNS)
    _run([1, 1, *itertools.chain.from_iterable(PATTERNS)])


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 1.0])
def test_random_advances(share: float):
    rng = random.Random(int(share * 10))
    _run([1, 1, *(int(rng.random() < share) for _ in range(600))])


def test_width_is_checked():
    with pytest.raises(ValueError, match="width must be at least 1, not 0"):
        ReadHold(0)
