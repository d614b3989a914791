# SPDX-License-Identifier: BSD-2-Clause
"""Turns words (P channels of one position) into events, one per non-zero value."""

from amaranth.hdl import Cat, Module, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import EventKind, coordinate_shape, event_layout, value_shape
from pysnn_hw.hdl.splitter import WordSplitter
from pysnn_hw.ir.snn import Shape as MapShape

__all__ = ["Serializer", "word_layout"]

_TAG = ("kind", "y", "x", "group")
"""What of a word goes into each of its events."""


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

    Parameters
    ----------
    shape
        (channels, height, width) of the map that the coordinates refer to (after pooling).
    lanes
        Values per word, P; divides the channels.
    value_range
        Smallest and largest value.
    buffered
        As of `WordSplitter`.

    Members
    -------
    i : In(stream.Signature(word_layout(shape, lanes, value_range)))
        Words and markers.
    o : Out(stream.Signature(event_layout(shape, value_range)))
        Events; a word's first one comes ``latency`` cycles after the word when not stalled.
    """

    def __init__(
        self,
        shape: MapShape,
        lanes: int,
        value_range: tuple[int, int],
        *,
        buffered: bool = False,
    ) -> None:
        self.i_layout = word_layout(shape, lanes, value_range)
        self.event_layout = event_layout(shape, value_range)
        self.shape, self.lanes, self.value_range = shape, lanes, value_range
        tag = data.StructLayout({name: self.i_layout[name].shape for name in _TAG})
        self.splitter = WordSplitter(lanes, value_shape(value_range).width, tag, buffered=buffered)
        super().__init__(
            {
                "i": In(stream.Signature(self.i_layout)),
                "o": Out(stream.Signature(self.event_layout)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a word to its first event."""
        return self.splitter.latency + 1

    def elaborate(self, platform):
        m = Module()
        m.submodules.splitter = splitter = self.splitter
        word = splitter.i.p
        m.d.comb += [
            splitter.i.valid.eq(self.i.valid),
            self.i.ready.eq(splitter.i.ready),
            word.marker.eq(self.i.p.kind != EventKind.SPIKE),
            word["items"].eq(self.i.p["values"]),
        ]
        m.d.comb += [word.tag[name].eq(self.i.p[name]) for name in _TAG]

        single = splitter.o.p
        advance, event = Signal(), Signal(self.event_layout, reset_less=True)
        m.d.comb += [
            advance.eq(self.o.ready | ~self.o.valid),
            splitter.o.ready.eq(advance),
            self.o.payload.eq(event),
        ]
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(splitter.o.valid),
                event.kind.eq(single.tag.kind),
                event.y.eq(single.tag.y),
                event.x.eq(single.tag.x),
                event.c.eq(self._channel(single.tag.group, single.index)),
                event.value.eq(single["item"]),
            ]
        return m

    def _channel(self, group, lane):
        """Channel of a lane; in the usual case of powers of two no adder is needed."""
        if self.lanes & (self.lanes - 1):
            return group * self.lanes + lane
        return Cat(lane[: self.lanes.bit_length() - 1], group)
