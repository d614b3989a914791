# SPDX-License-Identifier: BSD-2-Clause
"""Words of a memory that never waits, for a reader that does."""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ReadHold"]


class ReadHold(wiring.Component):
    """Makes of a memory that is read in every cycle one that is read when its reader advances.

    A clock enable that reaches every block of a large memory in the cycle in which a consumer says
    that it is ready is the slowest wire of a design. Here it reaches a small counter.

    ``fetched`` is the word whose address stood ``latency`` cycles before, ``word`` the one whose
    address stood ``latency`` advances before, in the same cycle.

    Parameters
    ----------
    width
        Bits of a word.
    latency
        Cycles from an address to its word, registers behind the memory included.

    Members
    -------
    advance : In(1)
    fetched : In(width), word : Out(width)
    """

    def __init__(self, width: int, *, latency: int):
        if width < 1 or latency < 1:
            raise ValueError(f"width and latency must be at least 1, not {width!r} and {latency!r}")
        self.width, self.latency = width, latency
        super().__init__({"advance": In(1), "fetched": In(width), "word": Out(width)})

    def elaborate(self, platform):
        m = Module()
        # Whether it advanced so many cycles ago; of each, a new word came ``latency`` later.
        advanced = self.advance
        for number in range(1, self.latency + 1):
            ago = Signal(name=f"advanced_{number}")
            m.d.sync += ago.eq(advanced)
            advanced = ago
        # The words that came before this one, the latest first.
        words = [self.fetched]
        for number in range(1, self.latency + 1):
            word = Signal(self.width, name=f"before_{number}", reset_less=True)
            with m.If(advanced):
                m.d.sync += word.eq(words[-1])
            words.append(word)
        # As many came too early as it did not advance in the last ``latency`` cycles. They are
        # counted along: to add them up would be too late.
        early = Signal(range(self.latency + 1), init=self.latency)
        m.d.sync += early.eq(early + advanced - self.advance)
        m.d.comb += self.word.eq(Array(words)[early])
        return m
