# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random

import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.hdl.boot import MAGIC, FlashBoot, LoadArbiter, boot_image

OFFSET = 0x1234


class SpiFlash:
    """Asleep until command 0xAB; then command 0x03 reads. SPI mode 0, looked at every cycle."""

    def __init__(self, reads: list[bytes]) -> None:
        self.reads = reads  # what lies at OFFSET, one entry per read command
        self.commands: list[int] = []
        self.awake_since: int | None = None
        self.bits: list[int] = []
        self.last_clk = 0
        self.out: list[int] = []

    def deselected(self, cycle: int) -> None:
        if len(self.bits) == 8 and self.value(0, 8) == 0xAB:
            self.commands.append(0xAB)
            self.awake_since = cycle
        self.bits, self.out, self.last_clk = [], [], 0

    def value(self, start: int, stop: int) -> int:
        return int("".join(map(str, self.bits[start:stop])), 2)

    def clocked(self, clk: int, mosi: int, cycle: int, wake_cycles: int) -> int | None:
        """New level of the output, if it changes."""
        rising, falling = clk > self.last_clk, clk < self.last_clk
        self.last_clk = clk
        if rising and len(self.bits) < 32:
            self.bits.append(mosi)
            if len(self.bits) == 32 and self.value(0, 8) == 0x03:
                assert self.awake_since is not None, "read while asleep"
                assert cycle - self.awake_since >= wake_cycles, "read too soon after waking"
                assert self.value(8, 32) == OFFSET
                self.commands.append(0x03)
                contents = self.reads.pop(0)
                self.out = [int(b) for byte in contents + b"\xff" for b in f"{byte:08b}"]
        if falling and self.out:
            return self.out.pop(0)
        return None


def boot(
    reads: list[bytes], length: int, *, attempts: int = 3, pace: float = 1.0
) -> tuple[dict[str, int], list[tuple[int, int]], SpiFlash]:
    dut = FlashBoot(OFFSET, length, wake_cycles=9, attempts=attempts)
    flash = SpiFlash(list(reads))
    seen: list[tuple[int, int]] = []
    end: dict[str, int] = {}
    rng = random.Random(length)

    async def bench(ctx):
        for cycle in range(40 * (length + 30) * attempts * 2):
            ctx.set(dut.o.ready, rng.random() < pace)
            if not ctx.get(dut.cs):
                flash.deselected(cycle)
            elif (bit := flash.clocked(ctx.get(dut.clk), ctx.get(dut.mosi), cycle, 9)) is not None:
                ctx.set(dut.miso, bit)
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                seen.append((ctx.get(dut.o.p.address), ctx.get(dut.o.p.data)))
            if ctx.get(dut.done) or ctx.get(dut.error):
                break
            await ctx.tick()
        await ctx.tick().repeat(3)
        end.update(done=ctx.get(dut.done), error=ctx.get(dut.error), cs=ctx.get(dut.cs))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return end, seen, flash


OK = {"done": 1, "error": 0, "cs": 0}
FAILED = {"done": 0, "error": 1, "cs": 0}


@settings(deadline=None, max_examples=15)
@given(st.binary(min_size=1, max_size=40), st.sampled_from([1.0, 0.3, 0.02]))
def test_contents_arrive_whole_and_in_order_whatever_the_backpressure(contents, pace):
    end, seen, flash = boot([boot_image(contents)], len(contents), pace=pace)
    assert end == OK
    assert seen == list(enumerate(contents))
    assert flash.commands == [0xAB, 0x03]


def test_a_flipped_bit_in_any_byte_is_noticed_and_the_next_attempt_repairs_it():
    contents = bytes([0x5A, 0x00, 0xFF])
    image = boot_image(contents)
    for position in range(len(image)):
        damaged = bytearray(image)
        damaged[position] ^= 1 << position % 8
        end, seen, flash = boot([bytes(damaged), image], len(contents))
        assert end == OK, position
        assert seen[-3:] == list(enumerate(contents))
        assert flash.commands == [0xAB, 0x03, 0x03]


@pytest.mark.parametrize("attempts", [1, 3])
def test_gives_up_after_the_attempts(attempts):
    end, _, flash = boot([b"\xff" * 30] * 5, 4, attempts=attempts)
    assert end == FAILED
    assert flash.commands == [0xAB] + [0x03] * attempts


def test_nothing_goes_out_of_an_image_of_another_length():
    end, seen, _ = boot([boot_image(b"abcde")], 4, attempts=1)
    assert (end, seen) == (FAILED, [])


def test_layout_of_the_image():
    image = boot_image(b"123456789")
    assert image[:8] == MAGIC + bytes([0, 0, 0, 9])
    assert image[8:-4] == b"123456789"
    assert len(image) == 4 + 4 + 9 + 4


@pytest.mark.parametrize(
    "arguments", [{"offset": 1 << 24}, {"length": 0}, {"attempts": 0}, {"wake_cycles": 0}]
)
def test_constructor_refuses(arguments):
    with pytest.raises(ValueError, match=r"must be (in|at least)"):
        FlashBoot(**{"offset": 0, "length": 4, "wake_cycles": 1, **arguments})


@pytest.mark.parametrize("written", [2, 3])
def test_arbiter_without_flash_tells_when_the_link_has_written_all(written):
    dut = LoadArbiter(3, flash=False)

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        for address in range(written):
            ctx.set(dut.link.payload, {"address": address, "data": 7 * address})
            ctx.set(dut.link.valid, 1)
            assert not ctx.get(dut.loaded)
            assert ctx.get(dut.o.valid)
            assert ctx.get(dut.o.p.data) == 7 * address
            await ctx.tick()
        ctx.set(dut.link.valid, 0)
        assert ctx.get(dut.loaded) == (written == 3)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_arbiter_holds_the_link_until_the_flash_has_ended():
    dut = LoadArbiter(4)

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.flash.valid, 1)
        ctx.set(dut.flash.payload, {"address": 1, "data": 2})
        ctx.set(dut.link.valid, 1)
        ctx.set(dut.link.payload, {"address": 3, "data": 4})
        await ctx.delay(1e-7)
        assert (ctx.get(dut.flash.ready), ctx.get(dut.link.ready)) == (1, 0)
        assert ctx.get(dut.o.p.data) == 2
        assert not ctx.get(dut.loaded)
        ctx.set(dut.flash_error, 1)
        await ctx.delay(1e-7)
        assert (ctx.get(dut.flash.ready), ctx.get(dut.link.ready)) == (0, 1)
        assert ctx.get(dut.o.p.data) == 4
        assert not ctx.get(dut.loaded)
        ctx.set(dut.flash_error, 0)
        ctx.set(dut.flash_done, 1)
        await ctx.delay(1e-7)
        assert ctx.get(dut.loaded)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
