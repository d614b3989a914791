# SPDX-License-Identifier: BSD-2-Clause
"""The registers of an accelerator with an AXI4-Lite port."""

from dataclasses import dataclass

__all__ = ["ADDRESS_BITS", "IDENTIFICATION", "REGISTERS", "VERSION", "Register", "offset_of"]

IDENTIFICATION = int.from_bytes(b"pSNN", "big")
"""What the first register holds."""

VERSION = 1
"""Of the registers and of the packets (`pysnn_hw.hdl.axi_packets`)."""

ADDRESS_BITS = 12
"""Of a byte address: the smallest page that a processor maps."""


@dataclass(frozen=True)
class Register:
    """A word of 32 bits.

    Attributes
    ----------
    name
        In capitals.
    offset
        Bytes from the base address.
    description
        What it says.
    writable
        Whether a write does anything.
    """

    name: str
    offset: int
    description: str
    writable: bool = False


REGISTERS = (
    Register("IDENTIFICATION", 0x00, "pSNN in ASCII, first letter in the highest byte"),
    Register("VERSION", 0x04, "version of these registers and of the packets"),
    Register("FINGERPRINT", 0x08, "checksum of the network, tells one from another"),
    Register("CONTROL", 0x0C, "bit 0: written 1 resets all but this port; reads 1 meanwhile", True),
    Register("STATUS", 0x10, "bit 0: images are inside; bit 1: an image was malformed"),
    Register("LENGTH", 0x14, "integers of an image; 0 for an input of events"),
    Register("MINIMUM", 0x18, "smallest integer of an image, signed"),
    Register("MAXIMUM", 0x1C, "largest integer of an image, signed"),
    Register("CLASSES", 0x20, "scores of an image"),
    Register("IMAGES", 0x24, "images whose result has left since the last reset"),
    Register("ERRORS", 0x28, "malformed ones of them"),
    Register("CYCLES", 0x2C, "clock cycles from the first integer of an image to its last score"),
    Register("BUSY", 0x30, "clock cycles with an image inside since the last reset"),
)
"""In the order of their offsets; other addresses read zero."""


def offset_of(name: str) -> int:
    """Byte offset of a register.

    Raises
    ------
    KeyError
        If there is none of that name.
    """
    return {register.name: register.offset for register in REGISTERS}[name]
