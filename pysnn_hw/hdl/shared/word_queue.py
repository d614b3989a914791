# SPDX-License-Identifier: BSD-2-Clause
"""Queue behind a pipeline that cannot be stopped."""

from amaranth.hdl import Module, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.skid import SkidBuffer
from pysnn_hw.plan.latency import QUEUED_WORDS

__all__ = ["WordQueue"]


class WordQueue(wiring.Component):
    """Takes every word that comes, and says early when no more should be begun.

    ``room`` in a cycle lets one word enter the pipeline; up to ``under_way`` words that were let in
    before may still arrive after it has fallen. A word leaves no earlier than `latency` cycles
    after it came.

    Parameters
    ----------
    shape
        Of a word.
    under_way
        Cycles from ``room`` to the word that it let in.
    depth
        Words that it holds, at least ``under_way + 4``.

    Members
    -------
    valid : In(1), word : In(shape)
    room : Out(1)
    o : Out(stream.Signature(shape))
    """

    latency = 3

    def __init__(self, shape, *, under_way: int, depth: int = QUEUED_WORDS):
        if depth < under_way + 4:
            raise ValueError(f"depth must be at least {under_way + 4}, not {depth!r}")
        self.shape, self.under_way, self.depth = shape, under_way, depth
        super().__init__(
            {
                "valid": In(1),
                "word": In(shape),
                "room": Out(1),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Its last entry is the memory's own output latch.
        m.submodules.fifo = queue = fifo.SyncFIFOBuffered(
            width=len(Value.cast(self.word)), depth=self.depth - 1
        )
        m.submodules.skid = skid = SkidBuffer(self.shape)
        wiring.connect(m, skid.o, wiring.flipped(self.o))
        m.d.comb += [
            queue.w_data.eq(Value.cast(self.word)),
            queue.w_en.eq(self.valid),
            queue.r_en.eq(skid.i.ready),
            skid.i.valid.eq(queue.r_rdy),
            Value.cast(skid.i.payload).eq(queue.r_data),
        ]
        # Let in are this word, those under way, and one that the level does not show yet.
        m.d.sync += self.room.eq(queue.level < self.depth - 2 - self.under_way)
        return m
