# SPDX-License-Identifier: BSD-2-Clause
"""Hands out the non-zero items of a word, one by one."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import coordinate_shape
from pysnn_hw.hdl.skid import SkidBuffer
from pysnn_hw.plan.tokens import part_lanes

__all__ = ["WordSplitter"]


class WordSplitter(wiring.Component):
    """The non-zero items of each word in ascending order, with what the word carries.

    One item per cycle; a word takes as many cycles as it has non-zero items, a marker one, and the
    next word follows without a bubble. A word without any non-zero item yields nothing but costs a
    cycle. Wide words are split in two stages, into parts of a few items and those into items, so
    that no priority chain is longer than a few items. The output is combinational from registers.
    ``buffered`` puts a skid buffer between the two, where so much is carried that readiness cannot
    pass both in a cycle.

    Parameters
    ----------
    size, item_bits
        Items per word, and bits of each.
    tag
        What a word carries along.
    buffered
        See above; of no effect on narrow words.

    Members
    -------
    i : In(stream.Signature({tag, marker: 1, items}))
        Of a ``marker`` item 0 is handed out once, whatever it is.
    o : Out(stream.Signature({tag, marker: 1, index, item}))
        A word's first item comes `latency` cycles after the word when not stalled.
    """

    def __init__(self, size: int, item_bits: int, tag, *, buffered: bool = False) -> None:
        self.size, self.item_bits, self.tag = size, item_bits, tag
        self.buffered = buffered
        self.part_size = part_lanes(size)
        items = data.ArrayLayout(item_bits, size)
        self.i_layout = data.StructLayout({"tag": tag, "marker": 1, "items": items})
        self.o_layout = data.StructLayout(
            {"tag": tag, "marker": 1, "index": coordinate_shape(size), "item": item_bits}
        )
        super().__init__(
            {
                "i": In(stream.Signature(self.i_layout)),
                "o": Out(stream.Signature(self.o_layout)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a word to its first item."""
        if self.part_size == self.size:
            return 1
        return 2 + (SkidBuffer.latency if self.buffered else 0)

    def elaborate(self, platform):
        m = Module()
        parts = self.size // self.part_size
        carried = data.StructLayout({"tag": self.tag, "marker": 1})
        m.submodules.items = by_item = _Stage(self.part_size, self.item_bits, carried, parts)
        source = by_item
        if parts > 1:
            m.submodules.parts = source = _Stage(parts, self.part_size * self.item_bits, carried, 1)
            part = source.o
            if self.buffered:
                m.submodules.between = between = SkidBuffer(source.o_layout)
                wiring.connect(m, source.o, between.i)
                part = between.o
            m.d.comb += [
                by_item.i.valid.eq(part.valid),
                part.ready.eq(by_item.i.ready),
                by_item.i.p.carried.eq(part.p.carried),
                by_item.i.p.outer.eq(part.p.index),
                by_item.i.p.items.eq(part.p["item"]),
            ]
        single = by_item.o.p
        m.d.comb += [
            source.i.valid.eq(self.i.valid),
            self.i.ready.eq(source.i.ready),
            source.i.p.carried.tag.eq(self.i.p.tag),
            source.i.p.carried.marker.eq(self.i.p.marker),
            source.i.p.outer.eq(0),
            source.i.p.items.eq(self.i.p["items"]),
            self.o.valid.eq(by_item.o.valid),
            by_item.o.ready.eq(self.o.ready),
            self.o.p.tag.eq(single.carried.tag),
            self.o.p.marker.eq(single.carried.marker),
            self.o.p.index.eq(self._index(single.outer, single.index)),
            self.o.p["item"].eq(single["item"]),
        ]
        return m

    def _index(self, part, item):
        """Index in the word; in the usual case of powers of two no adder is needed."""
        if self.part_size == self.size:
            return item
        if self.part_size & (self.part_size - 1):
            return part * self.part_size + item
        return Cat(item[: self.part_size.bit_length() - 1], part)


class _Stage(wiring.Component):
    """Holds a word of ``size`` items and hands out the non-zero ones, one per cycle, in order.

    The output is combinational from registers: `index` and `item` of the lowest item left, with
    what the word carries and `outer` (its index in the stage before) unchanged.
    """

    def __init__(self, size: int, item_bits: int, carried: data.StructLayout, outer: int) -> None:
        self.size = size
        common = {"carried": carried, "outer": coordinate_shape(outer)}
        self.i_layout = data.StructLayout({**common, "items": data.ArrayLayout(item_bits, size)})
        self.o_layout = data.StructLayout(
            {**common, "index": coordinate_shape(size), "item": item_bits}
        )
        super().__init__(
            {
                "i": In(stream.Signature(self.i_layout)),
                "o": Out(stream.Signature(self.o_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word = Signal(self.i_layout, reset_less=True)
        places = range(self.size)
        # Items still to be handed out; whether there are any, and whether more than one: known
        # ahead, since readiness passes through here to all of the word before.
        left = Signal(self.size)
        holds, more = (Signal(name=name) for name in ("holds", "more"))
        lowest = Signal(self.size)
        for k in places:
            m.d.comb += lowest[k].eq(left[k] & ~left[:k].any())
        m.d.comb += [
            self.o.valid.eq(holds),
            self.o.p.carried.eq(word.carried),
            self.o.p.outer.eq(word.outer),
            self.o.p["item"].eq(reduce(or_, (Mux(lowest[k], word["items"][k], 0) for k in places))),
            self.o.p.index.eq(reduce(or_, (Mux(lowest[k], k, 0) for k in places))),
            self.i.ready.eq((self.o.ready & ~more) | ~holds),
        ]
        following = Signal(self.size)
        with m.If(self.i.ready):
            m.d.sync += word.eq(self.i.p)
            with m.If(self.i.valid & ~self.i.p.carried.marker):
                m.d.comb += following.eq(Cat(item.any() for item in self.i.p["items"]))
            with m.Else():
                m.d.comb += following.eq(self.i.valid)
        with m.Elif(self.o.ready):
            m.d.comb += following.eq(left & ~lowest)
        with m.Else():
            m.d.comb += following.eq(left)
        several = reduce(or_, (following[k] & following[:k].any() for k in places))
        m.d.sync += [left.eq(following), holds.eq(following.any()), more.eq(several)]
        return m
