# SPDX-License-Identifier: BSD-2-Clause
"""Turns the raw integers of an image into events."""

from amaranth.hdl import Array, Module, Mux, Signal, signed
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import EventKind, coordinate_shape, event_layout, value_shape
from pysnn_hw.ir.snn import Input

__all__ = ["PixelEncoder"]


class PixelEncoder(wiring.Component):
    """Sends ``x - zero_point[c]`` of every input as an event, zeros as none, then a marker.

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
        The network's input: shape, zero points and range of the raw integers.
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
        if len(source.zero_point) != source.shape[0]:
            raise ValueError(
                f"zero_point must have one value for each of the {source.shape[0]} channels, "
                f"not {len(source.zero_point)}"
            )
        if min(source.shape) < 1 or source.minimum > source.maximum:
            raise ValueError(f"input must not be empty, not {source!r}")
        if status_depth < 1:
            raise ValueError(f"status_depth must be at least 1, not {status_depth!r}")
        self.source, self.status_depth = source, status_depth
        self.value_shape = value_shape((source.minimum, source.maximum))
        self.event_layout = event_layout(source.shape, source.range)
        self.i_layout = data.StructLayout({"value": self.value_shape, "last": 1})
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

        # Position of the next input. The flags ``*_end`` are kept in registers beside the
        # counters so that no comparison sits in the path of the three carries.
        channels, height, width = self.source.shape
        c, c_end = _counter(channels, "c")
        x, x_end = _counter(width, "x")
        y, y_end = _counter(height, "y")
        final, image_ends = Signal(), Signal()
        m.d.comb += [
            final.eq(c_end & x_end & y_end),
            image_ends.eq(take & ~dropping & (final | self.i.p.last)),
        ]
        with m.If(take & ~dropping):
            _step(m, channels, c, c_end)
            with m.If(c_end):
                _step(m, width, x, x_end)
                with m.If(x_end):
                    _step(m, height, y, y_end)
        with m.If(image_ends):
            for counter, end in ((c, c_end), (x, x_end), (y, y_end)):
                m.d.sync += [counter.eq(0), end.eq(end.init)]
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
        shape = value_shape((min(self.source.zero_point), max(self.source.zero_point)))
        s1, s2 = Signal(self.event_layout), Signal(self.event_layout)
        s1_valid, s2_valid = Signal(), Signal()
        s1_raw = Signal(self.value_shape)
        s1_zero = Signal(signed(shape.width + 1))
        with m.If(advance):
            m.d.sync += [
                marker.eq(image_ends),
                s1_valid.eq((take & ~dropping) | marker),
                s1.kind.eq(Mux(marker, EventKind.INFERENCE, EventKind.SPIKE)),
                s1.y.eq(y),
                s1.x.eq(x),
                s1.c.eq(c),
                s1_raw.eq(Mux(marker, 0, self.i.p.value)),
                s1_zero.eq(Mux(marker, 0, zero_points[c])),
                s2_valid.eq(s1_valid),
                s2.eq(s1),
                s2.value.eq(s1_raw - s1_zero),
                self.o.valid.eq(s2_valid & ((s2.value != 0) | (s2.kind == EventKind.INFERENCE))),
                self.o.p.eq(s2),
            ]
        return m


def _counter(size: int, name: str) -> tuple[Signal, Signal]:
    """A counter of ``0 .. size - 1`` and its flag "at the end"."""
    return Signal(coordinate_shape(size), name=name), Signal(name=f"{name}_end", init=size == 1)


def _step(m: Module, size: int, counter: Signal, end: Signal) -> None:
    """Advance a counter made by `_counter`, from its end to zero."""
    if size == 1:
        return
    m.d.sync += [
        counter.eq(Mux(end, 0, counter + 1)),
        end.eq(Mux(end, 0, counter == size - 2)),
    ]
