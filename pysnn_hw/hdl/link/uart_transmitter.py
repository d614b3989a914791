# SPDX-License-Identifier: BSD-2-Clause
"""Bytes to UART pin."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["UartTransmitter"]


class UartTransmitter(wiring.Component):
    """Sends 8 data bits, no parity, one stop bit.

    The start bit begins in the cycle after a byte is taken; the next byte is taken in the last
    cycle of the stop bit, so bytes follow each other every ``10 * divisor`` cycles.

    Parameters
    ----------
    divisor
        Clock cycles of one bit, 4 .. 65535.

    Members
    -------
    i : In(stream.Signature(8))
    tx : Out(1, init=1)
        The pin, straight from a flip-flop.
    """

    def __init__(self, divisor: int) -> None:
        if not 4 <= divisor < 1 << 16:
            raise ValueError(f"divisor must be in 4..65535, not {divisor!r}")
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        # Zeros shift in behind the stop bit, so that bit alone is left while it is on the wire.
        shift = Signal(10, init=1)
        timer = Signal(range(self.divisor))
        done, last = Signal(), Signal()
        m.d.comb += [
            done.eq(timer == 0),
            last.eq(shift[1:] == 0),
            self.i.ready.eq(done & last),
        ]
        m.d.comb += self.tx.eq(shift[0])
        with m.If(done):
            with m.If(last):
                with m.If(self.i.valid):
                    m.d.sync += [
                        shift.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1))),
                        timer.eq(self.divisor - 1),
                    ]
            with m.Else():
                m.d.sync += [shift.eq(shift >> 1), timer.eq(self.divisor - 1)]
        with m.Else():
            m.d.sync += timer.eq(timer - 1)
        return m
