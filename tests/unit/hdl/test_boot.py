# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random

import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.hdl.boot import MAGIC, FlashBoot, boot_image
from tests.spi_flash import SpiFlash

OFFSET = 0x1234


def boot(
    reads: list[bytes], length: int, *, attempts: int = 3, pace: float = 1.0
) -> tuple[dict[str, int], list[tuple[int, int]], SpiFlash]:
    dut = FlashBoot(OFFSET, length, wake_cycles=9, attempts=attempts)
    flash = SpiFlash(OFFSET, list(reads), wake_cycles=9)
    seen: list[tuple[int, int]] = []
    end: dict[str, int] = {}
    rng = random.Random(length)

    async def bench(ctx):
        for _ in range(40 * (length + 30) * attempts * 2):
            ctx.set(dut.o.ready, rng.random() < pace)
            ctx.set(dut.miso, flash.cycle(ctx.get(dut.cs), ctx.get(dut.clk), ctx.get(dut.mosi)))
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
