# SPDX-License-Identifier: BSD-2-Clause
"""Pooling of words on their way from the fire pipeline to the serializer.

The words of one window and channel group follow each other: their flags ``first`` and ``last``
delimit them, and coordinates are those of the window on the pooled map. They reduce to one word,
dropped if it is all zeros or if its last word lacks the flag ``keep`` (a window that leaves the
map). ``fresh`` marks the words of an image's first timestep. Markers pass through in order, their
flags do not matter. One word is taken per cycle; only a stalled output stalls the input.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import EventKind, value_shape
from pysnn_hw.hdl.serializer import word_layout
from pysnn_hw.ir.snn import Pool
from pysnn_hw.ir.snn import Shape as MapShape

__all__ = ["POOL_FLAGS", "GatePool", "RunningMaxPool", "WindowPool", "make_pool"]

POOL_FLAGS = ("first", "last", "keep", "fresh")
_POSITION = ("kind", "y", "x", "group")


class WindowPool(wiring.Component):
    """Sum or maximum of each window of words.

    With windows of one word it is the filter of all-zero words that a serializer wants.

    Parameters
    ----------
    mode
        ``sum`` or ``max`` (the latter is max pooling of networks with a single timestep).
    shape
        (channels, height, width) of the pooled map.
    lanes
        Values per word; divides the channels.
    spikes
        Smallest and largest value of the incoming spikes.
    window
        Words per window, at most.

    Members
    -------
    i : In(stream.Signature(word_layout(shape, lanes, spikes, POOL_FLAGS)))
        Words before pooling.
    o : Out(stream.Signature(word_layout(shape, lanes, value_range)))
        Pooled words, ``latency`` cycles after the last of the window when not stalled.
    """

    latency = 2

    def __init__(
        self, mode: str, shape: MapShape, lanes: int, spikes: tuple[int, int], *, window: int
    ) -> None:
        if mode not in ("sum", "max"):
            raise ValueError(f"mode must be 'sum' or 'max', not {mode!r}")
        _check_range(spikes)
        _check("window", window)
        self.mode, self.window = mode, window
        self.shape, self.lanes, self.spikes = shape, lanes, spikes
        self.i_layout = word_layout(shape, lanes, spikes, POOL_FLAGS)
        self.o_layout = word_layout(shape, lanes, self.value_range)
        super().__init__(
            {
                "i": In(stream.Signature(self.i_layout)),
                "o": Out(stream.Signature(self.o_layout)),
            }
        )

    @property
    def value_range(self) -> tuple[int, int]:
        """Smallest and largest pooled value."""
        factor = self.window if self.mode == "sum" else 1
        return self.spikes[0] * factor, self.spikes[1] * factor

    def elaborate(self, platform):
        m = Module()
        advance = Signal()  # the whole pipe moves or the whole pipe holds
        m.d.comb += [advance.eq(self.o.ready | ~self.o.valid), self.i.ready.eq(advance)]

        # Stage 1: reduce. Stage 2: drop zeros.
        s1, s1_done = Signal(self.o_layout), Signal()
        spike = self.i.p.kind == EventKind.SPIKE
        # A marker starts anew as well: it brings zeros.
        start = self.i.p.first | ~spike
        with m.If(advance & self.i.valid):
            m.d.sync += [s1[name].eq(self.i.p[name]) for name in _POSITION]
            for kept, new in zip(s1["values"], self.i.p["values"], strict=True):
                combined = kept + new if self.mode == "sum" else _larger(kept, new)
                m.d.sync += kept.eq(Mux(start, new, combined))
        with m.If(advance):
            m.d.sync += s1_done.eq(self.i.valid & (~spike | (self.i.p.last & self.i.p.keep)))
            _send(m, self.o, s1, s1_done)
        return m


class _TotalsPool(wiring.Component):
    """What pooling over time has in common: the totals that every neuron has emitted so far.

    The totals live in a memory of one row per word of a timestep, read and written in the order of
    the words; a marker goes back to the first row. In words with ``fresh`` the stored totals count
    as zero, so the memory needs no clearing.
    """

    def __init__(
        self, shape: MapShape, lanes: int, spikes: tuple[int, int], *, timesteps: int, words: int
    ) -> None:
        _check_range(spikes)
        _check("timesteps", timesteps)
        _check("words", words)
        self.shape, self.lanes, self.spikes = shape, lanes, spikes
        self.timesteps, self.words = timesteps, words
        self.i_layout = word_layout(shape, lanes, spikes, POOL_FLAGS)
        self.o_layout = word_layout(shape, lanes, self.value_range)
        super().__init__(
            {
                "i": In(stream.Signature(self.i_layout)),
                "o": Out(stream.Signature(self.o_layout)),
            }
        )

    @property
    def value_range(self) -> tuple[int, int]:
        """Smallest and largest pooled value."""
        return self.spikes

    def elaborate(self, platform):
        m = Module()
        advance = Signal()  # the whole pipe moves or the whole pipe holds
        m.d.comb += [advance.eq(self.o.ready | ~self.o.valid), self.i.ready.eq(advance)]

        # A row is read again one timestep later at the earliest. The marker between timesteps
        # makes that two cycles or more even for a single row, so no read meets its own write.
        low, high = self.spikes
        total = value_shape((low * self.timesteps, high * self.timesteps))
        totals = data.ArrayLayout(total, self.lanes)
        m.submodules.totals = stored = memory.Memory(shape=totals, depth=self.words, init=[])
        read, write = stored.read_port(), stored.write_port()

        # Stage 1: fetch.
        spike = self.i.p.kind == EventKind.SPIKE
        row = Signal(range(self.words))
        s1_valid, s1_row, s1 = Signal(), Signal.like(row), Signal(self.i_layout)
        m.d.comb += [read.addr.eq(row), read.en.eq(advance)]
        with m.If(advance):
            m.d.sync += [s1_valid.eq(self.i.valid), s1_row.eq(row), s1.eq(self.i.p)]
            with m.If(self.i.valid):
                m.d.sync += row.eq(Mux(spike, row + 1, 0))

        # Stage 2: add, write back, reduce the window. A stalled word may be written repeatedly.
        s1_spike = s1.kind == EventKind.SPIKE
        before, after = Signal(totals), Signal(totals)
        m.d.comb += [
            write.addr.eq(s1_row),
            write.en.eq(s1_valid & s1_spike),
            write.data.eq(after),
        ]
        for lane in range(self.lanes):
            m.d.comb += [
                before[lane].eq(Mux(s1.fresh, 0, read.data[lane])),
                after[lane].eq(before[lane] + s1["values"][lane]),
            ]
        s2_done, s2 = Signal(), Signal(self.o_layout)
        with m.If(advance):
            m.d.sync += s2_done.eq(s1_valid & (~s1_spike | (s1.last & s1.keep)))
            with m.If(s1_valid):
                m.d.sync += [s2[name].eq(s1[name]) for name in _POSITION]
        # A marker brings zeros and starts anew as well: nothing of it is left in its word.
        start = s1.first | ~s1_spike
        moving = advance & s1_valid
        self._reduce(m, advance, moving, start, s1["values"], before, after, s2, s2_done)
        return m


class RunningMaxPool(_TotalsPool):
    """Max pooling over time: the growth of the largest emitted total in each window.

    ``out(t) = max_i C_i(t) - max_i C_i(t - 1)`` with ``C_i`` the total that neuron i has emitted
    so far.

    Parameters
    ----------
    shape, lanes, spikes
        As in `WindowPool`.
    timesteps
        Timesteps per image.
    words
        Words per timestep (all groups, and windows without ``keep`` too).

    Members
    -------
    i, o
        As in `WindowPool`.
    """

    latency = 4

    def _reduce(self, m, advance, moving, start, values, before, after, s2, s2_done):
        """Maximum over the window before and after this timestep; their difference goes out."""
        s2_before, s2_after = Signal.like(before), Signal.like(after)
        with m.If(moving):
            for kept, new in zip((*s2_before, *s2_after), (*before, *after), strict=True):
                m.d.sync += kept.eq(Mux(start, new, _larger(kept, new)))

        # Stage 3: subtract. Stage 4: drop zeros.
        s3_done, s3 = Signal(), Signal(self.o_layout)
        with m.If(advance):
            m.d.sync += [
                s3_done.eq(s2_done),
                *(s3[name].eq(s2[name]) for name in _POSITION),
                *(
                    s3["values"][lane].eq(s2_after[lane] - s2_before[lane])
                    for lane in range(self.lanes)
                ),
            ]
            _send(m, self.o, s3, s3_done)


class GatePool(_TotalsPool):
    """Max pooling by a gate: lets through the spike of the neuron that has emitted most so far.

    ``out(t) = s_g(t)`` with g the first neuron of the window, row by row, whose total including
    step t is the largest.

    Parameters, members
        As in `RunningMaxPool`; spikes must not be negative.
    """

    latency = 3

    def __init__(
        self, shape: MapShape, lanes: int, spikes: tuple[int, int], *, timesteps: int, words: int
    ) -> None:
        if spikes[0] < 0:
            raise ValueError(f"a gate needs spikes that are not negative, not {spikes!r}")
        super().__init__(shape, lanes, spikes, timesteps=timesteps, words=words)

    def _reduce(self, m, advance, moving, start, values, before, after, s2, s2_done):
        """Stage 2 keeps the largest total and its spike. Stage 3: drop zeros."""
        most = Signal.like(after)
        with m.If(moving):
            for lane in range(self.lanes):
                with m.If(start | (after[lane] > most[lane])):
                    m.d.sync += [most[lane].eq(after[lane]), s2["values"][lane].eq(values[lane])]
        with m.If(advance):
            _send(m, self.o, s2, s2_done)


def make_pool(
    pool: Pool | None,
    shape: MapShape,
    lanes: int,
    spikes: tuple[int, int],
    *,
    timesteps: int,
    words: int,
) -> WindowPool | RunningMaxPool | GatePool:
    """The component for one pooling of a network; without pooling, the filter of zero words.

    ``shape`` is the pooled map's, ``words`` the number of words of one timestep.
    """
    if pool is None:
        return WindowPool("max", shape, lanes, spikes, window=1)
    if pool.mode != "sum" and timesteps > 1:
        over_time = GatePool if pool.mode == "gate" else RunningMaxPool
        return over_time(shape, lanes, spikes, timesteps=timesteps, words=words)
    window = pool.kernel[0] * pool.kernel[1]
    mode = "sum" if pool.mode == "sum" else "max"  # with one timestep the gate is the maximum
    return WindowPool(mode, shape, lanes, spikes, window=window)


def _check(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value!r}")


def _check_range(spikes: tuple[int, int]) -> None:
    low, high = spikes
    if low > 0 or high < 1:
        raise ValueError(f"spikes must reach from 0 or less to 1 or more, not {spikes!r}")


def _larger(a, b):
    return Mux(a > b, a, b)


def _send(m: Module, output, word, done) -> None:
    """Register ``word`` at the output; it is offered if ``done`` and a marker or not all zeros."""
    some = word["values"].as_value().any() | (word.kind != EventKind.SPIKE)
    m.d.sync += [output.valid.eq(done & some), output.p.eq(word)]
