# SPDX-License-Identifier: BSD-2-Clause
import struct

import numpy as np
import pytest

from pysnn_hw.errors import DataError, LinkError
from pysnn_hw.hdl.link.protocol import NO_SEQUENCE, RESULT_TAIL, VERSION, ErrorCode, Info
from pysnn_hw.host import Link
from pysnn_hw.host.framing import Deframer, Frame, encode

INFO = Info(VERSION, 0xABCD, 12, 0, 255, 3, 25, 8, True)


class Device:
    """A port with a scripted device behind it: it treats each request as its script says.

    ``script`` names, request by request, what happens to its reply; then all goes well.
    """

    name = "scripted"

    def __init__(self, info=INFO, script=()):
        self.info, self.script = info, list(script)
        self.requests, self.memory, self.closed = [], {}, False
        self._deframer, self._out, self._held = Deframer(), b"", b""

    @property
    def in_waiting(self):
        return len(self._out)

    def read(self, size):
        data, self._out = self._out[:size], self._out[size:]
        return data

    def close(self):
        self.closed = True

    def write(self, data):
        for frame in self._deframer.feed(data):
            self.requests.append(frame)
            reply = encode(self._reply(frame))
            fate = self.script.pop(0) if self.script else "good"
            self._out += self._fate(fate, frame, reply)
        return len(data)

    def _fate(self, fate, frame, reply):
        if isinstance(fate, tuple):
            code, known = fate
            return encode(Frame(0xFF, frame.sequence if known else NO_SEQUENCE, bytes([code, 1])))
        match fate:
            case "good":
                held, self._held = self._held, b""
                return held + reply
            case "late":  # arrives before the reply to the next attempt
                self._held = reply
                return b""
            case "damaged":
                return reply[:4] + bytes([reply[4] ^ 1 or 3]) + reply[5:]
            case "short":
                return encode(Frame(0x80 | frame.type, frame.sequence, b"x"))
            case "garbage first":
                return b"\x13\x00\x07" + reply
            case "gone":
                raise OSError(5, "Input/output error")
        return b""

    def _reply(self, frame):
        kind, payload = frame.type, b""
        if kind == 1:
            payload = self.info.pack()
        elif kind == 2:
            dtype = {1: "u1", 2: "<i2"}[self.info.value_bytes]
            image = np.frombuffer(frame.payload, dtype).astype(int)
            scores = [int(image[c::3].sum()) for c in range(3)]
            payload = struct.pack("<3i", *scores)
            payload += RESULT_TAIL.pack(int(np.argmax(scores)), 0, 1234)
        elif kind == 3:
            (address,) = struct.unpack("<I", frame.payload[:4])
            self.memory |= {address + k: b for k, b in enumerate(frame.payload[4:])}
        return Frame(0x80 | kind, frame.sequence, payload)


def link(device, **options):
    return Link(device, timeout_s=options.pop("timeout_s", 0.05), **options)


IMAGE = np.arange(12, dtype=np.uint8)


def test_infer():
    with link(Device()) as connection:
        result = connection.infer(IMAGE)
        assert connection.info() == INFO
    assert result.scores.tolist() == [18, 22, 26]
    assert (result.klass, result.cycles, result.error) == (2, 1234, False)
    assert 0 < result.latency_s < 1


def test_maps_are_sent_channels_innermost():
    device = Device()
    image = np.arange(12).reshape(3, 2, 2)
    link(device).infer(image)
    assert device.requests[-1].payload == bytes([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11])


def test_wide_integers_are_sent_in_two_bytes():
    device = Device(Info(VERSION, 0, 3, -300, 300, 3, 25, 0, True))
    result = link(device).infer(np.array([-300, 300, -1]))
    assert device.requests[-1].payload == struct.pack("<3h", -300, 300, -1)
    assert result.scores.tolist() == [-300, 300, -1]


