# SPDX-License-Identifier: BSD-2-Clause
"""Constants in logic: words that are too few for block RAM, or that logic is to spare for."""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.plan.memory import Family

__all__ = ["LogicRom"]


class LogicRom(wiring.Component):
    """Read-only words in look-up tables.

    ``data`` belongs to the ``address`` of `latency` cycles before. Stages: *read* (in each row),
    *choose* (between rows).

    Parameters
    ----------
    words
        Unsigned integers.
    width
        Their bits.
    family
        Device family.
    row
        Words of a row. Few make the first stage fast, a four-input table per bit with 16; many
        share what they have in common.

    Members
    -------
    address : In(unsigned), data : Out(width)
    """

    latency = 2

    def __init__(self, words: list[int], width: int, *, family: Family, row: int = 16):
        if not words or min(words) < 0 or max(words) >> width:
            raise ValueError(f"words must be there and fit {width} bits")
        if row < 2 or row & (row - 1):
            raise ValueError(f"row must be a power of two from 2 on, not {row!r}")
        self.words, self.width, self.family, self.row = words, width, family, row
        address = max(1, (len(words) - 1).bit_length())
        super().__init__({"address": In(address), "data": Out(width)})

    def elaborate(self, platform):
        m = Module()
        inner = (self.row - 1).bit_length()
        found = []
        for number, first in enumerate(range(0, len(self.words), self.row)):
            words = self.words[first : first + self.row]
            row = BlockMemory(len(words), self.width, family=self.family, init=words, style="logic")
            m.submodules[f"row_{number}"] = row
            m.d.comb += [row.read_address.eq(self.address[:inner]), row.read_enable.eq(1)]
            found.append(row.read_data)
        chosen = Signal(max(1, len(self.address[inner:])), reset_less=True)
        found_word = Signal(self.width, reset_less=True)
        m.d.comb += self.data.eq(found_word)
        m.d.sync += [
            chosen.eq(self.address[inner:]),
            found_word.eq(Array(found)[chosen] if len(found) > 1 else found[0]),
        ]
        return m
