# SPDX-License-Identifier: BSD-2-Clause
from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.host.framing import BadFrame, Deframer, Frame, checksum, decode, encode

FRAMES = st.builds(Frame, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=600))


def test_known_bytes():
    assert checksum(b"123456789") == b"\x29\xb1"
    assert encode(Frame(1, 0)) == b"\x00" + b"\x02\x01\x03" + checksum(b"\x01\x00") + b"\x00"


@settings(max_examples=60, deadline=None)
@given(st.lists(FRAMES, max_size=4), st.integers(1, 7))
def test_frames_survive_any_cutting(frames, piece):
    wire = b"".join(map(encode, frames))
    deframer, got = Deframer(), []
    for k in range(0, len(wire), piece):
        got += deframer.feed(wire[k : k + piece])
    assert got == frames


@settings(max_examples=60, deadline=None)
@given(FRAMES, st.data())
def test_one_flipped_bit_never_passes(frame, data):
    wire = bytearray(encode(frame))
    bit = data.draw(st.integers(8, 8 * len(wire) - 9))
    wire[bit // 8] ^= 1 << bit % 8
    got = Deframer().feed(bytes(wire))
    assert got
    assert all(isinstance(f, BadFrame) for f in got)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40), FRAMES)
def test_garbage_before_a_frame_does_not_take_it_along(garbage, frame):
    got = Deframer().feed(garbage + encode(frame))
    assert got[-1] == frame


def test_reasons():
    assert decode(b"\x05\x01").problem == "not enough input bytes for length code"
    assert decode(b"\x02\x01").problem == "too short"
    assert decode(b"\x05\x01\x02\x03\x04").problem == "bad checksum"


def test_clear_forgets_the_beginning_of_a_frame():
    wire = encode(Frame(1, 2, b"abc"))
    deframer = Deframer()
    deframer.feed(wire[:4])
    deframer.clear()
    assert deframer.feed(wire) == [Frame(1, 2, b"abc")]
