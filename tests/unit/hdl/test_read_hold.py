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
LATENCIES = (1, 2, 3)


def _run(advances: list[int], latency: int) -> None:
    dut = ReadHold(16, latency=latency)
    rng = random.Random(5)
    words = [rng.randrange(1 << 16) for _ in range(len(advances) + 2)]
    held: list[int | None] = [None] * latency  # a pipeline with a clock enable
    seen = 0

    async def bench(ctx) -> None:
        nonlocal seen
        address, fetched = 0, [0] * latency
        for advance in advances:
            ctx.set(dut.fetched, fetched[0])
            ctx.set(dut.advance, advance)
            if held[0] is not None:
                assert ctx.get(dut.word) == held[0]
                seen += 1
            fetched = [*fetched[1:], words[address]]
            if advance:
                held[:] = [*held[1:], words[address]]
                address += 1
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert seen > len(advances) // 2


@pytest.mark.parametrize("latency", LATENCIES)
def test_every_pattern_of_advances(latency: int):
    rng = random.Random(7)
    patterns = list(PATTERNS)
    rng.shuffle(patterns)
    _run([1] * latency + list(itertools.chain.from_iterable(patterns)), latency)


@pytest.mark.parametrize("latency", LATENCIES)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 1.0])
def test_random_advances(share: float, latency: int):
    rng = random.Random(int(share * 10))
    _run([1] * latency + [int(rng.random() < share) for _ in range(600)], latency)


@pytest.mark.parametrize(("width", "latency"), [(0, 2), (8, 0)])
def test_parameters_are_checked(width: int, latency: int):
    with pytest.raises(ValueError, match=f"must be at least 1, not {width} and {latency}"):
        ReadHold(width, latency=latency)
