# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""A whole board in simulation: host, UART, two clocks, SPI flash, memories filled at power-up."""

import struct

import numpy as np
import pytest
from amaranth.sim import Simulator

from pysnn_hw.build.top import LinkedAccelerator, uart_divisor
from pysnn_hw.golden import simulate
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.boot import FlashBoot, boot_image
from pysnn_hw.hdl.link.network import link_parameters
from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.hdl.link.protocol import ErrorCode
from pysnn_hw.host.framing import Deframer, Frame, encode
from pysnn_hw.plan.board import load_board
from pysnn_hw.plan.schedule import CorePlan, InputPort, Schedule
from tests.networks import random_images, random_network
from tests.spi_flash import SpiFlash

DIVISOR = 4
OFFSET = 0x100000
INFER, WRITE, REPLY, ERROR = 0x02, 0x03, 0x80, 0xFF


def schedule_of(net, weight_memory):
    return Schedule(
        tuple(
            CorePlan(
                (population.name,),
                tuple(
                    InputPort(projection.name, queue_depth=8, weight_memory=weight_memory)
                    for projection in net.into(population.name)
                ),
                lanes=1,
            )
            for population in net.populations
        )
    )


def design(weight_memory, *, flash):
    rng = np.random.default_rng(7)
    net = random_network(rng, timesteps=1, spike_max=3, depth=1, max_side=5, max_channels=3)
    accelerator = Accelerator(net, schedule_of(net, weight_memory))
    width = accelerator.load_decoder.address_width if accelerator.booted else 0
    parameters = link_parameters(net, divisor=DIVISOR, clock_mhz=25, address_width=width)
    contents = accelerator.boot_contents()
    boot = FlashBoot(OFFSET, len(contents), wake_cycles=5) if flash else None
    return net, LinkedAccelerator(accelerator, parameters, boot), contents


def talk(dut, requests, *, replies, flash=None, first_request_at=0, sync_period=5e-8):
    """Sends frames, one when the one before is answered; returns the answers."""
    answers: list[Frame] = []
    deframer = Deframer()

    async def host(ctx):
        await ctx.tick("board").repeat(1 + first_request_at)
        for count, request in enumerate(requests, 1):
            for byte in encode(request):
                for level in (0, *((byte >> k) & 1 for k in range(8)), 1):
                    ctx.set(dut.rx, level)
                    await ctx.tick("board").repeat(DIVISOR)
            for _ in range(100_000):
                if len(answers) >= count:
                    break
                await ctx.tick("board")
        assert len(answers) == replies

    async def ear(ctx):
        while True:
            while ctx.get(dut.tx):
                await ctx.tick("board")
            await ctx.tick("board").repeat(DIVISOR // 2)
            byte = 0
            for bit in range(8):
                await ctx.tick("board").repeat(DIVISOR)
                byte |= ctx.get(dut.tx) << bit
            await ctx.tick("board").repeat(DIVISOR)
            answers.extend(deframer.feed(bytes([byte])))

    async def memory(ctx):
        while True:
            level = flash.cycle(
                ctx.get(dut.flash_cs), ctx.get(dut.flash_clk), ctx.get(dut.flash_mosi)
            )
            ctx.set(dut.flash_miso, level)
            await ctx.tick("board")

    simulator = Simulator(dut)
    simulator.add_clock(sync_period)
    simulator.add_clock(3.7e-8, domain="board")
    simulator.add_testbench(host)
    simulator.add_testbench(ear, background=True)
    if flash:
        simulator.add_testbench(memory, background=True)
    simulator.run()
    return answers


def image_frames(net, images):
    """INFER requests of images (N, C, H, W): pixel by pixel, channels innermost."""
    flat = np.moveaxis(images, 1, -1).reshape(len(images), -1)
    return [
        Frame(INFER, k, bytes(v & 0xFF for v in image.tolist())) for k, image in enumerate(flat)
    ]


def scores_of(frame, classes):
    return list(struct.unpack_from(f"<{classes}i", frame.payload))


def check_answers(net, images, answers):
    expected = simulate(net, images).scores
    assert [a.type for a in answers] == [INFER | REPLY] * len(images)
    got = [scores_of(a, expected.shape[1]) for a in answers]
    assert got == expected.tolist()


@pytest.mark.parametrize("sync_period", [2.3e-8, 9e-8])
def test_images_cross_the_clocks_and_come_back_as_golden_scores(sync_period):
    net, dut, _ = design("block", flash=False)
    images = random_images(np.random.default_rng(1), net, 3)
    answers = talk(dut, image_frames(net, images), replies=3, sync_period=sync_period)
    check_answers(net, images, answers)


def test_weights_from_the_flash():
    net, dut, contents = design("spram", flash=True)
    flash = SpiFlash(OFFSET, [boot_image(contents)], wake_cycles=5)
    images = random_images(np.random.default_rng(2), net, 2)
    boot_cycles = 16 * (len(contents) + 40)
    answers = talk(
        dut, image_frames(net, images), replies=2, flash=flash, first_request_at=boot_cycles
    )
    check_answers(net, images, answers)


def test_without_a_good_flash_inference_is_refused_until_the_host_has_uploaded():
    net, dut, contents = design("spram", flash=True)
    flash = SpiFlash(OFFSET, [b"\xff" * 8] * 3, wake_cycles=5)
    images = random_images(np.random.default_rng(3), net, 1)
    chunk = dut.parameters.write_bytes
    uploads = [
        Frame(WRITE, 10, struct.pack("<I", at) + contents[at : at + chunk])
        for at in range(0, len(contents), chunk)
    ]
    infer = image_frames(net, images)
    requests = [*infer, *uploads, *infer]
    answers = talk(dut, requests, replies=len(requests), flash=flash, first_request_at=2500)
    assert answers[0].type == ERROR
    assert answers[0].payload[0] == ErrorCode.NOT_READY
    assert {a.type for a in answers[1:-1]} == {WRITE | REPLY}
    check_answers(net, images, answers[-1:])


def test_a_flash_needs_memories_to_load():
    parameters = LinkParameters(4, 0, 1, 2, divisor=DIVISOR)
    with pytest.raises(ValueError, match="no memory to load"):
        LinkedAccelerator(None, parameters, FlashBoot(0, 8, wake_cycles=1))


def test_divisors():
    assert uart_divisor(load_board("ulx3s-85f")) == 25
    assert uart_divisor(load_board("icebreaker")) == 12
