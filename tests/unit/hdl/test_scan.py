# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""The scan against `ScanGeometry`: order, windows, addresses, the end entry, twice in a row."""

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.scan import Scan
from pysnn_hw.plan.geometry import ScanGeometry


@pytest.mark.parametrize("advance_share", [1.0, 0.6])
@pytest.mark.parametrize(
    "geometry",
    [
        ScanGeometry((4, 5, 7), 2, (3, 2), (1, 1)),
        ScanGeometry((6, 5, 7), 2, (1, 1), (2, 2)),
        ScanGeometry((2, 4, 6), 1, (2, 3), (2, 3)),
        ScanGeometry((3, 7, 3), 3, (1, 3), (3, 2)),
        ScanGeometry((10, 1, 1), 10, (1, 1), (1, 1)),
    ],
)
def test_order(geometry: ScanGeometry, advance_share: float) -> None:
    dut = Scan(geometry)
    rng = random.Random(geometry.words)
    got: list[list[Any]] = [[], []]
    cycles: list[int] = []
    shown: list[int] = []

    async def bench(ctx: Any) -> None:
        cycle = 0
        for entries in got:
            ctx.set(dut.start, 1)
            ctx.set(dut.advance, rng.random() < advance_share)
            await ctx.tick()
            ctx.set(dut.start, 0)
            while not entries or not entries[-1].end:
                advance = rng.random() < advance_share
                ctx.set(dut.advance, advance)
                _, _, valid, entry, ahead = await ctx.tick().sample(dut.valid, dut.entry, dut.ahead)
                if valid and advance:
                    entries.append(entry)
                    cycles.append(cycle)
                    announced = shown[-Scan.latency]
                    assert entry.end or announced == entry.index
                if advance:
                    shown.append(ahead)
                cycle += 1

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    window_y, window_x = geometry.window
    complete_y, complete_x = geometry.out_shape[1:]
    for entries in got:
        assert len(entries) == geometry.words + 1
        for index, (entry, place) in enumerate(zip(entries, geometry.order(), strict=False)):
            y, x, group = (int(v) for v in place)
            keep = y // window_y < complete_y and x // window_x < complete_x
            assert not entry.end
            assert entry.index == index
            assert entry.group == group
            assert entry.keep == keep
            bank = y % geometry.banks[0] * geometry.banks[1] + x % geometry.banks[1]
            assert (entry.bank, entry.address) == (bank, geometry.address(y, x, group))
            if keep:
                assert (entry.y, entry.x) == (y // window_y, x // window_x)
                assert entry.first == (y % window_y == 0 and x % window_x == 0)
                assert entry.last == (y % window_y == window_y - 1 and x % window_x == window_x - 1)
    if advance_share == 1.0:
        assert cycles[geometry.words] - cycles[0] == geometry.words
