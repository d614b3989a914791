# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random

import pytest
from amaranth.sim import Simulator
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.hdl.link.cobs_decoder import CobsDecoder, FrameStatus
from pysnn_hw.hdl.link.cobs_encoder import CobsEncoder
from tests.hdl_bench import PACES, run

RNG = random.Random(11)
LONG = [bytes(RNG.randrange(1, 256) for _ in range(n)) for n in (253, 254, 255, 509)]
SHORT = [
    b"\x00",
    b"\x01",
    b"\x00\x00\x00",
    b"\x00\x05",
    b"\x05\x00",
    b"\xff\x00\xff",
]
FULL_BLOCKS = [
    *LONG,
    LONG[1] + b"\x00",
    LONG[0] + b"\x00" + LONG[1],
    b"\x00" + LONG[1] + b"\x00\x00",
]


def frame_bytes(frames):
    return [
        {"data": byte, "last": k == len(frame) - 1}
        for frame in frames
        for k, byte in enumerate(frame)
    ]


def wire_bytes(wire, bad=()):
    return [{"data": byte, "error": int(k in bad)} for k, byte in enumerate(wire)]


def encode_all(frames):
    return b"".join(cobs.encode(frame) + b"\x00" for frame in frames)


def decoded(frames, status=FrameStatus.WELL_FORMED):
    out = []
    for frame in frames:
        out += [{"data": byte, "end": 0} for byte in frame]
        out.append({"end": 1, "status": status})
    return out


def trim(payloads):
    """Only what a transfer promises: data without end, status with it."""
    return [
        {"end": 1, "status": p["status"]} if p["end"] else {"data": p["data"], "end": 0}
        for p in payloads
    ]


CASES = [*((SHORT * 5, pace) for pace in PACES), (SHORT + FULL_BLOCKS, (1.0, 1.0))]


@pytest.mark.parametrize(("frames", "pace"), CASES)
def test_encoder_matches_the_reference(frames, pace):
    wire = encode_all(frames)
    seen = run(CobsEncoder(512), {"i": frame_bytes(frames)}, {"o": len(wire)}, pace=pace)
    assert bytes(seen.payloads["o"]) == wire


def test_encoder_with_a_frame_as_long_as_allowed():
    frames = [bytes(range(1, 9)), bytes(8), bytes(range(8)), b"\x09"]
    wire = encode_all(frames)
    seen = run(CobsEncoder(8), {"i": frame_bytes(frames)}, {"o": len(wire)})
    assert bytes(seen.payloads["o"]) == wire


@pytest.mark.parametrize(("frames", "pace"), CASES)
def test_decoder_inverts_the_reference(frames, pace):
    wire = b"\x00\x00" + encode_all(frames[:6]) + b"\x00\x00\x00" + encode_all(frames[6:])
    want = decoded(frames)
    seen = run(
        CobsDecoder(10_000), {"i": wire_bytes(wire)}, {"o": len(want)}, pace=pace, max_cycles=90_000
    )
    assert trim(seen.payloads["o"]) == want


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from([0, 1, 2, 255]), min_size=1, max_size=9), max_size=4))
def test_short_frames_full_of_zeros_survive_both(frames):
    frames = [bytes(frame) for frame in [*frames, [0, 1]]]
    wire = encode_all(frames)
    sent = run(CobsEncoder(9), {"i": frame_bytes(frames)}, {"o": len(wire)})
    assert bytes(sent.payloads["o"]) == wire
    want = decoded(frames)
    seen = run(CobsDecoder(1000), {"i": wire_bytes(wire)}, {"o": len(want)})
    assert trim(seen.payloads["o"]) == want


