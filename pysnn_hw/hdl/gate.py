# SPDX-License-Identifier: BSD-2-Clause
"""Stream gate: lets a testbench hold up a stream inside a design."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["StreamGate"]


class StreamGate(wiring.Component):
    """Passes a stream on, but begins no new offer while ``pause`` is high.

    Combinational: without pauses it costs no cycle. An offer once made stands until it is taken,
    whatever ``pause`` does.

    Parameters
    ----------
    shape
        Payload.

    Members
    -------
    i : In(stream.Signature(shape))
    o : Out(stream.Signature(shape))
    pause : In(1)
    """

    def __init__(self, shape):
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "pause": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        offered, passing = Signal(), Signal()
        m.d.sync += offered.eq(self.o.valid & ~self.o.ready)
        m.d.comb += [
            passing.eq(offered | ~self.pause),
            self.o.valid.eq(self.i.valid & passing),
            self.o.payload.eq(self.i.payload),
            self.i.ready.eq(self.o.ready & passing),
        ]
        return m
