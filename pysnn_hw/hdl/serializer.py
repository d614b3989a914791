# SPDX-License-Identifier: BSD-2-Clause
"""Turns words (P channels of one position) into events, one per non-zero value."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import EventKind, coordinate_shape, event_layout, value_shape
from pysnn_hw.ir.snn import Shape as MapShape

__all__ = ["Serializer", "word_layout"]


def word_layout(
    shape: MapShape, lanes: int, value_range: tuple[int, int], flags: tuple[str, ...] = ()
) -> data.StructLayout:
    """Layout of a word: ``lanes`` values of one position of a map of ``shape`` (C, H, W).

    Lane p of ``group`` is channel ``group * lanes + p``. In a marker all fields but ``kind`` are
    zero. ``flags`` names single bits that travel along.
    """
    channels, height, width = shape
    if lanes < 1 or channels % lanes:
        raise ValueError(f"lanes must divide the {channels} channels, not be {lanes!r}")
    return data.StructLayout(
        {
            "kind": EventKind,
            "y": coordinate_shape(height),
            "x": coordinate_shape(width),
            "group": coordinate_shape(channels // lanes),
            "values": data.ArrayLayout(value_shape(value_range), lanes),
            **dict.fromkeys(flags, Shape(1)),
        }
    )


class Serializer(wiring.Component):
    """Sends the non-zero values of each word as events, in ascending channel order.

    One event per cycle; a word takes as many cycles as it has non-zero values, a marker one, and
    the next word follows without a bubble. A word without any non-zero value yields nothing but
    costs a cycle.

    Wide words are split in two stages, into parts of a few lanes and those into values, so that
    no priority chain is longer than a few lanes.

    Parameters
    ----------
    shape
        (channels, height, width) of the map that the coordinates refer to (after pooling).
    lanes
        Values per word, P; divides the channels.
    value_range
        Smallest and largest value.

    Members
    -------
    i : In(stream.Signature(word_layout(shape, lanes, value_range)))
        Words and markers.
    o : Out(stream.Signature(event_layout(shape, value_range)))
        Events; a word's first one comes ``latency`` cycles after the word when not stalled.
    """

    def __init__(self, shape: MapShape, lanes: int, value_range: tuple[int, int]) -> None:
        self.i_layout = word_layout(shape, lanes, value_range)
        self.event_layout = event_layout(shape, value_range)
        self.shape, self.lanes, self.value_range = shape, lanes, value_range
        self.part_lanes = _part_lanes(lanes)
        super().__init__(
            {
                "i": In(stream.Signature(self.i_layout)),
                "o": Out(stream.Signature(self.event_layout)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a word to its first event."""
        return 2 if self.part_lanes == self.lanes else 3

    def elaborate(self, platform):
        m = Module()
        position = {name: self.i_layout[name].shape for name in ("kind", "y", "x", "group")}
        value = value_shape(self.value_range)
        tag = data.StructLayout(position)
        incoming = Signal(tag)
        m.d.comb += [incoming[name].eq(self.i.p[name]) for name in position]

        parts = self.lanes // self.part_lanes
        m.submodules.lanes = by_lane = _Splitter(self.part_lanes, value.width, tag, parts)
        if parts == 1:
            m.d.comb += by_lane.i.p.outer.eq(0)
            source = by_lane
        else:
            m.submodules.parts = source = _Splitter(
                parts, self.part_lanes * value.width, tag, outer=1
            )
            m.d.comb += [
                by_lane.i.valid.eq(source.o.valid),
                source.o.ready.eq(by_lane.i.ready),
                by_lane.i.p.tag.eq(source.o.p.tag),
                by_lane.i.p.outer.eq(source.o.p.index),
                by_lane.i.p.items.eq(source.o.p.item),
                source.i.p.outer.eq(0),
            ]
        m.d.comb += [
            source.i.valid.eq(self.i.valid),
            self.i.ready.eq(source.i.ready),
            source.i.p.tag.eq(incoming),
            source.i.p.items.eq(self.i.p["values"]),
        ]

        single = by_lane.o.p
        advance = Signal()
        m.d.comb += [advance.eq(self.o.ready | ~self.o.valid), by_lane.o.ready.eq(advance)]
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(by_lane.o.valid),
                self.o.p.kind.eq(single.tag.kind),
                self.o.p.y.eq(single.tag.y),
                self.o.p.x.eq(single.tag.x),
                self.o.p.c.eq(self._channel(single.tag.group, single.outer, single.index)),
                self.o.p.value.eq(single.item),
            ]
        return m

    def _channel(self, group, part, lane):
        """Channel of a lane; in the usual case of powers of two no adder is needed."""
        if self.lanes & (self.lanes - 1):
            return group * self.lanes + part * self.part_lanes + lane
        lane_bits = self.part_lanes.bit_length() - 1
        part_bits = self.lanes.bit_length() - 1 - lane_bits
        return Cat(lane[:lane_bits], part[:part_bits], group)


def _part_lanes(lanes: int) -> int:
    """Lanes of one part: all up to 8, else the divisor that makes the two stages most alike."""
    divisors = [d for d in range(2, lanes) if lanes % d == 0]
    if lanes <= 8 or not divisors:
        return lanes
    return min(divisors, key=lambda d: (max(d, lanes // d), d))


class _Splitter(wiring.Component):
    """Holds a word of ``size`` items and hands out the non-zero ones, one per cycle, in order.

    The output is combinational from registers: `index` and `item` of the lowest item left, with
    the word's `tag` and `outer` (its index in the stage before) unchanged. Of a marker it hands
    out item 0 once.
    """

    def __init__(self, size: int, item_bits: int, tag: data.StructLayout, outer: int) -> None:
        self.size, self.item_bits = size, item_bits
        carried = {"tag": tag, "outer": coordinate_shape(outer)}
        items = data.ArrayLayout(item_bits, size)
        self.i_layout = data.StructLayout({**carried, "items": items})
        self.o_layout = data.StructLayout(
            {**carried, "index": coordinate_shape(size), "item": item_bits}
        )
        super().__init__(
            {
                "i": In(stream.Signature(self.i_layout)),
                "o": Out(stream.Signature(self.o_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word = Signal(self.i_layout)
        places = range(self.size)
        left = Signal(self.size)  # items still to be handed out; none: the stage is empty
        lowest, more = Signal(self.size), Signal()
        for k in places:
            m.d.comb += lowest[k].eq(left[k] & ~left[:k].any())
        m.d.comb += more.eq((left & ~lowest).any())
        m.d.comb += [
            self.o.valid.eq(left.any()),
            self.o.p.tag.eq(word.tag),
            self.o.p.outer.eq(word.outer),
            self.o.p.item.eq(reduce(or_, (Mux(lowest[k], word["items"][k], 0) for k in places))),
            self.o.p.index.eq(reduce(or_, (Mux(lowest[k], k, 0) for k in places))),
            self.i.ready.eq((self.o.ready & ~more) | ~left.any()),
        ]
        spike = self.i.p.tag.kind == EventKind.SPIKE
        with m.If(self.i.ready):
            m.d.sync += word.eq(self.i.p)
            with m.If(self.i.valid & spike):
                m.d.sync += left.eq(Cat(item.any() for item in self.i.p["items"]))
            with m.Else():
                m.d.sync += left.eq(self.i.valid)
        with m.Elif(self.o.ready):
            m.d.sync += left.eq(left & ~lowest)
        return m
