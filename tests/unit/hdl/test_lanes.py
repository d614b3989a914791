# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Every lane kind against multiplication, all values, extreme and random weights."""

import random

import pytest
from amaranth.hdl import signed, unsigned
from amaranth.sim import Simulator

from pysnn_hw.hdl.lanes import Lanes

CASES = [
    ("add", unsigned(1), [0, 1]),
    ("shift", unsigned(4), [0, 1, 2, 4, 8]),
    ("lut", unsigned(1), [0, 1]),
    ("lut", unsigned(2), list(range(4))),
    ("lut", unsigned(4), list(range(16))),
    ("lut", unsigned(5), list(range(32))),
    ("lut", signed(4), list(range(-8, 8))),
    ("lut", signed(9), [-256, -255, -1, 0, 1, 127, 128, 255]),
    ("dsp", unsigned(4), list(range(16))),
    ("dsp", signed(9), [-256, -1, 0, 255]),
]


@pytest.mark.parametrize(("kind", "value", "values"), CASES)
def test_products(kind: str, value, values: list[int]) -> None:
    bits, count = 5, 3
    dut = Lanes(count, weight_bits=bits, value=value, kind=kind)
    rng = random.Random(1)
    operands = [
        (v, [w, *(rng.randint(-16, 15) for _ in range(count - 1))])
        for v in values
        for w in (-16, -1, 0, 1, 15)
    ]
    rng.shuffle(operands)
    got = []

    async def bench(ctx) -> None:
        for cycle in range(len(operands) + dut.latency):
            v, weights = operands[min(cycle, len(operands) - 1)]
            ctx.set(dut.value, v)
            ctx.set(dut.weights, weights)
            await ctx.tick()
            if cycle >= dut.latency - 1:
                got.append(list(ctx.get(dut.products)))

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    want = [[v * w for w in weights] for v, weights in operands]
    assert got[: len(want)] == want


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="one-bit values"):
        Lanes(1, weight_bits=4, value=unsigned(2), kind="add")
    with pytest.raises(ValueError, match="unsigned"):
        Lanes(1, weight_bits=4, value=signed(2), kind="shift")
    with pytest.raises(ValueError, match="kind must be one of"):
        Lanes(1, weight_bits=4, value=unsigned(2), kind="mul")
