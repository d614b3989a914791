# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Turns the raw integers of an image into random unit events, drawn anew at every timestep."""

from amaranth.hdl import Array as Choice
from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.hdl.encode import check_source, raw_layout, zero_point_shape
from pysnn_hw.hdl.events import EventKind, event_layout, value_shape
from pysnn_hw.hdl.position import Position
from pysnn_hw.hdl.xorshift import xorshift32
from pysnn_hw.ir.snn import Input

__all__ = ["BernoulliEncoder"]


class BernoulliEncoder(wiring.Component):
    """Sends ``sign(x - zero_point[c])`` with a probability that grows with the magnitude.

    With a = ``|x - zero_point[c]|`` and k the bits of ``source.peak`` an input sends its event if
    ``u < a + (a >> (k - 1))``. The random number u is the top k bits of a 32-bit xorshift
    generator that starts from ``source.seed`` at every image and advances once per input and
    timestep, also for inputs that send nothing.

    The image is kept while its first timestep is sent, and replayed for the others; the next one
    is taken after the last step. One input passes per cycle, and one more cycle per step goes to
    the marker. Misplaced ``last`` and what it means: see `PixelEncoder`.

    Parameters
    ----------
    source
        The network's input: shape, zero points, range of the raw integers and seed.
    timesteps
        Timesteps per image.
    family
        Device family that block RAM is cut for.
    status_depth
        Number of images whose status can wait for the readout; more stall the input.

    Members
    -------
    i : In(stream.Signature({value, last}))
        Raw integers.
    o : Out(stream.Signature(event_layout(source.shape, source.event_range)))
        Events, ``latency`` cycles after their input when not stalled.
    status : Out(stream.Signature(1))
        One transfer per image, in order: 1 if ``last`` was misplaced.
    """

    latency = 5

    def __init__(
        self, source: Input, timesteps: int, *, family: str = "ecp5", status_depth: int = 16
    ) -> None:
        check_source(source, status_depth)
        if timesteps < 1:
            raise ValueError(f"timesteps must be at least 1, not {timesteps!r}")
        if not 0 < source.seed < 1 << 32:
            raise ValueError(f"seed must be in 1..2**32 - 1, not {source.seed!r}")
        self.source, self.timesteps, self.status_depth = source, timesteps, status_depth
        self.i_layout = raw_layout(source)
        self.event_layout = event_layout(source.shape, source.event_range)
        channels, height, width = source.shape
        self.kept = None
        if timesteps > 1:
            bits = self.i_layout["value"].shape.width + 1
            self.kept = BlockMemory(channels * height * width, bits, family=family)
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
        ended = Signal()  # ``last`` came early: the rest of the image is background
        dropping = Signal()  # the image was full, its ``last`` is still to come
        marker = Signal()  # the step is complete, its marker goes next
        first, final = Signal(init=1), Signal(init=self.timesteps == 1)  # of the steps
        step = Signal(range(max(2, self.timesteps)))
        wanted, take, enter = Signal(), Signal(), Signal()
        m.d.comb += [
            advance.eq(self.o.ready | ~self.o.valid),
            wanted.eq(advance & ~marker & first & ~ended & ~dropping & statuses.w_rdy),
            self.i.ready.eq(wanted | dropping),
            take.eq(wanted & self.i.valid),
            enter.eq(take | (advance & ~marker & (ended | ~first))),
        ]

        m.submodules.position = position = Position(self.source.shape)
        m.d.comb += position.step.eq(enter)
        m.d.comb += [
            statuses.w_data.eq(position.final ^ self.i.p.last),
            statuses.w_en.eq(take & (position.final | self.i.p.last)),
        ]
        with m.If(dropping & self.i.valid & self.i.p.last):
            m.d.sync += dropping.eq(0)
        with m.If(take & ~position.final & self.i.p.last):
            m.d.sync += ended.eq(1)
        with m.If(enter & position.final):
            m.d.sync += ended.eq(0)
            with m.If(take):
                m.d.sync += dropping.eq(~self.i.p.last)

        state = Signal(32, init=self.source.seed)
        with m.If(enter):
            m.d.sync += state.eq(xorshift32(state))
        with m.If(advance):
            m.d.sync += marker.eq(enter & position.final)
            with m.If(marker):
                m.d.sync += [
                    first.eq(final),
                    step.eq(Mux(final, 0, step + 1)),
                    final.eq((self.timesteps == 1) | (step == self.timesteps - 2)),
                ]
                with m.If(final):
                    m.d.sync += state.eq(self.source.seed)

        # Stage 1: fetch image and zero point.
        tag = data.StructLayout({"valid": 1, "event": self.event_layout})
        s1, s2, s3, s4 = (Signal(tag, name=f"s{k}") for k in range(1, 5))
        inference = Mux(final, EventKind.INFERENCE, EventKind.STEP)
        with m.If(advance):
            m.d.sync += [
                s1.valid.eq(enter | marker),
                s1.event.kind.eq(Mux(marker, inference, EventKind.SPIKE)),
                s1.event.y.eq(position.y),
                s1.event.x.eq(position.x),
                s1.event.c.eq(position.c),
                *(later.eq(earlier) for earlier, later in ((s1, s2), (s2, s3), (s3, s4))),
            ]
        raw, background = self._image(m, advance, enter & first, position.index, ended)

        # Stage 2: one register behind the memory, beside it the random number.
        bits = self.source.peak.bit_length()
        zero_points = Choice(int(z) for z in self.source.zero_point)
        zero = Signal(zero_point_shape(self.source))
        u = [Signal(bits, name=f"u{k}") for k in range(2, 5)]
        with m.If(advance):
            m.d.sync += [
                zero.eq(zero_points[s1.event.c]),
                u[0].eq(state[32 - bits :]),
                u[1].eq(u[0]),
                u[2].eq(u[1]),
            ]

        # Stage 3: subtract. Stage 4: magnitude. Then: compare.
        difference = Signal(value_shape(self.source.range))
        below = difference[-1] if difference.shape().signed else C(0)
        nothing = Signal()
        magnitude, negative = Signal(bits), Signal()
        with m.If(advance):
            m.d.sync += [
                difference.eq(raw - zero),
                nothing.eq(background),
                negative.eq(below),
                magnitude.eq(Mux(nothing, 0, Mux(below, -difference, difference))),
                # u < a + b with b = a >> (bits - 1), as one comparison.
                self.o.valid.eq(
                    s4.valid
                    & (
                        (s4.event.kind != EventKind.SPIKE)
                        | (Cat(C(0, 1), u[2]) < Cat(magnitude[-1], magnitude))
                    )
                ),
                self.o.p.eq(s4.event),
            ]
            with m.If(s4.event.kind == EventKind.SPIKE):
                m.d.sync += self.o.p.value.eq(Mux(negative, -1, 1))
        return m

    def _image(self, m, advance, writing, index, ended):
        """The integer in stage 2, and whether it is background: arriving or out of memory."""
        shape = self.i_layout["value"].shape
        kept = data.StructLayout({"value": shape, "background": 1})
        arriving, held, fetched = Signal(kept), Signal(kept), Signal(kept)
        fresh, fresh_held = Signal(), Signal()
        with m.If(advance):
            m.d.sync += [
                arriving.value.eq(self.i.p.value),
                arriving.background.eq(ended),
                held.eq(arriving),
                fresh.eq(writing),
                fresh_held.eq(fresh),
            ]
        if self.kept is None:
            return held.value, held.background
        m.submodules.kept = mem = self.kept
        word = Signal(kept)
        m.d.comb += [word.value.eq(self.i.p.value), word.background.eq(ended)]
        m.d.comb += [
            mem.write_enable.eq(writing),
            mem.write_address.eq(index),
            mem.write_data.eq(word.as_value()),
            mem.read_enable.eq(advance),
            mem.read_address.eq(index),
        ]
        with m.If(advance):
            m.d.sync += fetched.as_value().eq(mem.read_data)
        chosen = Signal(kept)
        m.d.comb += chosen.eq(Mux(fresh_held, held, fetched))
        return chosen.value, chosen.background
