# SPDX-License-Identifier: BSD-2-Clause
"""Event queue: the elastic joint between cores."""

from amaranth.hdl import Module, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.skid import SkidBuffer

__all__ = ["EventQueue"]


class EventQueue(wiring.Component):
    """First-in first-out queue of stream transfers.

    One transfer in and one out per cycle. A transfer leaves no earlier than `latency` cycles
    after it entered. The output's skid buffer keeps the slow clock-to-output of a block RAM off
    the logic behind it, and that logic's readiness off the queue's counters; the input's readiness
    is a register too (it looks one transfer ahead), so no combinational path leads through.

    Parameters
    ----------
    shape
        Payload.
    depth
        Transfers it has room for, at least 6; it stops taking a few short of that.

    Members
    -------
    i : In(stream.Signature(shape))
    o : Out(stream.Signature(shape))
    """

    latency = 3

    def __init__(self, shape, *, depth):
        if depth < 6:
            raise ValueError(f"depth must be at least 6, not {depth!r}")
        self.shape, self.depth = shape, depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        width = len(Value.cast(self.i.payload))
        # Its last entry is the memory's own output latch.
        m.submodules.fifo = queue = fifo.SyncFIFOBuffered(width=width, depth=self.depth - 1)
        m.submodules.skid = skid = SkidBuffer(self.shape)
        wiring.connect(m, skid.o, wiring.flipped(self.o))
        m.d.comb += [
            queue.w_data.eq(Value.cast(self.i.payload)),
            queue.w_en.eq(self.i.valid & self.i.ready),
            queue.r_en.eq(skid.i.ready),
            skid.i.valid.eq(queue.r_rdy),
            Value.cast(skid.i.payload).eq(queue.r_data),
        ]
        # One more may be on its way in: ready now promises a place after that one.
        m.d.sync += self.i.ready.eq(queue.level < self.depth - 3)
        return m
