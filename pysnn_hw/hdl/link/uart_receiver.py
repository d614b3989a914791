# SPDX-License-Identifier: BSD-2-Clause
"""UART pin to bytes."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import cdc, data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["UartReceiver", "received_byte"]

received_byte = data.StructLayout({"data": 8, "error": 1})
"""A byte from the wire; ``error``: it had no stop bit, or the byte before it was lost."""


class UartReceiver(wiring.Component):
    """Receives 8 data bits, no parity, one stop bit.

    The pin passes two flip-flops. A falling edge starts a byte; the start bit must still be low
    in its middle, else it was a glitch and is forgotten. Every bit is sampled once, in its middle.
    Without stop bit the byte is marked, and the line must go high before the next byte. A byte
    that is not taken before the next one is complete is lost, and that next one is marked.

    A byte is offered ``9.5 * divisor + 3`` cycles after the falling edge, give or take one.

    Parameters
    ----------
    divisor
        Clock cycles of one bit, 4 .. 65535.

    Members
    -------
    rx : In(1, init=1)
        The pin; not synchronous.
    o : Out(stream.Signature(received_byte))
    """

    def __init__(self, divisor: int) -> None:
        if not 4 <= divisor < 1 << 16:
            raise ValueError(f"divisor must be in 4..65535, not {divisor!r}")
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(received_byte))})

    def elaborate(self, platform):
        m = Module()
        rx = Signal(init=1)
        m.submodules.synchroniser = cdc.FFSynchronizer(self.rx, rx, init=1)

        # Counts down to the middle of the next bit. A one-hot marker falls out of the shift
        # register after the start bit and eight data bits, so no bit counter is needed.
        timer = Signal(range(self.divisor))
        shift = Signal(9)
        done = Signal()
        m.d.comb += done.eq(timer == 0)
        m.d.sync += timer.eq(timer - 1)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [timer.eq(self.divisor // 2 - 1), shift.eq(1 << 8)]
                with m.If(~rx):
                    m.next = "START"
            with m.State("START"):
                with m.If(done):
                    m.d.sync += timer.eq(self.divisor - 1)
                    m.next = "DATA"
                    with m.If(rx):
                        m.next = "IDLE"
            with m.State("DATA"):
                with m.If(done):
                    m.d.sync += [timer.eq(self.divisor - 1), shift.eq(Cat(shift[1:], rx))]
                    with m.If(shift[1]):
                        m.next = "STOP"
            with m.State("STOP"):
                with m.If(done):
                    m.d.sync += [
                        self.o.valid.eq(1),
                        self.o.p.data.eq(shift[1:]),
                        self.o.p.error.eq(~rx | (self.o.valid & ~self.o.ready)),
                    ]
                    m.next = "IDLE"
                    with m.If(~rx):
                        m.next = "BREAK"
            with m.State("BREAK"):
                with m.If(rx):
                    m.next = "IDLE"
        return m
