# SPDX-License-Identifier: BSD-2-Clause
"""Copies the contents of memories that a bitstream cannot initialise from the SPI flash.

A boot image is ``magic, length, data, CRC``: four bytes `MAGIC`, the number of data bytes and the
CRC-32/MPEG-2 over the length and the data, both big endian.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.load import load_layout

__all__ = ["MAGIC", "FlashBoot", "boot_image"]

MAGIC = b"pSNN"
_HEADER_BYTES = 8
_CRC_BYTES = 4

_RELEASE_POWER_DOWN = 0xAB
_READ = 0x03


def boot_image(contents: bytes) -> bytes:
    """``contents`` as they must lie in the flash."""
    checked = len(contents).to_bytes(4, "big") + contents
    crc = catalog.CRC32_MPEG_2(data_width=8).compute(checked)
    image: bytes = MAGIC + checked + crc.to_bytes(_CRC_BYTES, "big")
    return image


class FlashBoot(wiring.Component):
    """Copies the boot image from an SPI flash to a stream, once after reset.

    The flash is woken first: the configuration logic may have left it in power-down. Data bytes
    go out before the checksum has been seen; after a mismatch the whole image is read again, up
    to ``attempts`` times. The SPI clock is half the clock of the domain and stands still while
    ``o`` waits.

    Parameters
    ----------
    offset
        Byte address of the image in the flash, below 2**24.
    length
        Data bytes that the image must hold, at least 1.
    wake_cycles
        Cycles from the wake-up command to the first read; flashes need up to 35 microseconds.
    attempts
        How often to try, at least 1.

    Members
    -------
    cs : Out(1)
        Chip select, active high here; the board's pin is inverted.
    clk, mosi : Out(1)
    miso : In(1)
    o : Out(stream.Signature(load_layout(address_width)))
        The data bytes in order, from address 0.
    done : Out(1)
        All bytes have been sent and the checksum was right.
    error : Out(1)
        Every attempt found another magic number, length or checksum.
    """

    def __init__(self, offset: int, length: int, *, wake_cycles: int, attempts: int = 3) -> None:
        if not 0 <= offset < 1 << 24:
            raise ValueError(f"offset must be in 0..{(1 << 24) - 1}, not {offset!r}")
        if not 1 <= length < 1 << 24:
            raise ValueError(f"length must be in 1..{(1 << 24) - 1}, not {length!r}")
        if wake_cycles < 1 or attempts < 1:
            raise ValueError("wake_cycles and attempts must be at least 1")
        self.offset, self.length = offset, length
        self.wake_cycles, self.attempts = wake_cycles, attempts
        self.address_width = max(1, (length - 1).bit_length())
        super().__init__(
            {
                "cs": Out(1),
                "clk": Out(1),
                "mosi": Out(1),
                "miso": In(1),
                "o": Out(stream.Signature(load_layout(self.address_width))),
                "done": Out(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = catalog.CRC32_MPEG_2(data_width=1).create()

        # One bit takes two cycles: clock low (the flash presents a bit), then high (both sides
        # take one). `step` marks the second, in which `incoming` is the bit from the flash.
        shifting, step = Signal(), Signal()
        m.d.comb += step.eq(shifting & ~self.clk)
        m.d.sync += self.clk.eq(step)
        outgoing = Signal(32)
        m.d.comb += self.mosi.eq(outgoing[-1])
        with m.If(self.clk):
            m.d.sync += outgoing.eq(outgoing << 1)

        position = Signal(range(max(self.wake_cycles, 32)))  # bits sent or cycles waited
        bit = Signal(3)
        received = Signal(7)
        byte = Signal(8)
        m.d.comb += [byte.eq(Cat(self.miso, received)), crc.data.eq(self.miso)]
        with m.If(step):
            m.d.sync += received.eq(byte)

        left = Signal(range(max(self.length, _HEADER_BYTES)))  # further bytes of this field
        header = MAGIC + self.length.to_bytes(4, "big")
        expected = Signal(8)
        wrong = Signal()
        with m.Switch(left):
            for index, value in enumerate(reversed(header)):
                with m.Case(index):
                    m.d.comb += expected.eq(value)
        attempt = Signal(range(self.attempts))
        address = Signal(self.address_width)
        m.d.comb += self.o.p.address.eq(address)
        last_bit = step & (bit == 7)

        with m.FSM():
            with m.State("START"):
                m.d.sync += [
                    self.cs.eq(1),
                    outgoing.eq(_RELEASE_POWER_DOWN << 24),
                    position.eq(8 - 1),
                ]
                m.next = "WAKE"
            with m.State("WAKE"):
                m.d.comb += shifting.eq(1)
                with m.If(step):
                    m.d.sync += position.eq(position - 1)
                    with m.If(position == 0):
                        m.d.sync += position.eq(self.wake_cycles - 1)
                        m.next = "SLEEP"
            with m.State("SLEEP"):
                m.d.sync += [self.cs.eq(0), position.eq(position - 1)]
                with m.If(position == 0):
                    m.next = "SELECT"
            with m.State("SELECT"):
                m.d.sync += [
                    self.cs.eq(1),
                    outgoing.eq((_READ << 24) | self.offset),
                    position.eq(32 - 1),
                ]
                m.next = "COMMAND"
            with m.State("COMMAND"):
                m.d.comb += shifting.eq(1)
                with m.If(step):
                    m.d.sync += position.eq(position - 1)
                    with m.If(position == 0):
                        m.d.sync += [
                            bit.eq(0),
                            left.eq(_HEADER_BYTES - 1),
                            wrong.eq(0),
                            address.eq(0),
                        ]
                        m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [
                    shifting.eq(1),
                    crc.start.eq(left >= 4),
                    crc.valid.eq(step & (left < 4)),
                ]
                with m.If(step):
                    m.d.sync += bit.eq(bit + 1)
                with m.If(last_bit):
                    m.d.sync += [left.eq(left - 1), wrong.eq(wrong | (byte != expected))]
                    with m.If(left == 0):
                        m.d.sync += left.eq(self.length - 1)
                        m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += [shifting.eq(~self.o.valid | self.o.ready), crc.valid.eq(step)]
                with m.If(self.o.valid & self.o.ready):
                    m.d.sync += [self.o.valid.eq(0), address.eq(address + 1)]
                with m.If(wrong):
                    m.next = "AGAIN"
                with m.Elif(step):
                    m.d.sync += bit.eq(bit + 1)
                    with m.If(bit == 7):
                        m.d.sync += [self.o.p.data.eq(byte), self.o.valid.eq(1), left.eq(left - 1)]
                        with m.If(left == 0):
                            m.d.sync += left.eq(_CRC_BYTES - 1)
                            m.next = "CHECKSUM"
            with m.State("CHECKSUM"):
                m.d.comb += [shifting.eq(~self.o.valid | self.o.ready), crc.valid.eq(step)]
                with m.If(self.o.ready):
                    m.d.sync += self.o.valid.eq(0)
                with m.If(step):
                    m.d.sync += bit.eq(bit + 1)
                with m.If(last_bit):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 0):
                        m.next = "VERIFY"
            with m.State("VERIFY"):
                with m.If(crc.match_detected):
                    m.d.sync += [self.cs.eq(0), self.done.eq(1)]
                    m.next = "END"
                with m.Else():
                    m.next = "AGAIN"
            with m.State("AGAIN"):
                m.d.sync += [
                    self.cs.eq(0),
                    attempt.eq(attempt + 1),
                    position.eq(self.wake_cycles - 1),
                ]
                with m.If(attempt == self.attempts - 1):
                    m.d.sync += self.error.eq(1)
                    m.next = "END"
                with m.Else():
                    m.next = "SLEEP"
            with m.State("END"):
                m.d.sync += self.cs.eq(0)
        return m
