# SPDX-License-Identifier: BSD-2-Clause
"""Turns the raw integers of an image into events."""

from amaranth.hdl import Array, Module, Mux, Shape, Signal, signed
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import EventKind, event_layout, value_shape
from pysnn_hw.hdl.position import Position
from pysnn_hw.ir.snn import Input

__all__ = ["PixelEncoder", "check_source", "raw_layout", "zero_point_shape"]


def check_source(source: Input, status_depth: int) -> None:
    """Refuse parameters from which no encoder can be built with a `ValueError`."""
    if len(source.zero_point) != source.shape[0]:
        raise ValueError(
            f"zero_point must have one value for each of the {source.shape[0]} channels, "
            f"not {len(source.zero_point)}"
        )
    if min(source.shape) < 1 or source.minimum > source.maximum:
        raise ValueError(f"input must not be empty, not {source!r}")
    if source.threshold is not None and not source.minimum < source.threshold <= source.maximum:
        raise ValueError(
            f"threshold must be above minimum and at most maximum, not {source.threshold!r}"
        )
    if status_depth < 1:
        raise ValueError(f"status_depth must be at least 1, not {status_depth!r}")


def raw_layout(source: Input) -> data.StructLayout:
    """One raw integer of an image; ``last`` on the final one."""
    return data.StructLayout({"value": value_shape((source.minimum, source.maximum)), "last": 1})


def zero_point_shape(source: Input) -> Shape:
    """Signed shape of the zero points."""
    shape = value_shape((min(source.zero_point), max(source.zero_point)))
    return signed(shape.width + 1)


class PixelEncoder(wiring.Component):
    """Sends ``x - zero_point[c]`` of every input as an event, zeros as none, then a marker.

    With a threshold every input from there on is an event of value 1, and smaller ones are none.
    Inputs come row by row, pixel by pixel, channels innermost. One input is taken per cycle, and
    one more cycle per image goes to the marker (`EventKind.INFERENCE`); the encoding is constant,
    so the first core repeats the timesteps by itself. An image whose ``last`` comes early ends
    there: what is missing counts as zero point. After an image without ``last`` on its final
    integer everything is dropped up to and including the next ``last``. Either way the image's
    status says so and the next image is clean. Integers outside ``source.minimum`` ..
    ``source.maximum`` must not be sent: their difference to the zero point may wrap.

    Parameters
    ----------
    source
        The network's input: shape, zero points, threshold and range of the raw integers.
    status_depth
        Number of images whose status can wait for the readout; more stall the input.

    Members
    -------
    i : In(stream.Signature({value, last}))
        Raw integers.
    o : Out(stream.Signature(event_layout(source.shape, source.range)))
        Events, ``latency`` cycles after their input when not stalled.
    status : Out(stream.Signature(1))
        One transfer per image, in order: 1 if ``last`` was misplaced.
    """

    latency = 3

    def __init__(self, source: Input, *, status_depth: int = 16) -> None:
        check_source(source, status_depth)
        self.source, self.status_depth = source, status_depth
        self.event_layout = event_layout(source.shape, source.range)
        self.i_layout = raw_layout(source)
        super().__init__(
            {
                "i": In(stream.Signature(self.i_layout)),
                "o": Out(stream.Signature(self.event_layout)),
                "status": Out(stream.Signature(1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.statuses = statuses = fifo.SyncFIFOBuffered(width=1, depth=self.status_depth)
        wiring.connect(m, statuses.r_stream, wiring.flipped(self.status))

        advance = Signal()  # the whole pipe moves or the whole pipe holds
        dropping = Signal()  # the image is complete, its ``last`` is still to come
        marker = Signal()  # the image is complete, its marker goes next
        m.d.comb += [
            advance.eq(self.o.ready | ~self.o.valid),
            self.i.ready.eq(advance & ~marker & statuses.w_rdy),
        ]
        take = Signal()
        m.d.comb += take.eq(self.i.valid & self.i.ready)

        m.submodules.position = position = Position(self.source.shape)
        final, image_ends = position.final, Signal()
        m.d.comb += [
            image_ends.eq(take & ~dropping & (final | self.i.p.last)),
            position.step.eq(take & ~dropping),
            position.restart.eq(image_ends),
        ]
        with m.If(image_ends):
            m.d.sync += dropping.eq(~self.i.p.last)
        with m.Elif(take & self.i.p.last):
            m.d.sync += dropping.eq(0)
        m.d.comb += [
            statuses.w_data.eq(final ^ self.i.p.last),
            statuses.w_en.eq(image_ends),
        ]

        # Stage 1: fetch the zero point. Stage 2: subtract. Stage 3: drop zeros. The position is
        # back at zero when the marker goes.
        zero_points = Array(int(z) for z in self.source.zero_point)
        s1, s2 = Signal(self.event_layout), Signal(self.event_layout)
        s1_valid, s2_valid = Signal(), Signal()
        s1_raw = Signal(self.i_layout["value"].shape)
        s1_zero = Signal(zero_point_shape(self.source))
        value = s1_raw - s1_zero
        if self.source.threshold is not None:  # the marker's value is 0 wherever that lies
            value = (s1.kind == EventKind.SPIKE) & (s1_raw >= self.source.threshold)
        with m.If(advance):
            m.d.sync += [
                marker.eq(image_ends),
                s1_valid.eq((take & ~dropping) | marker),
                s1.kind.eq(Mux(marker, EventKind.INFERENCE, EventKind.SPIKE)),
                s1.y.eq(position.y),
                s1.x.eq(position.x),
                s1.c.eq(position.c),
                s1_raw.eq(Mux(marker, 0, self.i.p.value)),
                s1_zero.eq(Mux(marker, 0, zero_points[position.c])),
                s2_valid.eq(s1_valid),
                s2.eq(s1),
                s2.value.eq(value),
                self.o.valid.eq(s2_valid & ((s2.value != 0) | (s2.kind == EventKind.INFERENCE))),
                self.o.p.eq(s2),
            ]
        return m
