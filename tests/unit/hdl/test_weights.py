# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Weight memories: every word at the promised latency; booted ones after their boot stream."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.weights import BOOT_BITS, WeightMemory, boot_words


@pytest.mark.parametrize("kind", ["lut", "block", "spram"])
@pytest.mark.parametrize(("depth", "count", "bits"), [(1, 3, 4), (7, 5, 8), (9, 2, 3), (131, 3, 5)])
def test_words(kind: str, depth: int, count: int, bits: int) -> None:
    rng = np.random.default_rng(depth)
    words = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (depth, count))
    words.flat[0], words.flat[-1] = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    dut = WeightMemory(words, weight_bits=bits, kind=kind)
    order = [*range(depth), *rng.integers(0, depth, 20).tolist()]
    got = []

    async def bench(ctx: Any) -> None:
        if kind == "spram":
            boot = boot_words(words, bits)
            assert len(boot) == depth * dut.parts
            assert max(boot) < 1 << BOOT_BITS
            for number, word in enumerate(boot):
                ctx.set(dut.boot.en, 1)
                ctx.set(dut.boot.address, number // dut.parts)
                ctx.set(dut.boot.part, number % dut.parts)
                ctx.set(dut.boot.data, word)
                await ctx.tick()
            ctx.set(dut.boot.en, 0)
        for cycle in range(len(order) + dut.latency):
            ctx.set(dut.address, order[min(cycle, len(order) - 1)])
            await ctx.tick()
            if cycle >= dut.latency - 1:
                got.append(list(ctx.get(dut.weights)))

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert got[: len(order)] == words[order].tolist()


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match=r"-9\.\.0 do not fit 4 bits"):
        WeightMemory(np.array([[-9, 0]]), weight_bits=4, kind="lut")
    with pytest.raises(ValueError, match="kind must be one of"):
        WeightMemory(np.array([[0]]), weight_bits=4, kind="flash")
