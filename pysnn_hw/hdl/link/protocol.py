# SPDX-License-Identifier: BSD-2-Clause
"""Numbers of the link protocol that hardware and host share; docs/link.md tells their meaning.

A frame is ``type, sequence, payload, CRC`` in COBS between zero bytes. Multi-byte integers are
little endian, the CRC alone is big endian (which makes its residue zero).
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from enum import IntEnum
from typing import ClassVar

VERSION = 1
"""Protocol version; a change of any number or layout here raises it."""

NO_SEQUENCE = 0xFF
"""Sequence number of an error reply to a frame whose own cannot be trusted; hosts use 0..254."""

REPLY = 0x80
"""Set in the type of a reply to a request of the same type."""

HEADER_BYTES = 2
CRC_BYTES = 2
ADDRESS_BYTES = 4
SCORE_BYTES = 4


class Request(IntEnum):
    """Types of frames from the host."""

    INFO = 0x01
    INFER = 0x02
    WRITE = 0x03


ERROR_REPLY = 0xFF
"""Type of an error reply; its payload is ``code, count``."""


class ErrorCode(IntEnum):
    """What was wrong with a frame."""

    BAD_CRC = 1
    """The checksum does not match."""
    MALFORMED = 2
    """Not valid COBS, or a byte without stop bit."""
    TOO_LONG = 3
    """More bytes than any request has."""
    TIMEOUT = 4
    """Silence in the middle of the frame."""
    BUSY = 5
    """A good frame that found no room; send it again."""
    BAD_LENGTH = 6
    """A good checksum, but not the length that this type of request has."""
    UNKNOWN_TYPE = 7
    """A good frame of a type that this device does not know."""
    NOT_READY = 8
    """Inference before the memories are loaded."""
    SEVERAL = 9
    """More bad frames than could be reported one by one."""


@dataclass(frozen=True)
class Info:
    """Payload of the reply to INFO.

    Attributes
    ----------
    version
        Protocol version.
    fingerprint
        32 bits that name the network.
    image_length
        Integers of one image.
    minimum, maximum
        Range of these integers, inclusive. Each is sent in one byte if all of the range fits in
        one signed or unsigned byte, else in two.
    classes
        Scores of one result.
    clock_mhz
        Clock of the accelerator in MHz, rounded.
    write_bytes
        Largest number of bytes in one WRITE; 0 if there is nothing to write.
    loaded
        Whether all memories have been written, so that images can be sent.
    """

    layout: ClassVar[struct.Struct] = struct.Struct("<BIIhhHHHB")

    version: int
    fingerprint: int
    image_length: int
    minimum: int
    maximum: int
    classes: int
    clock_mhz: int
    write_bytes: int
    loaded: bool

    def pack(self) -> bytes:
        """The payload."""
        return self.layout.pack(*astuple(self))

    @classmethod
    def unpack(cls, payload: bytes) -> Info:
        """The inverse of `pack`.

        Raises
        ------
        struct.error
            If the length is wrong.
        """
        *numbers, loaded = cls.layout.unpack(payload)
        values = [*numbers, bool(loaded)]
        return cls(*values)

    @property
    def value_bytes(self) -> int:
        """Bytes of one integer of an image in an INFER request (1 or 2)."""
        return value_bytes(self.minimum, self.maximum)


def value_bytes(minimum: int, maximum: int) -> int:
    """Bytes of one integer on the wire (1 or 2)."""
    return 1 if (minimum >= 0 and maximum < 256) or (minimum >= -128 and maximum < 128) else 2


RESULT_TAIL = struct.Struct("<HBI")
"""What follows the scores in the reply to INFER: class, error flag, cycles."""
