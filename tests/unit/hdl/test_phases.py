# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Timesteps of an image as the phases tell them apart: counted or by markers, with probe or not."""

from typing import Any

import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.events import EventKind
from pysnn_hw.hdl.phases import Phases


def _expected(steps: int, probe: int) -> list[dict[str, Any]]:
    """One image."""
    rows = []
    for step in range(probe + steps):
        final, deciding = step == probe + steps - 1, step == probe - 1
        ending = EventKind.STEP
        if final or deciding:
            ending = EventKind.INFERENCE if final else EventKind.PROBE
        rows.append(
            {
                "fresh": step in (0, probe),
                "final": final,
                "probing": step < probe,
                "deciding": deciding,
                "ending": ending,
            }
        )
    return rows


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize(
    ("steps", "probe"), [(1, 0), (2, 0), (5, 0), (1, 1), (1, 2), (3, 1), (4, 3)]
)
def test_three_images(steps: int, probe: int, counted: bool) -> None:
    image = _expected(steps, probe)
    repeats = len(image) if counted else 1
    dut = Phases(repeats=repeats, probe=probe)
    seen: list[dict[str, Any]] = []
    accumulated = [0]

    async def bench(ctx: Any) -> None:
        async def scan() -> None:
            """A scan of some cycles, whose end is told once; it starts a cycle after ``start``."""
            await ctx.tick()
            for _ in range(3):
                assert ctx.get(dut.scanning)
                assert not ctx.get(dut.start) | ctx.get(dut.enable) | ctx.get(dut.resume)
                await ctx.tick()
            ctx.set(dut.finished, 1)

        assert ctx.get(dut.start)
        await scan()
        assert ctx.get(dut.initial)
        await ctx.tick()
        ctx.set(dut.finished, 0)
        for _ in range(3):
            index = 0
            while index < len(image):
                assert ctx.get(dut.enable)
                assert not ctx.get(dut.scanning) | ctx.get(dut.initial) | ctx.get(dut.start)
                accumulated[0] += 1
                ctx.set(dut.marker, EventKind.INFERENCE if counted else image[index]["ending"])
                ctx.set(dut.settled, 1)
                for repeat in range(repeats):
                    assert ctx.get(dut.start)
                    await ctx.tick()
                    ctx.set(dut.settled, 0)
                    ctx.set(dut.finished, 0)
                    seen.append({name: ctx.get(getattr(dut, name)) for name in image[0]})
                    for _ in range(2):
                        assert ctx.get(dut.scanning)
                        assert not ctx.get(dut.start) | ctx.get(dut.enable) | ctx.get(dut.resume)
                        await ctx.tick()
                    ctx.set(dut.finished, 1)
                    assert ctx.get(dut.resume) == (repeat == repeats - 1)
                await ctx.tick()
                ctx.set(dut.finished, 0)
                index += repeats

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert seen == image * 3
    assert accumulated[0] == 3 * len(image) // repeats


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="not 0 and 0"):
        Phases(repeats=0)
    with pytest.raises(ValueError, match="not 1 and -1"):
        Phases(repeats=1, probe=-1)
