# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import numpy as np
import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.shared.weights import DeepWeightMemory
from pysnn_hw.plan.memory import block_count, tiling


@pytest.mark.parametrize(("family", "depth"), [("ecp5", 1100), ("ice40", 700), ("ecp5", 1)])
def test_every_word_comes_when_it_says(family, depth):
    rng = np.random.default_rng(depth)
    words = rng.integers(-32, 32, (depth, 5))
    dut = DeepWeightMemory(words, weight_bits=6, family=family)
    assert depth == 1 or dut.rows > 1
    order = rng.permutation(depth)
    got = []

    async def bench(ctx):
        for k in range(depth + dut.latency):
            if k < depth:
                ctx.set(dut.address, int(order[k]))
            await ctx.tick()
            if k >= dut.latency - 1:
                word = ctx.get(dut.weights)
                got.append([int(word[i]) for i in range(5)])

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert got[:depth] == words[order].tolist()


@pytest.mark.parametrize(("depth", "width", "blocks"), [(6208, 288, 104), (6208, 384, 143)])
def test_deep_memories_are_cut_into_few_blocks(depth, width, blocks):
    rows, words = tiling("ecp5", depth, width)
    assert rows * words >= depth
    assert rows * block_count("ecp5", words, width) == blocks
    assert blocks <= block_count("ecp5", depth, width)


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"weights -9\.\.7 do not fit 4 bits"):
        DeepWeightMemory(np.array([[-9, 7]]), weight_bits=4, family="ecp5")
