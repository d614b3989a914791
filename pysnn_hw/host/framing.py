# SPDX-License-Identifier: BSD-2-Clause
"""Frames of the link as bytes on the wire, and back; docs/link.md describes them."""

from __future__ import annotations

import binascii
from dataclasses import dataclass

from cobs import cobs

from pysnn_hw.hdl.link.protocol import CRC_BYTES, HEADER_BYTES

DELIMITER = b"\x00"
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Frame:
    """A frame without its checksum."""

    type: int
    sequence: int
    payload: bytes = b""


@dataclass(frozen=True)
class BadFrame:
    """Bytes between two delimiters that are no frame."""

    raw: bytes
    problem: str


def checksum(data: bytes) -> bytes:
    """CRC-16 (CCITT, initially all ones), high byte first."""
    return binascii.crc_hqx(data, 0xFFFF).to_bytes(CRC_BYTES, "big")


def encode(frame: Frame) -> bytes:
    """The frame between two delimiters.

    The first one costs a byte and buys that whatever garbage came before does not take this
    frame with it.
    """
    content = bytes([frame.type, frame.sequence]) + frame.payload
    encoded: bytes = cobs.encode(content + checksum(content))
    return DELIMITER + encoded + DELIMITER


def decode(raw: bytes) -> Frame | BadFrame:
    """The frame in the bytes between two delimiters."""
    try:
        content: bytes = cobs.decode(raw)
    except cobs.DecodeError as error:
        return BadFrame(raw, str(error))
    if len(content) < HEADER_BYTES + CRC_BYTES:
        return BadFrame(raw, "too short")
    body, crc = content[:-CRC_BYTES], content[-CRC_BYTES:]
    if crc != checksum(body):
        return BadFrame(raw, "bad checksum")
    return Frame(body[0], body[1], body[HEADER_BYTES:])


class Deframer:
    """Finds frames in bytes that arrive piece by piece."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Frame | BadFrame]:
        """Add bytes; return what they complete, in order."""
        self._pending += data
        *complete, rest = self._pending.split(DELIMITER)
        # Without any delimiter this is no frame of ours: keep the memory bounded.
        self._pending = rest[-_LONGEST:]
        return [decode(bytes(raw)) for raw in complete if raw]

    def clear(self) -> None:
        """Forget an incomplete frame."""
        self._pending.clear()
