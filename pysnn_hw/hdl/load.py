# SPDX-License-Identifier: BSD-2-Clause
"""Fills memories that a bitstream cannot initialise, byte by byte, from the flash or the link.

All such memories share one space of byte addresses. A memory of ``depth`` words of ``parts``
16-bit parts takes a region whose size is a power of two and whose start is a multiple of it, so
an address is taken apart without arithmetic: the region, then the word, the part, the byte (low
byte first).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = [
    "LoadArbiter",
    "LoadDecoder",
    "Region",
    "contents",
    "load_layout",
    "place",
    "write_signature",
]

_WORD_BITS = 16


def load_layout(address_width: int) -> data.StructLayout:
    """Layout of a stream that fills memories: one byte at one byte address."""
    return data.StructLayout({"address": unsigned(address_width), "data": 8})


@dataclass(frozen=True)
class Region:
    """Where one memory lies in the space of addresses.

    Attributes
    ----------
    name
        Of the memory.
    depth, parts
        Words, and 16-bit parts of each.
    base
        First byte address, a multiple of `span`.
    """

    name: str
    depth: int
    parts: int
    base: int

    @property
    def part_bits(self) -> int:
        """Address bits that pick a part."""
        return (self.parts - 1).bit_length()

    @property
    def word_bits(self) -> int:
        """Address bits that pick a word."""
        return (self.depth - 1).bit_length()

    @property
    def span(self) -> int:
        """Bytes of the region, a power of two."""
        return 2 << (self.word_bits + self.part_bits)

    @property
    def end(self) -> int:
        """One past its last used byte."""
        return self.base + 2 * (((self.depth - 1) << self.part_bits) + self.parts)


def place(memories: Sequence[tuple[str, int, int]]) -> tuple[Region, ...]:
    """Regions of memories given as (name, depth, parts); largest first, so without gaps between."""
    regions: list[Region] = []
    base = 0
    for name, depth, parts in sorted(memories, key=lambda entry: -_region(entry, 0).span):
        regions.append(Region(name, depth, parts, base))
        base += regions[-1].span
    return tuple(regions)


def _region(entry: tuple[str, int, int], base: int) -> Region:
    name, depth, parts = entry
    return Region(name, depth, parts, base)


def contents(regions: Sequence[Region], words: Mapping[str, Sequence[int]]) -> bytes:
    """The bytes of all regions from address 0; unused ones are zero.

    Parameters
    ----------
    regions
        See `place`.
    words
        By name of the region, the 16-bit parts of all words in order (depth * parts).

    Raises
    ------
    ValueError
        If a memory has another number of parts.
    """
    image = bytearray(max(region.end for region in regions))
    for region in regions:
        values = words[region.name]
        if len(values) != region.depth * region.parts:
            raise ValueError(
                f"{region.name} takes {region.depth * region.parts} parts, not {len(values)}"
            )
        for index, value in enumerate(values):
            word, part = divmod(index, region.parts)
            address = region.base + 2 * ((word << region.part_bits) + part)
            image[address : address + 2] = value.to_bytes(2, "little")
    return bytes(image)


def write_signature(region: Region) -> wiring.Signature:
    """Writes 16 bits of one word of a memory."""
    return wiring.Signature(
        {
            "en": Out(1),
            "address": Out(unsigned(max(1, region.word_bits))),
            "part": Out(range(max(2, region.parts))),
            "data": Out(_WORD_BITS),
        }
    )


class LoadDecoder(wiring.Component):
    """Turns bytes into writes of the memories; takes a byte every cycle.

    The low byte of a pair is kept until the high byte comes, which must be the next one.

    Parameters
    ----------
    regions
        See `place`; at least one.

    Members
    -------
    i : In(stream.Signature(load_layout(address_width)))
    write_<k> : Out(write_signature(regions[k]))
    loaded : Out(1)
        The last used byte has been written since reset.
    """

    def __init__(self, regions: Sequence[Region]) -> None:
        if not regions:
            raise ValueError("there must be at least one region")
        self.regions = tuple(regions)
        self.length = max(region.end for region in regions)
        self.address_width = (self.length - 1).bit_length()
        super().__init__(
            {
                "i": In(stream.Signature(load_layout(self.address_width))),
                "loaded": Out(1),
                **{f"write_{k}": Out(write_signature(r)) for k, r in enumerate(self.regions)},
            }
        )

    def elaborate(self, platform):
        m = Module()
        address, byte = self.i.p.address, self.i.p.data
        low, high_comes = Signal(8), Signal()
        m.d.comb += [self.i.ready.eq(1), high_comes.eq(self.i.valid & address[0])]
        with m.If(self.i.valid & ~address[0]):
            m.d.sync += low.eq(byte)
        with m.If(self.i.valid & (address == self.length - 1)):
            m.d.sync += self.loaded.eq(1)
        for k, region in enumerate(self.regions):
            write = getattr(self, f"write_{k}")
            span_bits = region.span.bit_length() - 1
            first = 1 + region.part_bits
            hit = (address >> span_bits) == (region.base >> span_bits)
            # Registered: the decoder must not be part of the memories' address path.
            m.d.sync += [
                write.en.eq(high_comes & hit),
                write.data.eq(Cat(low, byte)),
                write.part.eq(address[1:first]),
                write.address.eq(address[first : first + region.word_bits]),
            ]
        return m


class LoadArbiter(wiring.Component):
    """Merges the bytes from the flash with those from the link, and knows when all are there.

    The flash goes first; the link is heard once ``flash_done`` or ``flash_error`` is set. It can
    write everything, in order of addresses: the byte at the last address completes it.

    Parameters
    ----------
    length
        Bytes of all memories together.
    flash
        Whether there is a flash to wait for.

    Members
    -------
    flash, link : In(stream.Signature(load_layout(address_width)))
    flash_done, flash_error : In(1)
    o : Out(stream.Signature(load_layout(address_width)))
    loaded : Out(1)
        Every byte has been written since reset.
    """

    def __init__(self, length: int, *, flash: bool = True) -> None:
        if length < 1:
            raise ValueError(f"length must be at least 1, not {length!r}")
        self.length, self.has_flash = length, flash
        self.address_width = max(1, (length - 1).bit_length())
        signature = stream.Signature(load_layout(self.address_width))
        super().__init__(
            {
                "flash": In(signature),
                "link": In(signature),
                "flash_done": In(1),
                "flash_error": In(1),
                "o": Out(signature),
                "loaded": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        with m.If(self.flash_done | self.flash_error | Const(not self.has_flash, 1)):
            wiring.connect(m, wiring.flipped(self.link), wiring.flipped(self.o))
        with m.Else():
            wiring.connect(m, wiring.flipped(self.flash), wiring.flipped(self.o))
        completed = Signal()
        with m.If(self.link.valid & self.link.ready & (self.link.p.address == self.length - 1)):
            m.d.sync += completed.eq(1)
        m.d.comb += self.loaded.eq(completed | self.flash_done)
        return m
