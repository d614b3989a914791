# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random
from itertools import pairwise

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from pysnn_hw.hdl.link.uart_receiver import UartReceiver, received_byte
from pysnn_hw.hdl.link.uart_transmitter import UartTransmitter
from tests.hdl_bench import PACES, run

CORNERS = [0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, 0x7F, 0xFE]


def line(frames, divisor):
    """Levels of the wire, cycle by cycle, for (byte, stop bit, idle cycles after) triples."""
    levels = [1] * 7
    for byte, stop, idle in frames:
        bits = [0, *((byte >> k) & 1 for k in range(8)), stop]
        levels += [bit for bit in bits for _ in range(divisor)] + [1] * idle
    return levels


def receive(levels, divisor, *, take=1.0, seed=0):
    """Bytes that the receiver offers for these levels, with the cycle of each offer."""
    dut, got = UartReceiver(divisor), []
    rng = random.Random(seed)

    async def wire(ctx):
        for cycle, level in enumerate(levels + [1] * (3 * divisor)):
            ctx.set(dut.rx, level)
            ready = rng.random() < take
            ctx.set(dut.o.ready, ready)
            _, _, valid, byte, error = await ctx.tick().sample(
                dut.o.valid, dut.o.p.data, dut.o.p.error
            )
            if valid and ready:
                got.append((byte, error, cycle))

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(wire)
    sim.run()
    return got


@pytest.mark.parametrize("divisor", [4, 5, 8, 25])
def test_receives_back_to_back_and_with_gaps(divisor):
    rng = random.Random(divisor)
    data = CORNERS + [rng.randrange(256) for _ in range(40)]
    frames = [(byte, 1, rng.choice([0, 0, 1, divisor])) for byte in data]
    got = receive(line(frames, divisor), divisor, take=0.5)
    assert [byte for byte, _, _ in got] == data
    assert not any(error for _, error, _ in got)


def test_offer_comes_in_the_middle_of_the_stop_bit():
    divisor = 20
    (_, _, cycle), *_ = receive(line([(0x5A, 1, 0)], divisor), divisor)
    assert abs(cycle - 7 - (9.5 * divisor + 3)) <= 1


@pytest.mark.parametrize("drift", [-0.035, 0.035])
def test_tolerates_a_slow_or_fast_sender(drift):
    divisor = 50
    data = [random.Random(7).randrange(256) for _ in range(20)]
    exact = line([(byte, 1, 0) for byte in data], 1000)[7:]
    levels = [1] * 9 + exact[:: round(1000 / divisor * (1 + drift))]
    assert [byte for byte, _, _ in receive(levels, divisor)] == data


def test_missing_stop_bit_is_marked_and_the_next_byte_is_clean():
    frames = [(0x41, 1, 3), (0x42, 0, 12), (0x43, 1, 0), (0x00, 0, 90), (0x44, 1, 0)]
    got = receive(line(frames, 10), 10)
    assert [(b, e) for b, e, _ in got] == [(0x41, 0), (0x42, 1), (0x43, 0), (0x00, 1), (0x44, 0)]


def test_break_gives_one_marked_byte():
    got = receive([1] * 5 + [0] * 700 + [1] * 40 + line([(0x33, 1, 0)], 10), 10)
    assert [(b, e) for b, e, _ in got] == [(0, 1), (0x33, 0)]


def test_glitch_is_no_start_bit():
    got = receive([1] * 5 + [0] * 4 + [1] * 30 + line([(0x33, 1, 0)], 10), 10)
    assert [(b, e) for b, e, _ in got] == [(0x33, 0)]


def test_byte_not_taken_in_time_marks_the_next_one():
    got = receive(line([(byte, 1, 0) for byte in range(60)], 4), 4, take=0.015, seed=1)
    bytes_got = [b for b, _, _ in got]
    assert len(bytes_got) < 60
    assert bytes_got == sorted(set(bytes_got))
    for (before, _, _), (byte, error, _) in pairwise(got):
        assert error == (byte != before + 1)


class Loop(wiring.Component):
    """Transmitter to receiver."""

    def __init__(self, divisor):
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(received_byte))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.tx = tx = UartTransmitter(self.divisor)
        m.submodules.rx = rx = UartReceiver(self.divisor)
        wiring.connect(m, wiring.flipped(self.i), tx.i)
        wiring.connect(m, rx.o, wiring.flipped(self.o))
        m.d.comb += rx.rx.eq(tx.tx)
        return m


@pytest.mark.parametrize("pace", [p for p in PACES if p[1] > 0.5])
def test_transmitter_is_understood_and_keeps_its_pace(pace):
    rng = random.Random(3)
    data = CORNERS + [rng.randrange(256) for _ in range(30)]
    divisor = 6
    seen = run(Loop(divisor), {"i": data}, {"o": len(data)}, pace=pace)
    assert seen.payloads["o"] == [{"data": byte, "error": 0} for byte in data]
    if pace == (1.0, 1.0):
        taken = seen.cycles["i"]
        assert {b - a for a, b in pairwise(taken)} == {10 * divisor}


def test_transmitted_waveform():
    divisor, dut, levels = 4, UartTransmitter(4), []

    async def bench(ctx):
        assert ctx.get(dut.tx) == 1
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.payload, 0xA6)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        for _ in range(11 * divisor):
            levels.append((await ctx.tick().sample(dut.tx))[2])

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert levels == line([(0xA6, 1, divisor)], divisor)[7:]


@pytest.mark.parametrize("part", [UartReceiver, UartTransmitter])
@pytest.mark.parametrize("divisor", [0, 3, 65536])
def test_refuses_divisors(part, divisor):
    with pytest.raises(ValueError, match=rf"divisor must be in 4\.\.65535, not {divisor}"):
        part(divisor)
