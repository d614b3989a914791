# SPDX-License-Identifier: BSD-2-Clause
"""Words of a memory that never waits, for a reader that does."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ReadHold"]


class ReadHold(wiring.Component):
    """Makes of a memory that is read in every cycle one that is read when its reader advances.

    A clock enable that reaches every block of a large memory in the cycle in which a consumer says
    that it is ready is the slowest wire of a design. Here only two registers of a word see it.

    ``fetched`` is the word whose address stood two cycles before, ``word`` the one whose address
    stood two advances before.

    Members
    -------
    advance : In(1)
    fetched : In(width), word : Out(width)
    """

    def __init__(self, width: int):
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width!r}")
        self.width = width
        super().__init__({"advance": In(1), "fetched": In(width), "word": Out(width)})

    def elaborate(self, platform):
        m = Module()
        advanced, earlier = Signal(), Signal()  # one and two cycles ago
        m.d.sync += [advanced.eq(self.advance), earlier.eq(advanced)]
        # Words of the last two advances, if they came before this cycle. A word that just came is
        # chosen by the last multiplexer before each register: it is late.
        older, newer = (Signal(self.width, name=n, reset_less=True) for n in ("older", "newer"))
        m.d.comb += self.word.eq(Mux(advanced & earlier, self.fetched, older))
        with m.If(earlier):
            m.d.sync += newer.eq(self.fetched)
        with m.If(earlier & (advanced | self.advance)):
            m.d.sync += older.eq(self.fetched)
        with m.Elif(self.advance):
            m.d.sync += older.eq(newer)
        return m