@pytest.mark.parametrize(
    ("fate", "count"),
    [
        ("lost", "silence"),
        ("late", "stale"),
        ("damaged", "damaged"),
        ((ErrorCode.BAD_CRC, False), "BAD_CRC"),
        ((ErrorCode.TIMEOUT, False), "TIMEOUT"),
        ((ErrorCode.SEVERAL, False), "SEVERAL"),
        ((ErrorCode.BUSY, True), "BUSY"),
        ((77, False), "error 77"),
    ],
)
def test_failed_attempt_is_repeated_under_a_new_number(fate, count):
    device = Device(script=["good", fate, fate])
    connection = link(device)
    assert connection.infer(IMAGE).klass == 2
    assert connection.counts["retry"] == 2
    assert connection.counts[count] >= 1
    numbers = [frame.sequence for frame in device.requests]
    assert len(set(numbers)) == len(numbers) == 4


def test_garbage_before_the_reply_costs_a_repetition_at_most():
    connection = link(Device(script=["good", "garbage first"]))
    assert connection.infer(IMAGE).klass == 2


def test_sequence_numbers_never_reach_the_reserved_one():
    device = Device()
    connection = link(device)
    for _ in range(600):
        connection.infer(IMAGE)
    assert {frame.sequence for frame in device.requests} == set(range(255))


def test_gives_up_with_the_last_reason():
    with pytest.raises(LinkError, match="no answer to INFO in 3 attempts, the last time: nothing"):
        link(Device(script=["lost"] * 9), retries=2).info()
    with pytest.raises(LinkError, match="the last time: a damaged reply"):
        link(Device(script=["damaged"] * 9), retries=2).info()


@pytest.mark.parametrize("code", [ErrorCode.BAD_LENGTH, ErrorCode.UNKNOWN_TYPE])
def test_refusal_is_not_repeated(code):
    device = Device(script=["good", (code, True)])
    with pytest.raises(LinkError, match=f"scripted: the device refuses INFER: {code.name}$"):
        link(device).infer(IMAGE)
    assert len(device.requests) == 2


def test_not_ready_says_what_to_do():
    device = Device(script=["good", (ErrorCode.NOT_READY, True)])
    with pytest.raises(LinkError, match="NOT_READY; upload its memories first"):
        link(device).infer(IMAGE)


def test_reply_of_the_wrong_length():
    with pytest.raises(LinkError, match="the reply to INFO has 1 bytes, expected 20"):
        link(Device(script=["short"])).info()


def test_port_that_vanishes():
    with pytest.raises(LinkError, match="scripted: the port is gone"):
        link(Device(script=["good", "gone"])).infer(IMAGE)


def test_port_that_does_not_exist(tmp_path):
    with pytest.raises(LinkError, match="nowhere: cannot be opened"):
        Link(str(tmp_path / "nowhere"))


def test_other_protocol_version():
    other = Info(VERSION + 1, 0, 12, 0, 255, 3, 25, 0, True)
    with pytest.raises(LinkError, match=f"speaks protocol version {VERSION + 1}, this driver"):
        link(Device(other)).info()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (IMAGE[:5], "image: has 5 integers, the network 12"),
        (IMAGE + 250, r"image: has integers 0\.\.255, the network takes 0\.\.254"),
        (IMAGE.astype(np.int64) - 1, r"image: has integers -1\.\.10, the network takes 0\.\.254"),
        (IMAGE.astype(np.int64) + 244, r"image: has integers 244\.\.255"),
        (IMAGE / 255, "image: has dtype float64; the device takes raw integers"),
    ],
)
def test_unsuitable_images(image, message):
    device = Device(Info(VERSION, 0, 12, 0, 254, 3, 25, 0, True))
    with pytest.raises(DataError, match=message):
        link(device).infer(image)
    assert len(device.requests) == 1


def test_upload_in_pieces():
    device, data = Device(), bytes(range(100, 121))
    link(device).upload(1000, data)
    assert bytes(device.memory[1000 + k] for k in range(21)) == data
    assert [len(f.payload) - 4 for f in device.requests[1:]] == [8, 8, 5]


def test_upload_to_a_device_without_memory():
    device = Device(Info(VERSION, 0, 12, 0, 255, 3, 25, 0, True))
    with pytest.raises(LinkError, match="has no memory that could be written"):
        link(device).upload(0, b"abc")


def test_close():
    device = Device()
    with link(device):
        pass
    assert device.closed