@pytest.mark.parametrize("pace", PACES)
def test_malformed_frames_are_marked_and_the_next_is_clean(pace):
    good = b"\x11\x00\x22"
    cut = b"\x05\x11\x22\x00"  # the delimiter comes two bytes early
    wire = encode_all([good]) + cut + encode_all([good, good])
    want = [
        *decoded([good]),
        *decoded([b"\x11\x22"], FrameStatus.MALFORMED),
        *decoded([good, good]),
    ]
    seen = run(CobsDecoder(1000), {"i": wire_bytes(wire)}, {"o": len(want)}, pace=pace)
    assert trim(seen.payloads["o"]) == want


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_marked_byte_spoils_its_frame_only(position):
    good = b"\x11\x22"
    wire = encode_all([good, good])
    seen = run(CobsDecoder(1000), {"i": wire_bytes(wire, {position})}, {"o": 6})
    ends = [p["status"] for p in seen.payloads["o"] if p["end"]]
    assert ends == [FrameStatus.MALFORMED, FrameStatus.WELL_FORMED]
    assert trim(seen.payloads["o"])[-3:] == decoded([good])


def test_marked_zero_is_no_delimiter():
    wire = b"\x03\x11\x00\x22\x00" + encode_all([b"\x01"])
    seen = run(CobsDecoder(1000), {"i": wire_bytes(wire, {2})}, {"o": 6})
    statuses = [p["status"] for p in seen.payloads["o"] if p["end"]]
    assert statuses == [FrameStatus.MALFORMED, FrameStatus.WELL_FORMED]


def silence(timeout, prefix, gap, suffix, *, ready_after=0):
    """Transfers on ``o``: (cycle, end, status), for bytes, ``gap`` idle cycles, more bytes."""
    dut, got = CobsDecoder(timeout), []
    script = [*prefix, *[None] * gap, *suffix, *[None] * (3 * timeout)]

    async def bench(ctx):
        cycle = 0
        for item in script:
            ctx.set(dut.i.valid, item is not None)
            if item is not None:
                ctx.set(dut.i.payload, {"data": item, "error": 0})
            while True:
                ctx.set(dut.o.ready, cycle >= ready_after)
                _, _, valid, ready, i_ready, end, status = await ctx.tick().sample(
                    dut.o.valid, dut.o.ready, dut.i.ready, dut.o.p.end, dut.o.p.status
                )
                if valid and ready:
                    got.append((cycle, end, status))
                cycle += 1
                if item is None or i_ready:
                    break

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    return got


def test_silence_ends_a_frame_once_and_the_rest_is_dropped():
    good = encode_all([b"\x07"])
    got = silence(20, b"\x04\x11", 30, b"\x12\x13\x00" + good)
    ends = [(cycle, status) for cycle, end, status in got if end]
    assert [status for _, status in ends] == [FrameStatus.SILENT, FrameStatus.WELL_FORMED]
    assert ends[0][0] - 1 in (20, 21)
    assert len(got) == 4  # 0x11, silent end, 0x07, its end


@pytest.mark.parametrize("gap", [0, 1, 18])
def test_shorter_silence_is_harmless(gap):
    got = silence(20, b"\x04\x11", gap, b"\x12\x13\x00")
    assert [status for _, end, status in got if end] == [FrameStatus.WELL_FORMED]


def test_silence_between_frames_is_no_error():
    got = silence(20, encode_all([b"\x07"]), 100, b"\x00")
    assert [status for _, end, status in got if end] == [FrameStatus.WELL_FORMED]


def test_silence_after_a_lone_code_byte():
    got = silence(20, b"\x04", 50, b"\x00")
    assert [(end, status) for _, end, status in got] == [(1, FrameStatus.SILENT)]


def test_silent_end_stands_until_taken():
    got = silence(10, b"\x02", 30, b"\x44\x00" + encode_all([b"\x07"]), ready_after=60)
    assert [status for _, end, status in got if end] == [
        FrameStatus.SILENT,
        FrameStatus.WELL_FORMED,
    ]
    assert got[0][0] == 60


def test_refusals():
    with pytest.raises(ValueError, match="max_frame must be at least 1, not 0"):
        CobsEncoder(0)
    with pytest.raises(ValueError, match="timeout must be at least 2, not 1"):
        CobsDecoder(1)
