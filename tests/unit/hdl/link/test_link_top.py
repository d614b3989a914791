# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random
import struct

import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.hdl.link.protocol import NO_SEQUENCE, RESULT_TAIL, ErrorCode, Info
from pysnn_hw.hdl.link.uart_top import UartTop
from pysnn_hw.host.framing import Deframer, Frame, encode
from tests.link_bench import SumAccelerator, sums, winner

DIVISOR = 4
BYTE = 10 * DIVISOR
PARAMETERS = LinkParameters(
    9, 0, 255, 3, divisor=DIVISOR, fingerprint=0xCAFE0001, clock_mhz=25, timeout_bytes=8
)


def bytes_of(levels):
    """Bytes in the levels of a UART wire, one level per cycle."""
    found, at = [], 0
    while 0 in levels[at:]:
        at = levels.index(0, at) + DIVISOR // 2
        bits = levels[at : at + BYTE : DIVISOR]
        assert (bits[0], bits[9]) == (0, 1), "no start or stop bit"
        found.append(sum(bit << k for k, bit in enumerate(bits[1:9])))
        at += 9 * DIVISOR
    return bytes(found)


def exchange(parameters, script, *, delay=0, tail=3000):
    """Send bytes, or wait (an int counts cycles), and return the frames that come back."""
    dut = UartTop(SumAccelerator(parameters, delay), parameters)
    levels = []

    async def sender(ctx):
        for item in script:
            if isinstance(item, int):
                await ctx.tick().repeat(item)
                continue
            for byte in item:
                for level in (0, *((byte >> k) & 1 for k in range(8)), 1):
                    ctx.set(dut.rx, level)
                    await ctx.tick().repeat(DIVISOR)
        await ctx.tick().repeat(tail)

    async def recorder(ctx):
        while True:
            levels.append((await ctx.tick().sample(dut.tx))[2])

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(sender)
    sim.add_testbench(recorder, background=True)
    sim.run()
    deframer = Deframer()
    frames = deframer.feed(bytes_of(levels))
    assert not deframer.feed(b"\x00"), "a reply is not complete"
    return frames


def answer(sequence, image, cycles, parameters=PARAMETERS, extra=()):
    scores = sums(image, parameters.classes)
    scores = [s + e for s, e in zip(scores, extra or [0] * len(scores), strict=True)]
    payload = struct.pack(f"<{len(scores)}i", *scores)
    return Frame(0x82, sequence, payload + RESULT_TAIL.pack(winner(scores), 0, cycles))


def error(code, sequence=NO_SEQUENCE, count=1):
    return Frame(0xFF, sequence, bytes([code, count]))


@pytest.mark.parametrize("delay", [0, 37])
def test_info_and_images(delay):
    rng = random.Random(2)
    images = [bytes(9), b"\xff" * 9, rng.randbytes(9), rng.randbytes(9)]
    script = [30, encode(Frame(1, 0)), *(encode(Frame(2, k, i)) for k, i in enumerate(images))]
    frames = exchange(PARAMETERS, script, delay=delay)
    # 9 integers, one cycle to turn round, the delay and 3 scores
    cycles = 9 + 1 + delay + 3 - 1
    assert frames == [
        Frame(0x81, 0, PARAMETERS.info.pack()),
        *(answer(k, image, cycles) for k, image in enumerate(images)),
    ]
    assert Info.unpack(frames[0].payload).fingerprint == 0xCAFE0001


def test_every_kind_of_bad_frame_is_reported_and_the_next_is_answered():
    image = bytes(range(9))
    good = encode(Frame(2, 1, image))
    flipped = bytearray(good)
    flipped[5] ^= 0x10
    follow = [encode(Frame(1, 7)), 600]
    script = [30]
    for item in (
        [bytes(flipped)],
        [good[:6] + b"\x00"],  # truncated
        [good[:6], BYTE * 12, good[6:]],  # silence
        [b"\x11" * 40 + b"\x00"],  # garbage without end
        [encode(Frame(2, 1, image + b"\x00"))],
        [encode(Frame(2, 2, image[:-1]))],
        [encode(Frame(9, 3))],
        [encode(Frame(3, 4, bytes(5)))],
        [b"\x00\x00\x00\x00"],
    ):
        script += [*item, *follow]
    frames = exchange(PARAMETERS, script)
    info = Frame(0x81, 7, PARAMETERS.info.pack())
    assert frames == [
        error(ErrorCode.BAD_CRC),
        info,
        error(ErrorCode.MALFORMED),
        info,
        error(ErrorCode.TIMEOUT),
        info,
        error(ErrorCode.TOO_LONG),
        info,
        error(ErrorCode.TOO_LONG),
        info,
        error(ErrorCode.BAD_LENGTH, 2),
        info,
        error(ErrorCode.UNKNOWN_TYPE, 3),
        info,
        error(ErrorCode.UNKNOWN_TYPE, 4),
        info,
        info,
    ]


def test_next_image_is_received_while_the_accelerator_works():
    images = [bytes([k] * 9) for k in range(2)]
    burst = b"".join(encode(Frame(2, k, image)) for k, image in enumerate(images))
    delay = len(burst) * BYTE
    frames = exchange(PARAMETERS, [burst], delay=delay, tail=4 * delay)
    assert frames == [answer(k, i, 12 + delay) for k, i in enumerate(images)]


def test_frames_beyond_the_buffer_are_refused_one_by_one():
    images = [bytes([k + 1] * 9) for k in range(6)]
    burst = b"".join(encode(Frame(2, k, image)) for k, image in enumerate(images))
    delay = len(burst) * BYTE
    frames = exchange(PARAMETERS, [burst], delay=delay, tail=4 * delay)
    answered = [f for f in frames if f.type == 0x82]
    refused = [f for f in frames if f.type == 0xFF]
    assert answered == [answer(f.sequence, images[f.sequence], 12 + delay) for f in answered]
    assert 1 <= len(answered) < 6
    named = {f.sequence for f in refused if f.payload[0] == ErrorCode.BUSY}
    assert named
    assert sum(f.payload[1] for f in refused) + len(answered) == 6
    assert not named & {f.sequence for f in answered}


def test_upload_then_inference():
    parameters = LinkParameters(4, -1, 6, 2, divisor=DIVISOR, address_width=12, timeout_bytes=8)
    image = bytes([0xFF, 6, 5, 4])
    script = [
        20,
        encode(Frame(1, 0)),
        encode(Frame(2, 1, image)),
        600,
        encode(Frame(3, 2, struct.pack("<I", 0) + b"\x0a\x63")),
        600,
        encode(Frame(2, 3, image)),
        encode(Frame(1, 4)),
    ]
    frames = exchange(parameters, script)
    assert not Info.unpack(frames[0].payload).loaded
    assert Info.unpack(frames[-1].payload) == parameters.info
    assert frames[1:3] == [error(ErrorCode.NOT_READY, 1), Frame(0x83, 2)]
    assert frames[3:-1] == [answer(3, [-1, 6, 5, 4], 4 + 1 + 2 - 1, parameters, extra=(10, 99))]


def test_mismatch_of_integer_widths_is_refused():
    other = LinkParameters(9, 0, 100, 3, divisor=DIVISOR)
    with pytest.raises(ValueError, match=r"takes integers of unsigned\(7\), the link sends uns"):
        UartTop(SumAccelerator(other), PARAMETERS)
