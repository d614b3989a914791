# SPDX-License-Identifier: BSD-2-Clause
"""What the link must know of the accelerator behind it and of the wire before it."""

from dataclasses import dataclass

from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import data

from pysnn_hw.hdl.events import value_shape
from pysnn_hw.hdl.link import protocol

__all__ = ["LinkParameters"]

_MAX_WRITE_BYTES = 1024


@dataclass(frozen=True)
class LinkParameters:
    """Parameters of `LinkTop`.

    Attributes
    ----------
    image_length
        Integers of one image.
    minimum, maximum
        Range of these integers, inclusive, within 16 bits.
    classes
        Scores of one result.
    divisor
        Clock cycles of one UART bit, 4 .. 65535.
    fingerprint
        32 bits that name the network.
    clock_mhz
        Clock of the accelerator in MHz, rounded; only told to the host.
    address_width
        Bits of an address on the ``boot`` stream; 0 leaves that stream out.
    score_bits
        Width of a score, at most 32.
    timeout_bytes
        Silence within a frame, in byte times of the UART, after which the frame is given up.
    """

    image_length: int
    minimum: int
    maximum: int
    classes: int
    divisor: int
    fingerprint: int = 0
    clock_mhz: int = 0
    address_width: int = 0
    score_bits: int = 32
    timeout_bytes: int = 2048

    def __post_init__(self) -> None:
        for name, low, high in (
            ("image_length", 1, 1 << 24),
            ("minimum", -(1 << 15), (1 << 15) - 1),
            ("maximum", self.minimum, (1 << 15) - 1),
            ("classes", 1, 1 << 12),
            ("divisor", 4, (1 << 16) - 1),
            ("fingerprint", 0, (1 << 32) - 1),
            ("clock_mhz", 0, (1 << 16) - 1),
            ("address_width", 0, 32),
            ("score_bits", 1, 32),
            ("timeout_bytes", 1, 1 << 16),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be in {low}..{high}, not {value!r}")

    @property
    def info(self) -> protocol.Info:
        """What the device tells of itself once its memories are loaded."""
        return protocol.Info(
            version=protocol.VERSION,
            fingerprint=self.fingerprint,
            image_length=self.image_length,
            minimum=self.minimum,
            maximum=self.maximum,
            classes=self.classes,
            clock_mhz=self.clock_mhz,
            write_bytes=self.write_bytes,
            loaded=True,
        )

    @property
    def write_bytes(self) -> int:
        """Largest number of bytes in one WRITE: as long as an image, within limits."""
        if not self.address_width:
            return 0
        return max(64, min(self.image_bytes - protocol.ADDRESS_BYTES, _MAX_WRITE_BYTES))

    @property
    def value_bytes(self) -> int:
        """Bytes of one integer of an image on the wire (1 or 2)."""
        return protocol.value_bytes(self.minimum, self.maximum)

    @property
    def image_bytes(self) -> int:
        """Payload bytes of an INFER request."""
        return self.image_length * self.value_bytes

    @property
    def max_request(self) -> int:
        """Bytes of the longest request, CRC included, before COBS."""
        write = protocol.ADDRESS_BYTES + self.write_bytes if self.address_width else 0
        return protocol.HEADER_BYTES + max(self.image_bytes, write) + protocol.CRC_BYTES

    @property
    def max_reply(self) -> int:
        """Bytes of the longest reply, CRC included, before COBS."""
        result = self.classes * protocol.SCORE_BYTES + protocol.RESULT_TAIL.size
        payload = max(result, protocol.Info.layout.size)
        return protocol.HEADER_BYTES + payload + protocol.CRC_BYTES

    @property
    def timeout_cycles(self) -> int:
        """`timeout_bytes` in clock cycles (ten bits a byte)."""
        return self.timeout_bytes * 10 * self.divisor

    @property
    def value_shape(self) -> Shape:
        """Shape of one integer of an image."""
        return value_shape((self.minimum, self.maximum))

    @property
    def image_layout(self) -> data.StructLayout:
        """Layout of the stream into the accelerator."""
        return data.StructLayout({"value": self.value_shape, "last": 1})

    @property
    def winner_shape(self) -> Shape:
        """Shape of a class index."""
        return unsigned(max(1, (self.classes - 1).bit_length()))

    @property
    def result_layout(self) -> data.StructLayout:
        """Layout of the stream out of the accelerator."""
        return data.StructLayout(
            {
                "score": signed(self.score_bits),
                "winner": self.winner_shape,
                "error": 1,
                "last": 1,
            }
        )

    @property
    def boot_layout(self) -> data.StructLayout:
        """Layout of the stream that loads memories: one byte at one byte address."""
        return data.StructLayout({"address": unsigned(self.address_width), "data": 8})
