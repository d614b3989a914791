# SPDX-License-Identifier: BSD-2-Clause
"""An accelerator with AXI4-Stream ports, for use inside a larger system."""

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AxiStreamTop"]


class AxiStreamTop(wiring.Component):
    """Gives the streams of an accelerator the names and widths of AXI4-Stream.

    One transfer per raw integer (or address-event) in, one per class out. Purely combinational:
    latency and throughput are those of the accelerator.

    Parameters
    ----------
    accelerator
        A component with the streams ``i`` ({value, last}, or events) and ``o`` ({score, winner,
        error, last}) of docs/architecture.md.

    Members
    -------
    s_axis_tdata : In(8 * k)
        One integer in two's complement, in its low bits; ``k`` bytes, as few as hold it. The
        bits above are not looked at. For an input of events one event, its fields side by side
        from bit 0: kind, y, x, c, value.
    s_axis_tlast : In(1)
        The final integer of an image. Not looked at for events: their markers say so.
    m_axis_tdata : Out(32)
        One score, signed.
    m_axis_tuser : Out(1 + winner bits)
        Bit 0: error; above it the winning class. Valid with ``tlast``.
    m_axis_tlast : Out(1)
        The last score of an image.
    s_axis_tvalid, s_axis_tready, m_axis_tvalid, m_axis_tready
        Handshakes.
    """

    def __init__(self, accelerator: wiring.Component) -> None:
        self.accelerator = accelerator
        fields = accelerator.i.p.shape()
        self.events = "last" not in dict(fields)
        data_bytes = -(-(fields.size if self.events else len(accelerator.i.p.value)) // 8)
        super().__init__(
            {
                "s_axis_tdata": In(8 * data_bytes),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(32),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
                "m_axis_tuser": Out(1 + len(accelerator.o.p.winner)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator = accelerator = self.accelerator
        i, o = accelerator.i, accelerator.o
        if self.events:
            m.d.comb += i.p.as_value().eq(self.s_axis_tdata)
        else:
            m.d.comb += [i.p.value.eq(self.s_axis_tdata), i.p.last.eq(self.s_axis_tlast)]
        m.d.comb += [
            i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(i.ready),
            self.m_axis_tdata.eq(o.p.score),
            self.m_axis_tlast.eq(o.p.last),
            self.m_axis_tuser.eq(Cat(o.p.error, o.p.winner)),
            self.m_axis_tvalid.eq(o.valid),
            o.ready.eq(self.m_axis_tready),
        ]
        return m
