# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Every lane kind against multiplication, all values, extreme and random weights."""

import random

import pytest
from amaranth.back import rtlil
from amaranth.hdl import signed, unsigned
from amaranth.sim import Simulator

from pysnn_hw.hdl.lanes import Lanes
from pysnn_hw.plan.multipliers import multipliers, two_share

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


def check(dut: Lanes, operands: list[tuple[int, list[int]]]) -> None:
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


@pytest.mark.parametrize(("kind", "value", "values"), CASES)
def test_products(kind: str, value, values: list[int]) -> None:
    dut = Lanes(3, weight_bits=5, value=value, kind=kind)
    rng = random.Random(1)
    operands = [
        (v, [w, *(rng.randint(-16, 15) for _ in range(2))])
        for v in values
        for w in (-16, -1, 0, 1, 15)
    ]
    rng.shuffle(operands)
    check(dut, operands)


@pytest.mark.parametrize(
    ("family", "weight_bits", "value_bits"),
    [
        ("ecp5", 4, 4),
        ("ecp5", 7, 4),
        ("ice40", 6, 4),
        ("xilinx7", 8, 4),
        ("gowin", 3, 3),
        ("nexus", 4, 3),
    ],
)
def test_two_lanes_share_a_multiplier(family, weight_bits: int, value_bits: int) -> None:
    assert two_share(family, weight_bits, value_bits, signed=False)
    dut = Lanes(2, weight_bits=weight_bits, value=unsigned(value_bits), kind="dsp", family=family)
    least, most = -(1 << weight_bits - 1), (1 << weight_bits - 1) - 1
    edges = (least, least + 1, -1, 0, 1, most)
    values = range(1 << value_bits)
    check(dut, [(v, [a, b]) for v in values for a in edges for b in edges])


@pytest.mark.parametrize(
    ("family", "weight_bits", "value", "lanes", "products", "blocks"),
    [
        ("ecp5", 6, unsigned(4), 5, 3, 3),
        ("ecp5", 6, signed(4), 5, 5, 5),
        ("ecp5", 8, unsigned(4), 4, 4, 4),
        ("ice40", 4, unsigned(3), 3, 2, 1),  # the one alone is too narrow for a block
    ],
)
def test_multipliers_are_counted(family, weight_bits, value, lanes, products, blocks) -> None:
    dut = Lanes(lanes, weight_bits=weight_bits, value=value, kind="dsp", family=family)
    netlist = rtlil.convert(dut, ports=[dut.weights.as_value(), dut.value])
    assert netlist.count("cell $mul") == products
    counted = multipliers(family, lanes, weight_bits, value.width, signed=value.signed)
    assert counted == blocks


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="one-bit values"):
        Lanes(1, weight_bits=4, value=unsigned(2), kind="add")
    with pytest.raises(ValueError, match="unsigned"):
        Lanes(1, weight_bits=4, value=signed(2), kind="shift")
    with pytest.raises(ValueError, match="kind must be one of"):
        Lanes(1, weight_bits=4, value=unsigned(2), kind="mul")
