# SPDX-License-Identifier: BSD-2-Clause
"""Collects the events of a population from outside into words of the spike memory."""

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import EventKind, coordinate_shape, event_layout
from pysnn_hw.hdl.fire import select
from pysnn_hw.ir.snn import Shape
from pysnn_hw.plan.layers import COPIES

__all__ = ["Collector"]


class Collector(wiring.Component):
    """Writes every word of a map once per timestep, in order, silent ones too.

    Events must come in ascending order of (y, x, channel) inside a timestep, as cores send them.
    The steps of an image follow each other in the memory, and those of the next image lie behind;
    then it begins again at the base. An image is begun only while ``free``. Stages: *take* (an
    event, and the number of its word), *place*. A word that is not written yet holds events up:
    one in *place*, one set aside, so that ``i.ready`` is a register.

    Parameters
    ----------
    shape
        (channels, height, width) of the map.
    value_range
        Smallest and largest spike.
    lanes
        Spikes per word; divides the channels.
    bits
        Of a spike in the memory.
    base, depth
        Where its words lie, in a memory of so many.
    timesteps
        Steps of an image.

    Members
    -------
    i : In(stream.Signature(event_layout))
    free : In(1)
        There is room for another image.
    filled : Out(1)
        For a cycle: all of an image has been written.
    write : Out(stream.Signature({address, word, some}))
        ``some``: an event has been placed in the word.
    """

    def __init__(
        self,
        shape: Shape,
        value_range: tuple[int, int],
        *,
        lanes: int,
        bits: int,
        base: int,
        depth: int,
        timesteps: int,
    ):
        channels, height, width = shape
        if channels % lanes:
            raise ValueError(f"lanes must divide the {channels} channels, not be {lanes!r}")
        self.shape, self.lanes, self.bits, self.base = shape, lanes, bits, base
        self.words = channels // lanes * height * width
        self.end = base + COPIES * timesteps * self.words
        if self.end > depth:
            raise ValueError(f"words up to {self.end} do not fit a memory of {depth}")
        super().__init__(
            {
                "i": In(stream.Signature(event_layout(shape, value_range))),
                "free": In(1),
                "filled": Out(1),
                "write": Out(
                    stream.Signature(
                        data.StructLayout(
                            {
                                "address": coordinate_shape(depth),
                                "word": data.ArrayLayout(unsigned(bits), lanes),
                                "some": 1,
                            }
                        )
                    )
                ),
            }
        )

    def elaborate(self, platform):
        m = Module()
        channels, height, width = self.shape
        groups = channels // self.lanes
        number = coordinate_shape(self.words)

        def table(values, index):
            return select(np.array(values), index, coordinate_shape(max(values) + 1))

        # Stage "take".
        taken, take = Signal(), Signal()
        kind, value = Signal(EventKind, reset_less=True), Signal(self.bits, reset_less=True)
        lane = Signal(coordinate_shape(self.lanes), reset_less=True)
        word_number = Signal(number, reset_less=True)
        aside, waiting = Signal(self.i.p.shape(), reset_less=True), Signal()
        event = Signal(self.i.p.shape())
        m.d.comb += [
            self.i.ready.eq(~waiting),
            event.eq(Mux(waiting, aside, self.i.p)),
        ]
        row = table([y * width * groups for y in range(height)], event.y)
        column = table([x * groups for x in range(width)], event.x)
        with m.If(~taken | take):
            m.d.sync += [
                waiting.eq(0),
                taken.eq(waiting | self.i.valid),
                kind.eq(event.kind),
                value.eq(event.value),
                lane.eq(table([c % self.lanes for c in range(channels)], event.c)),
                word_number.eq(
                    row + column + table([c // self.lanes for c in range(channels)], event.c)
                ),
            ]
        with m.Elif(self.i.valid & ~waiting):
            m.d.sync += [waiting.eq(1), aside.eq(self.i.p)]

        # Stage "place": the word being filled, and its address.
        at, address = Signal(number), Signal(self.write.p.address.shape(), init=self.base)
        # A fresh word holds nothing yet, whatever stands in its register from the one before.
        word, fresh = Signal.like(self.write.p.word, reset_less=True), Signal(init=1)
        begun, marker = Signal(), Signal()
        here, last = Signal(), Signal()
        m.d.comb += [
            marker.eq(kind != EventKind.SPIKE),
            here.eq(~marker & (word_number == at)),
            last.eq(at == self.words - 1),
            self.write.valid.eq(taken & (begun | self.free) & ~here),
            self.write.p.address.eq(address),
            Value.cast(self.write.p.word).eq(Mux(fresh, 0, Value.cast(word))),
            self.write.p.some.eq(~fresh),
        ]
        with m.If(taken & (begun | self.free)):
            m.d.sync += begun.eq(1)
        with m.If(taken & here & (begun | self.free)):
            m.d.comb += take.eq(1)
            m.d.sync += fresh.eq(0)
            for p in range(self.lanes):
                with m.If((lane == p) | fresh):
                    m.d.sync += word[p].eq(Mux(lane == p, value, 0))
        with m.If(self.write.valid & self.write.ready):
            m.d.sync += [
                fresh.eq(1),
                address.eq(Mux(address == self.end - 1, self.base, address + 1)),
                at.eq(Mux(last, 0, at + 1)),
            ]
            with m.If(last):
                m.d.comb += [take.eq(1), self.filled.eq(kind == EventKind.INFERENCE)]
                with m.If(kind == EventKind.INFERENCE):
                    m.d.sync += begun.eq(0)
        return m
