# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Clock crossing: order kept, nothing lost or repeated, at any ratio of the clocks."""

import random

import pytest
from amaranth.hdl import unsigned
from amaranth.sim import Simulator

from pysnn_hw.hdl.crossing import StreamCrossing

COUNT = 60


@pytest.mark.parametrize("pace", [(1.0, 1.0), (0.3, 1.0), (1.0, 0.3), (0.5, 0.5)])
@pytest.mark.parametrize("periods", [(1e-8, 1e-8), (1e-8, 3.7e-8), (8.3e-8, 1e-8), (1e-8, 1.01e-8)])
def test_crossing(periods: tuple[float, float], pace: tuple[float, float]) -> None:
    rng = random.Random(7)
    items = [rng.randrange(256) for _ in range(COUNT)]
    dut = StreamCrossing(unsigned(8), source="one", sink="other")
    got: list[int] = []
    blocked = 0

    async def send(ctx) -> None:
        nonlocal blocked
        for item in items:
            while rng.random() > pace[0]:
                # A payload that is not offered must not get through.
                ctx.set(dut.i.payload, rng.randrange(256))
                await ctx.tick("one")
            ctx.set(dut.i.payload, item)
            ctx.set(dut.i.valid, 1)
            taken = False
            while not taken:
                _, _, taken = await ctx.tick("one").sample(dut.i.ready)
                blocked += not taken
            ctx.set(dut.i.valid, 0)

    async def receive(ctx) -> None:
        previous = None
        while len(got) < COUNT:
            ready = rng.random() < pace[1]
            ctx.set(dut.o.ready, ready)
            _, _, valid, payload = await ctx.tick("other").sample(dut.o.valid, dut.o.payload)
            assert previous is None or (valid and payload == previous)  # an offer stands
            previous = payload if valid and not ready else None
            if valid and ready:
                got.append(payload)

    simulator = Simulator(dut)
    simulator.add_clock(periods[0], domain="one")
    simulator.add_clock(periods[1], domain="other", phase=0.3 * periods[1])
    simulator.add_testbench(send)
    simulator.add_testbench(receive)
    simulator.run()
    assert got == items
    assert blocked > 0 or pace[0] < 1


def test_domains_must_differ() -> None:
    with pytest.raises(ValueError, match="two domains"):
        StreamCrossing(unsigned(8), source="sync", sink="sync")
