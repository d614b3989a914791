# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import numpy as np
import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.rom import LogicRom


@pytest.mark.parametrize(
    ("depth", "row"), [(1, 16), (16, 16), (17, 16), (41, 16), (41, 4), (64, 64), (150, 64)]
)
def test_every_word_comes_two_cycles_later(depth, row):
    rng = np.random.default_rng(depth)
    words = [int(w) for w in rng.integers(0, 1 << 40, depth)]
    dut = LogicRom(words, 40, family="ecp5", row=row)
    order = [*range(depth), *(int(k) for k in rng.integers(0, depth, 60))]
    got = []

    async def bench(ctx):
        for address in [*order, 0]:
            ctx.set(dut.address, address)
            await ctx.tick()
            got.append(ctx.get(dut.data))

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert got[1:] == [words[k] for k in order]


def test_words_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="words must be there and fit 3 bits"):
        LogicRom([8], 3, family="ecp5")


@pytest.mark.parametrize("row", [0, 1, 12])
def test_rows_are_powers_of_two(row):
    with pytest.raises(ValueError, match=f"row must be a power of two from 2 on, not {row}"):
        LogicRom([8], 4, family="ecp5", row=row)
