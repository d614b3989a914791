# SPDX-License-Identifier: BSD-2-Clause
"""A memory with one read and one write port, cut into slices that fit a device's blocks."""

from typing import Any

from amaranth.hdl import Cat, Module, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.plan.memory import BLOCK_SHAPES, slice_width

__all__ = ["NO_CHECK", "BlockMemory"]

NO_CHECK = "no_rw_check"
"""Attribute of memories that need no comparison of addresses, see `synthesis_script`."""


class BlockMemory(wiring.Component):
    """``depth`` words of ``width`` bits, read one cycle after the address, or held.

    Each slice is one memory as deep as the whole and as wide as a single block allows at that
    depth, so no multiplexer stands behind the blocks. A word read in the cycle in which it is
    written comes out old.

    Parameters
    ----------
    depth, width
        Words and bits.
    family
        Device family, see `pysnn_hw.plan.memory`.
    init
        Contents of a ROM (unsigned words): with them there is no write port in the memory.
    style
        ``block``, ``distributed`` or ``logic``: the synthesis attribute.
    collides
        Whether it matters what is read in the cycle of a write to the same word. If not, synthesis
        is told so (`NO_CHECK`) and need not compare addresses where blocks give no old word.

    Members
    -------
    read_address : In(unsigned), read_enable : In(1), read_data : Out(width)
    write_address : In(unsigned), write_enable : In(1), write_data : In(width)
    """

    def __init__(
        self,
        depth: int,
        width: int,
        *,
        family: str,
        init=(),
        style: str = "block",
        collides: bool = True,
    ):
        if family not in BLOCK_SHAPES:
            raise ValueError(f"family must be one of {', '.join(BLOCK_SHAPES)}, not {family!r}")
        if depth < 1 or width < 1:
            raise ValueError(f"depth and width must be at least 1, not {depth} and {width}")
        self.depth, self.width, self.family, self.init = depth, width, family, tuple(init)
        self.style, self.collides = style, collides
        address = unsigned(max(1, (depth - 1).bit_length()))
        super().__init__(
            {
                "read_address": In(address),
                "read_enable": In(1),
                "read_data": Out(width),
                "write_address": In(address),
                "write_enable": In(1),
                "write_data": In(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Only blocks are worth cutting; a single word would have an address of no bits.
        depth = max(2, self.depth)
        step = slice_width(self.family, depth) if self.style == "block" else self.width
        attributes: dict[str, Any] = {"ram_style": self.style, "rom_style": self.style}
        if not self.collides:
            attributes[NO_CHECK] = 1
        pieces = []
        for number, first in enumerate(range(0, self.width, step)):
            bits = min(step, self.width - first)
            mask = (1 << bits) - 1
            piece = memory.Memory(
                shape=unsigned(bits),
                depth=depth,
                init=[word >> first & mask for word in self.init],
                attrs=attributes,
            )
            m.submodules[f"slice_{number}"] = piece
            read = piece.read_port()
            m.d.comb += [read.addr.eq(self.read_address), read.en.eq(self.read_enable)]
            if not self.init:
                write = piece.write_port()
                m.d.comb += [
                    write.addr.eq(self.write_address),
                    write.en.eq(self.write_enable),
                    write.data.eq(self.write_data[first : first + bits]),
                ]
            pieces.append(read.data)
        m.d.comb += self.read_data.eq(Cat(*pieces))
        return m
