# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import binascii
import random

import pytest
from amaranth.sim import Simulator
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.hdl.link.cobs_decoder import FrameStatus
from pysnn_hw.hdl.link.frame_receiver import FrameReceiver
from pysnn_hw.hdl.link.frame_transmitter import FrameTransmitter
from pysnn_hw.hdl.link.protocol import NO_SEQUENCE, ErrorCode
from tests.hdl_bench import PACES, run

MAX = 20


def with_crc(frame):
    return frame + binascii.crc_hqx(frame, 0xFFFF).to_bytes(2, "big")


def arrives(frame, status=FrameStatus.WELL_FORMED):
    """Transfers into the receiver for one frame, checksum included."""
    data = [{"data": byte, "end": 0, "status": 0} for byte in frame]
    return [*data, {"data": 0, "end": 1, "status": status}]


def offered(frames):
    return [
        {"data": byte, "left": len(frame) - 1 - k}
        for frame in frames
        for k, byte in enumerate(frame)
    ]


def error(code, sequence=NO_SEQUENCE, count=1):
    return {"code": int(code), "sequence": sequence, "count": count}


def receive(dut, transfers, *, gap, read_from=0, errors_from=0, pace=1.0, seed=0, tail=400):
    """Drive ``i`` one transfer each ``gap`` cycles; outputs are taken from the given cycles on."""
    got = {"o": [], "errors": []}
    rng = random.Random(seed)

    async def bench(ctx):
        total = len(transfers) * gap + tail
        held = {"o": None, "errors": None}
        for cycle in range(total):
            k, phase = divmod(cycle, gap)
            ctx.set(dut.i.valid, phase == 0 and k < len(transfers))
            if phase == 0 and k < len(transfers):
                ctx.set(dut.i.payload, transfers[k])
            ready = {
                "o": cycle >= read_from and rng.random() < pace,
                "errors": cycle >= errors_from and rng.random() < pace,
            }
            ctx.set(dut.o.ready, ready["o"])
            ctx.set(dut.errors.ready, ready["errors"])
            sample = await ctx.tick().sample(
                dut.i.ready, dut.o.valid, dut.o.payload, dut.errors.valid, dut.errors.payload
            )
            assert sample[2] == 1, "the input must never wait"
            for name, valid, payload in (("o", *sample[3:5]), ("errors", *sample[5:7])):
                fields = {key: int(payload[key]) for key, _ in payload.shape()}
                if held[name] is not None:
                    assert (valid, fields) == (1, held[name]), f"{name}: offer changed"
                held[name] = fields if valid and not ready[name] else None
                if valid and ready[name]:
                    got[name].append(fields)

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    return got


@pytest.mark.parametrize("pace", PACES)
def test_transmitter(pace):
    frames = [b"\x01\x02", b"\x00", bytes(range(30)), b"\xff" * 17, b"123456789"]
    assert binascii.crc_hqx(b"123456789", 0xFFFF) == 0x29B1
    wire = b"".join(cobs.encode(with_crc(frame)) + b"\x00" for frame in frames)
    transfers = [
        {"data": byte, "last": k == len(frame) - 1}
        for frame in frames
        for k, byte in enumerate(frame)
    ]
    seen = run(FrameTransmitter(30), {"i": transfers}, {"o": len(wire)}, pace=pace)
    assert bytes(seen.payloads["o"]) == wire


@pytest.mark.parametrize(("gap", "pace"), [(1, 1.0), (4, 1.0), (6, 0.4)])
def test_good_frames_come_out_whole_and_in_order(gap, pace):
    rng = random.Random(1)
    frames = [rng.randbytes(n) for n in (2, 3, MAX - 2, 7, 2, 18, MAX - 2, 5) * 3]
    dut = FrameReceiver(MAX, depth=128, frames=8)
    transfers = [t for frame in frames for t in arrives(with_crc(frame))]
    got = receive(dut, transfers, gap=gap, pace=pace)
    assert got == {"o": offered(frames), "errors": []}


def test_nothing_comes_out_before_the_checksum():
    frame = b"\x02\x05" + bytes(10)
    got = receive(FrameReceiver(MAX), arrives(with_crc(frame))[:-1], gap=1)
    assert got == {"o": [], "errors": []}


