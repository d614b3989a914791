# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Start values arrive with the entry of the scan that they belong to, however it moves."""

import random
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.sim import Simulator

from pysnn_hw.hdl.scan import Scan
from pysnn_hw.hdl.start import StartWords
from pysnn_hw.plan.geometry import ScanGeometry

BITS = 11


class Bench(wiring.Component):
    """A scan and the start words that follow it."""

    def __init__(self, geometry: ScanGeometry, values: Any, family: str) -> None:
        self.scan = Scan(geometry)
        self.start = StartWords(
            values, groups=geometry.groups, words=geometry.words, bits=BITS, family=family
        )
        super().__init__({"begin": In(1), "advance": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.scan, m.submodules.start = self.scan, self.start
        m.d.comb += [
            self.scan.start.eq(self.begin),
            self.scan.advance.eq(self.advance),
            self.start.advance.eq(self.advance),
            self.start.ahead.eq(self.scan.ahead),
            self.start.group.eq(self.scan.entry.group),
        ]
        return m


@pytest.mark.parametrize("advance_share", [1.0, 0.5])
@pytest.mark.parametrize("family", ["ecp5", "ice40"])
@pytest.mark.parametrize("per_neuron", [True, False])
@pytest.mark.parametrize(
    "geometry",
    [
        ScanGeometry((4, 3, 5), 2, (3, 1), (2, 2)),
        ScanGeometry((2, 1, 2), 2, (1, 1), (1, 1)),
        ScanGeometry((3, 1, 1), 1, (1, 1), (1, 1)),
    ],
)
def test_words_come_with_their_entries(
    geometry: ScanGeometry, per_neuron: bool, family: str, advance_share: float
) -> None:
    rows = geometry.words if per_neuron else geometry.groups
    values = np.random.default_rng(rows).integers(-1024, 1024, (rows, geometry.lanes))
    values[0], values[-1] = -1024, 1023
    dut = Bench(geometry, values, family)
    rng = random.Random(7)
    seen: list[tuple[int, list[int]]] = []

    async def bench(ctx: Any) -> None:
        for _ in range(2):
            ctx.set(dut.begin, 1)
            ended = False
            while not ended:
                advance = rng.random() < advance_share
                ctx.set(dut.advance, advance)
                _, _, valid, entry, word = await ctx.tick().sample(
                    dut.scan.valid, dut.scan.entry, dut.start.word
                )
                ctx.set(dut.begin, 0)
                ended = bool(valid and advance and entry.end)
                if valid and not entry.end:  # also while it waits
                    row = entry.index if per_neuron else entry.group
                    seen.append((row, [word[p] for p in range(geometry.lanes)]))

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert {row for row, _ in seen} == set(range(rows))
    for row, word in seen:
        assert word == values[row].tolist()


def test_only_values_per_neuron_take_a_memory() -> None:
    options = {"groups": 2, "words": 6, "bits": BITS, "family": "ecp5"}
    assert StartWords(np.zeros((2, 3), int), **options).memory is None
    memory = StartWords(np.zeros((6, 3), int), **options).memory
    assert memory is not None
    assert (memory.depth, memory.width) == (6, 3 * BITS)
    with pytest.raises(ValueError, match="4 words of values are neither 2 nor 6"):
        StartWords(np.zeros((4, 3), int), **options)
