# SPDX-License-Identifier: BSD-2-Clause
"""Skid buffer: cuts the combinational path of ``ready``."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SkidBuffer"]


class SkidBuffer(wiring.Component):
    """Two registers in a row: ``i.ready`` does not depend on ``o.ready`` of the same cycle.

    One transfer per cycle, out `latency` cycles after in; the spare register takes the transfer
    that was under way when the consumer stopped.

    Parameters
    ----------
    shape
        Payload.

    Members
    -------
    i : In(stream.Signature(shape))
    o : Out(stream.Signature(shape))
    """

    latency = 1

    def __init__(self, shape):
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        leaving, spare = (Signal(self.shape, name=n, reset_less=True) for n in ("leaving", "spare"))
        waiting = Signal()
        m.d.comb += [self.i.ready.eq(~waiting), self.o.payload.eq(leaving)]
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += [
                self.o.valid.eq(waiting | self.i.valid),
                leaving.eq(Mux(waiting, spare, self.i.payload)),
                waiting.eq(0),
            ]
        with m.Elif(self.i.valid & ~waiting):
            m.d.sync += [spare.eq(self.i.payload), waiting.eq(1)]
        return m