@pytest.mark.parametrize(
    ("spoiled", "code"),
    [
        (arrives(with_crc(b"\x01\x02")[:-1] + b"\x99"), ErrorCode.BAD_CRC),
        (arrives(b""), ErrorCode.BAD_CRC),
        (arrives(b"\xff\xff"), ErrorCode.BAD_LENGTH),  # an empty frame with its checksum
        (arrives(with_crc(b"\x01")), ErrorCode.BAD_LENGTH),
        (arrives(with_crc(b"\x01\x02"), FrameStatus.MALFORMED), ErrorCode.MALFORMED),
        (arrives(with_crc(b"\x01\x02"), FrameStatus.SILENT), ErrorCode.TIMEOUT),
        (arrives(with_crc(bytes(MAX - 1))), ErrorCode.TOO_LONG),
        (arrives(with_crc(bytes(3 * MAX))), ErrorCode.TOO_LONG),
        (arrives(bytes(MAX + 1), FrameStatus.SILENT), ErrorCode.TOO_LONG),
        (arrives(bytes(MAX + 1), FrameStatus.MALFORMED), ErrorCode.TOO_LONG),
    ],
)
def test_bad_frame_is_reported_once_and_leaves_no_trace(spoiled, code):
    good = [bytes([1, k]) * (MAX // 2 - 1) for k in range(4)]
    transfers = [t for frame in good[:2] for t in arrives(with_crc(frame))]
    transfers += spoiled * 2 + [t for frame in good[2:] for t in arrives(with_crc(frame))]
    got = receive(FrameReceiver(MAX, frames=4), transfers, gap=5)
    assert got == {"o": offered(good), "errors": [error(code)] * 2}


def test_every_single_bit_error_is_caught():
    frame = with_crc(b"\x02\x07\x00\xff")
    transfers = []
    for bit in range(8 * len(frame)):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        transfers += arrives(flipped)
    got = receive(FrameReceiver(MAX), transfers, gap=1, tail=10)
    assert got == {"o": [], "errors": [error(ErrorCode.BAD_CRC)] * 8 * len(frame)}


def test_full_buffer_is_reported_with_the_sequence_number():
    frames = [bytes([2, k]) + bytes(range(12)) for k in range(6)]  # 16 bytes with checksum
    transfers = [t for frame in frames for t in arrives(with_crc(frame))]
    dut = FrameReceiver(MAX, depth=32, frames=4)
    got = receive(dut, transfers[:68], gap=1, read_from=70, tail=100)
    # 14 bytes stay of a good frame: two fit into 31 places, the third and fourth do not
    assert got["o"] == offered(frames[:2])
    assert got["errors"] == [error(ErrorCode.BUSY, 2), error(ErrorCode.BUSY, 3)]


def test_full_queue_is_reported_with_the_sequence_number():
    frames = [bytes([1, k]) for k in range(8)]
    transfers = [t for frame in frames for t in arrives(with_crc(frame))]
    got = receive(FrameReceiver(MAX, depth=64, frames=2), transfers, gap=3, read_from=300)
    waiting = len(got["o"]) // 2
    assert waiting == 3  # one on offer, two behind it
    assert got["o"] == offered(frames[:waiting])
    assert got["errors"] == [error(ErrorCode.BUSY, k) for k in range(waiting, 8)]


def test_overflowing_frame_with_a_bad_checksum_has_no_sequence_number():
    frames = [with_crc(bytes([2, k]) + bytes(range(12))) for k in range(2)]
    spoiled = frames[0][:-1] + b"\x55"
    transfers = [t for frame in [*frames, spoiled] for t in arrives(frame)]
    got = receive(FrameReceiver(MAX, depth=32), transfers, gap=1, read_from=80)
    assert got["errors"] == [error(ErrorCode.BAD_CRC)]


def test_room_is_free_again_as_soon_as_bytes_are_read():
    frames = [bytes([2, k]) + bytes(range(14)) for k in range(12)]
    transfers = [t for frame in frames for t in arrives(with_crc(frame))]
    got = receive(FrameReceiver(MAX, depth=32), transfers, gap=2, pace=0.6)
    assert got == {"o": offered(frames), "errors": []}


def test_errors_that_wait_are_added_up():
    bad = arrives(b"\x01\x02\x03\x04")
    got = receive(FrameReceiver(MAX), bad * 7, gap=1, errors_from=60, tail=100)
    assert got["errors"] == [error(ErrorCode.BAD_CRC), error(ErrorCode.SEVERAL, count=6)]


def test_count_of_errors_saturates():
    bad = arrives(b"\x01", FrameStatus.MALFORMED)
    got = receive(FrameReceiver(MAX), bad * 300, gap=1, errors_from=620, tail=100)
    assert got["errors"] == [error(ErrorCode.MALFORMED), error(ErrorCode.SEVERAL, count=255)]


@pytest.mark.parametrize("seed", range(6))
def test_no_error_is_lost_when_the_taker_is_slow(seed):
    bad = arrives(b"\x01\x02\x03\x04")
    got = receive(FrameReceiver(MAX), bad * 40, gap=1, pace=0.12, seed=seed)
    assert sum(e["count"] for e in got["errors"]) == 40
    assert any(e["count"] > 1 for e in got["errors"])


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.binary(min_size=2, max_size=MAX - 2), st.sampled_from(["good", "crc", "cobs"])
        ),
        min_size=1,
        max_size=8,
    )
)
def test_mixed_frames(frames):
    transfers, good, codes = [], [], []
    for frame, kind in frames:
        if kind == "good":
            transfers += arrives(with_crc(frame))
            good.append(frame)
        elif kind == "crc":
            transfers += arrives(with_crc(frame)[:-1] + bytes([with_crc(frame)[-1] ^ 4]))
            codes.append(ErrorCode.BAD_CRC)
        else:
            transfers += arrives(with_crc(frame), FrameStatus.MALFORMED)
            codes.append(ErrorCode.MALFORMED)
    got = receive(FrameReceiver(MAX, depth=64), transfers, gap=4, tail=100)
    assert got == {"o": offered(good), "errors": [error(code) for code in codes]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_frame": 3}, "max_frame must be at least 4, not 3"),
        ({"max_frame": 16, "depth": 16}, "depth must be a power of two above 16, not 16"),
        ({"max_frame": 16, "depth": 40}, "depth must be a power of two above 16, not 40"),
        ({"max_frame": 16, "frames": 0}, "frames must be at least 1, not 0"),
    ],
)
def test_receiver_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        FrameReceiver(**arguments)


def test_transmitter_refuses():
    with pytest.raises(ValueError, match="max_frame must be at least 1, not 0"):
        FrameTransmitter(0)
