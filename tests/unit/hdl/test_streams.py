# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Queue, fork and bit splitter: order kept, nothing lost or repeated, the promised pace."""

import random

import pytest
from amaranth.hdl import unsigned
from amaranth.sim import Simulator

from pysnn_hw.hdl.events import EventKind
from pysnn_hw.hdl.fork import Fork
from pysnn_hw.hdl.gate import StreamGate
from pysnn_hw.hdl.queue import EventQueue
from pysnn_hw.hdl.skid import SkidBuffer
from pysnn_hw.hdl.split import BitSplitter
from tests.hdl_bench import PACES, run


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("depth", [6, 9])
def test_queue(depth: int, pace: tuple[float, float]) -> None:
    items = [random.Random(depth).randrange(256) for _ in range(80)]
    traffic = run(EventQueue(unsigned(8), depth=depth), {"i": items}, {"o": 80}, pace=pace)
    assert traffic.payloads["o"] == items


def test_queue_moves_one_per_cycle() -> None:
    items = list(range(60))
    queue = EventQueue(unsigned(8), depth=9)
    traffic = run(queue, {"i": items}, {"o": 60})
    assert traffic.cycles["o"][0] - traffic.cycles["i"][0] == queue.latency
    assert traffic.cycles["o"][-1] - traffic.cycles["o"][0] == 59
    with pytest.raises(ValueError, match="depth must be at least 6, not 5"):
        EventQueue(unsigned(8), depth=5)


@pytest.mark.parametrize("pace", PACES)
def test_skid_buffer(pace: tuple[float, float]) -> None:
    items = [random.Random(5).randrange(256) for _ in range(80)]
    traffic = run(SkidBuffer(unsigned(8)), {"i": items}, {"o": 80}, pace=pace)
    assert traffic.payloads["o"] == items
    if pace == (1.0, 1.0):
        assert traffic.cycles["o"] == [c + SkidBuffer.latency for c in traffic.cycles["i"]]
        assert traffic.cycles["o"][-1] - traffic.cycles["o"][0] == 79


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_fork(count: int, pace: tuple[float, float]) -> None:
    items = [random.Random(count).randrange(256) for _ in range(60)]
    outputs = {f"o_{k}": 60 for k in range(count)}
    traffic = run(Fork(unsigned(8), count=count), {"i": items}, outputs, pace=pace)
    assert all(traffic.payloads[name] == items for name in outputs)
    with pytest.raises(ValueError, match="count must be at least 1"):
        Fork(unsigned(8), count=0)


@pytest.mark.parametrize("pace", PACES)
def test_splitter(pace: tuple[float, float]) -> None:
    rng = random.Random(3)
    shape, top = (3, 4, 5), 15
    events = []
    for number in range(60):
        if number % 9 == 8:
            kind = rng.choice([EventKind.STEP, EventKind.INFERENCE])
            events.append({"kind": kind, "y": 0, "x": 0, "c": 0, "value": 0})
        else:
            place = {"y": rng.randrange(4), "x": rng.randrange(5), "c": rng.randrange(3)}
            events.append({"kind": EventKind.SPIKE, **place, "value": rng.randint(1, top)})
    want = []
    for event in events:
        bits = [b for b in range(4) if event["value"] >> b & 1]
        want += [{**event, "value": 1 << b} for b in bits] or [event]
    traffic = run(BitSplitter(shape, (0, top)), {"i": events}, {"o": len(want)}, pace=pace)
    assert traffic.payloads["o"] == want
    if pace == (1.0, 1.0):
        assert traffic.cycles["o"][-1] - traffic.cycles["o"][0] == len(want) - 1
    with pytest.raises(ValueError, match="must not be negative"):
        BitSplitter(shape, (-1, 1))


@pytest.mark.parametrize("pace", PACES)
def test_gate_without_pauses_costs_no_cycle(pace: tuple[float, float]) -> None:
    items = list(range(60))
    traffic = run(StreamGate(unsigned(8)), {"i": items}, {"o": 60}, pace=pace)
    assert traffic.payloads["o"] == items
    assert traffic.cycles["o"] == traffic.cycles["i"]


def test_gate_begins_nothing_while_paused_and_withdraws_nothing() -> None:
    dut = StreamGate(unsigned(8))
    rng = random.Random(4)
    seen: list[int] = []
    held = 0

    async def bench(ctx) -> None:
        nonlocal held
        ctx.set(dut.i.valid, 1)
        standing = False
        for _ in range(400):
            pause, ready = rng.random() < 0.5, rng.random() < 0.5
            ctx.set(dut.pause, pause)
            ctx.set(dut.o.ready, ready)
            ctx.set(dut.i.payload, len(seen))
            offers = bool(ctx.get(dut.o.valid))
            assert offers == (standing or not pause)
            assert ctx.get(dut.i.ready) == (ready and offers)
            held += standing and pause
            if offers and ready:
                seen.append(ctx.get(dut.o.payload))
            standing = offers and not ready
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == list(range(len(seen)))
    assert held > 20
