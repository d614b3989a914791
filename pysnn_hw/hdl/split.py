# SPDX-License-Identifier: BSD-2-Clause
"""Splits graded events into powers of two, for lanes that shift instead of multiply."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import EventKind, event_layout
from pysnn_hw.ir.snn import Shape as MapShape

__all__ = ["BitSplitter"]


class BitSplitter(wiring.Component):
    """Sends an event once per set bit of its value, lowest bit first; markers pass.

    One transfer out per cycle, no bubble between events; an event comes out one cycle after it
    went in.

    Parameters
    ----------
    shape, value_range
        Of the events; values must not be negative.

    Members
    -------
    i : In(stream.Signature(event_layout(shape, value_range)))
    o : Out(stream.Signature(event_layout(shape, value_range)))
    """

    latency = 1

    def __init__(self, shape: MapShape, value_range: tuple[int, int]):
        if value_range[0] < 0:
            raise ValueError(f"values must not be negative, not {value_range!r}")
        self.event = event_layout(shape, value_range)
        super().__init__(
            {"i": In(stream.Signature(self.event)), "o": Out(stream.Signature(self.event))}
        )

    def elaborate(self, platform):
        m = Module()
        held, valid = Signal(self.event), Signal()
        lowest, rest = Signal.like(held.value), Signal.like(held.value)
        m.d.comb += [
            lowest.eq(held.value & -held.value),
            rest.eq(held.value & (held.value - 1)),
            self.o.valid.eq(valid),
            self.o.payload.eq(held),
            self.o.payload.value.eq(lowest),
        ]
        done = Signal()
        m.d.comb += [
            done.eq((rest == 0) | (held.kind != EventKind.SPIKE)),
            self.i.ready.eq(~valid | (self.o.ready & done)),
        ]
        with m.If(self.i.ready):
            m.d.sync += [valid.eq(self.i.valid), held.eq(self.i.payload)]
        with m.Elif(self.o.ready):
            m.d.sync += held.value.eq(rest)
        return m
