# SPDX-License-Identifier: BSD-2-Clause
"""Takes address-events from outside: checks them, and that every image has all its timesteps."""

from amaranth.hdl import C, Module, Mux, Signal, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.encode import check_source
from pysnn_hw.hdl.events import EventKind, event_layout
from pysnn_hw.ir.snn import Input

__all__ = ["AddressEvents"]


class AddressEvents(wiring.Component):
    """Passes on the events of each timestep; nothing malformed gets further than here.

    An image is its events, step by step; a `EventKind.STEP` ends every timestep but the last,
    which `EventKind.INFERENCE` ends. The order inside a step does not matter, but no address may
    come twice in a step. Events outside the map, with a value outside ``source.minimum`` ..
    ``source.maximum`` or of no known kind are dropped. An image that ends early gets the steps that
    it lacks, without events; one that does not end after its last step ends there, and all up to
    and including its `EventKind.INFERENCE` is dropped. The image's status tells of each of these,
    and the next image is clean. An event of value 0 is none: it is dropped without complaint.

    Parameters
    ----------
    source
        The network's input: shape and range of the values.
    timesteps
        Timesteps per image.
    status_depth
        Number of images whose status can wait for the readout; more stall the input.

    Members
    -------
    i : In(stream.Signature(event_layout(source.shape, source.range)))
        Events from outside. In a marker the other fields are not looked at.
    o : Out(stream.Signature(event_layout(source.shape, source.range)))
        Events, ``latency`` cycles later when not stalled.
    status : Out(stream.Signature(1))
        One transfer per image, in order: 1 if it was malformed.
    """

    latency = 2

    def __init__(self, source: Input, timesteps: int, *, status_depth: int = 16) -> None:
        check_source(source, status_depth)
        if timesteps < 1:
            raise ValueError(f"timesteps must be at least 1, not {timesteps!r}")
        self.source, self.timesteps, self.status_depth = source, timesteps, status_depth
        self.i_layout = self.event_layout = event_layout(source.shape, source.range)
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

        # Stage 1: as it came. ``consume``: it is dealt with, the next one may follow.
        event, valid, consume = Signal(self.i_layout), Signal(), Signal()
        m.d.comb += self.i.ready.eq(~valid | consume)
        with m.If(self.i.ready):
            m.d.sync += [valid.eq(self.i.valid), event.eq(self.i.p)]

        # Stage 2: judged.
        step, last_step = Signal(range(max(2, self.timesteps))), Signal(init=self.timesteps == 1)
        dropping = Signal()  # the image was complete, its end is still to come
        fault = Signal()  # something of this image was malformed
        forward, kind, good = Signal(), Signal(EventKind), self._good(event)
        closing, early, wrong = Signal(), Signal(), Signal()
        m.d.comb += kind.eq(event.kind)
        with m.If(valid & ~dropping):
            with m.If(event.kind == EventKind.SPIKE):
                m.d.comb += [forward.eq(good & event.value.any()), wrong.eq(~good)]
            with m.Elif(event.kind == EventKind.STEP):
                m.d.comb += [
                    forward.eq(1),
                    closing.eq(last_step),
                    wrong.eq(last_step),
                    kind.eq(Mux(last_step, EventKind.INFERENCE, EventKind.STEP)),
                ]
            with m.Elif(event.kind == EventKind.INFERENCE):
                m.d.comb += [
                    forward.eq(1),
                    closing.eq(last_step),
                    early.eq(~last_step),
                    wrong.eq(~last_step),
                    kind.eq(Mux(last_step, EventKind.INFERENCE, EventKind.STEP)),
                ]
            with m.Else():
                m.d.comb += wrong.eq(1)

        advance, moves = self.o.ready | ~self.o.valid, Signal()
        m.d.comb += [
            moves.eq(advance & (~closing | statuses.w_rdy)),
            consume.eq(moves & ~early),
            statuses.w_en.eq(advance & closing),
            statuses.w_data.eq(fault | wrong),
        ]
        with m.If(moves & valid):
            m.d.sync += fault.eq(~closing & (fault | wrong))
            with m.If(forward & (event.kind != EventKind.SPIKE)):
                m.d.sync += [
                    step.eq(Mux(last_step, 0, step + 1)),
                    last_step.eq((self.timesteps == 1) | (step == self.timesteps - 2)),
                ]
            with m.If(event.kind == EventKind.INFERENCE):
                m.d.sync += dropping.eq(0)
            with m.Elif(closing):
                m.d.sync += dropping.eq(1)
        with m.If(advance):
            m.d.sync += self.o.valid.eq(forward & moves)
            m.d.sync += [self.o.p.as_value().eq(0), self.o.p.kind.eq(kind)]
            with m.If(event.kind == EventKind.SPIKE):
                m.d.sync += self.o.p.eq(event)
        return m

    def _good(self, event) -> Value:
        """Whether address and value of a spike are possible."""
        channels, height, width = self.source.shape
        low, high = self.source.range
        limits = (
            (event.c, 0, channels - 1),
            (event.y, 0, height - 1),
            (event.x, 0, width - 1),
            (event.value, low, high),
        )
        good = C(1)
        for field, least, most in limits:
            shape = field.shape()
            lowest = -(1 << (shape.width - 1)) if shape.signed else 0
            # A comparison with the end of a field's range would be a constant.
            if least > lowest:
                good = good & (field >= least)
            if most < lowest + (1 << shape.width) - 1:
                good = good & (field <= most)
        return good
