# SPDX-License-Identifier: BSD-2-Clause
import random

import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.shared.layouts import layer_layout, layer_words
from pysnn_hw.hdl.shared.scan import LayerScan
from tests.unit.hdl.shared.programs import network, program


@pytest.mark.parametrize("banks", [(1, 1), (1, 3), (3, 3), (2, 4)])
def test_every_word_in_firing_order_where_it_lies(banks):
    compiled = program(network("residual", 1, 3), banks=banks)
    dut, rng = LayerScan(compiled), random.Random(sum(banks))
    layout, words = layer_layout(compiled), layer_words(compiled)
    got: list[list[tuple[int, ...]]] = []

    async def bench(ctx):
        for word in words:
            ctx.set(dut.layer, layout.const(word))
            ctx.set(dut.start, 1)
            ctx.set(dut.room, 0)
            await ctx.tick()
            ctx.set(dut.start, 0)
            found, ended = [], False
            while not ended:
                room = rng.random() < 0.7
                ctx.set(dut.room, room)
                valid, entry = ctx.get(dut.valid), ctx.get(dut.entry)
                if valid:
                    ended = bool(entry.end)
                    if not ended:
                        found.append(
                            tuple(
                                int(entry[k])
                                for k in ("y", "x", "group", "bank", "address", "constant", "index")
                            )
                        )
                await ctx.tick()
            got.append(found)

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    for layer, found in zip(compiled.layers, got, strict=True):
        channels, height, width = layer.population.shape
        groups, (bg, by, bx) = channels // compiled.lanes, layer.banks
        want = []
        for y in range(height):
            for x in range(width):
                for g in range(groups):
                    bank = (g % bg * by + y % by) * bx + x % bx
                    address = (y // by * -(-width // bx) + x // bx) * -(-groups // bg) + g // bg
                    constant = layer.constant_base + g
                    want.append((y, x, g, bank, address, constant, len(want)))
        assert found == want
