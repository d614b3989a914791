# SPDX-License-Identifier: BSD-2-Clause
import random

import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.shared.layouts import turns
from pysnn_hw.hdl.shared.turn import WeightTurner
from tests.unit.hdl.shared.programs import network, program


@pytest.mark.parametrize("banks", [(1, 3), (3, 3), (1, 1), (2, 3)])
def test_slots_go_to_their_banks(banks):
    compiled = program(network("residual", 1, 3), banks=banks)
    known, first = turns(compiled)
    dut, rng = WeightTurner(known, 5), random.Random(sum(banks))
    cases = [
        (run.banks, y, x)
        for run in compiled.layers
        for y in range(run.banks[1])
        for x in range(run.banks[2])
    ] * 3
    rng.shuffle(cases)
    words = [[rng.randrange(32) for _ in range(compiled.banks)] for _ in cases]
    got = []

    async def bench(ctx):
        for word, (b, y, x) in zip(words, cases, strict=True):
            ctx.set(dut.slots, word)
            ctx.set(dut.turn, first[b] + y * b[2] + x)
            await ctx.tick()
            got.append([int(ctx.get(dut.banked[k])) for k in range(compiled.banks)])

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    for ((bg, by, bx), y, x), word, found in zip(cases, words, got, strict=True):
        for bank in range(bg * by * bx):
            g, j, i = bank // (by * bx), bank // bx % by, bank % bx
            assert found[bank] == word[(g * by + (j - y) % by) * bx + (i - x) % bx]


def test_turns_that_are_alike_stand_there_once():
    compiled = program(network("residual", 1, 3), banks=(1, 3))
    assert {run.banks for run in compiled.layers} == {(1, 3, 1), (3, 1, 1)}
    assert turns(compiled)[0] == [(0, 1, 2), (2, 0, 1), (1, 2, 0)]
