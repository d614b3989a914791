# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Read-modify-write of one bank: no update lost at any distance, then a scan with stalls."""

import random

import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.membrane import MembraneBank
from tests.poisoned import PoisonedMemory

LANES, BITS, ADDEND_BITS = 2, 12, 8


@pytest.fixture(autouse=True)
def _poisoned(monkeypatch):
    """What is read as it is written is wrong."""
    monkeypatch.setattr("pysnn_hw.hdl.membrane.BlockMemory", PoisonedMemory)


def _bank(depth: int, min_distance: int, *, far: bool = False) -> MembraneBank:
    return MembraneBank(
        depth=depth,
        lanes=LANES,
        bits=BITS,
        addend_bits=ADDEND_BITS,
        min_distance=min_distance,
        kind="block",
        far=far,
    )


def _steps(rng: random.Random, depth: int, count: int, min_distance: int):
    """(address or None, addends): addresses that clash at every distance that is allowed."""
    recent: list[int | None] = []
    for _ in range(count):
        address: int | None = None
        if rng.random() < 0.6:
            clashing = [a for a in recent[-7:] if a is not None]
            again = clashing and rng.random() < 0.7
            address = rng.choice(clashing) if again else rng.randrange(depth)
            if min_distance > 1 and address in recent[-(min_distance - 1) :]:
                address = None
        recent.append(address)
        yield address, [rng.randint(-128, 127) for _ in range(LANES)]


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("min_distance", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("depth", [1, 5])
def test_sums_are_exact_at_every_distance(depth: int, min_distance: int, far: bool) -> None:
    if depth < min_distance:
        depth = min_distance
    dut = _bank(depth, min_distance, far=far)
    rng = random.Random(depth * 10 + min_distance)
    steps = list(_steps(rng, depth, 200, min_distance))
    want = [[0] * LANES for _ in range(depth)]
    last_seen: dict[int, int] = {}
    distances = set()
    for now, (address, addends) in enumerate(steps):
        if address is None:
            continue
        distances.add(now - last_seen.get(address, -99))
        last_seen[address] = now
        want[address] = [v + a for v, a in zip(want[address], addends, strict=True)]
    assert set(range(min_distance, 7)) <= distances, "stimulus misses a distance"
    assert min(distances) >= min_distance
    got: list[list[int]] = []

    async def bench(ctx) -> None:
        # The addends of a step follow its address.
        pipe = [[0] * LANES] * dut.lead
        for address, addends in [*steps, *[(None, [0] * LANES)] * dut.hazard]:
            ctx.set(dut.step, address is not None)
            ctx.set(dut.step_address, address or 0)
            ctx.set(dut.addends, pipe.pop(0))
            pipe.append(addends)
            await ctx.tick()
        ctx.set(dut.scanning, 1)
        answers: list[int] = []
        visit = 0
        while len(got) < depth:
            advance = rng.random() < 0.6
            ctx.set(dut.scan_address, min(visit, depth - 1))
            ctx.set(dut.advance, advance)
            if advance:
                if len(answers) >= 2 and answers[-2] < depth:
                    got.append(list(ctx.get(dut.scan_data)))
                answers.append(visit)
                visit += 1
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert got == want


def test_restore_replaces_a_word() -> None:
    dut = _bank(3, 1)
    words = [[5, -6], [-2048, 2047], [0, 1]]
    got = []

    async def bench(ctx) -> None:
        ctx.set(dut.scanning, 1)
        ctx.set(dut.advance, 1)
        for address, word in enumerate(words):
            ctx.set(dut.restore, 1)
            ctx.set(dut.restore_address, address)
            ctx.set(dut.restore_data, word)
            await ctx.tick()
        ctx.set(dut.restore, 0)
        for cycle in range(len(words) + 2):
            ctx.set(dut.scan_address, min(cycle, 2))
            if cycle >= 2:
                got.append(list(ctx.get(dut.scan_data)))
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert got == words


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="kind must be one of lut, block, not 'sram'"):
        MembraneBank(depth=4, lanes=1, bits=8, addend_bits=4, min_distance=1, kind="sram")
    with pytest.raises(ValueError, match="min_distance must be at least 1, not 0"):
        MembraneBank(depth=4, lanes=1, bits=8, addend_bits=4, min_distance=0, kind="block")
