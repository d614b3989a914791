# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""One score per class, to be written at will and sent as a whole."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.hdl.events import coordinate_shape
from pysnn_hw.hdl.score_shifter import score_word_layout

__all__ = ["ScoreStore"]

_SMALL = 64  # classes for which a memory of logic is cheaper than a block


class ScoreStore(wiring.Component):
    """A memory that is read and written while idle and, on ``send``, sends its words in order.

    The first word is on offer a cycle after ``send``, the others without a bubble.

    Parameters
    ----------
    classes, score_bits
        Number of scores and their width.
    clears
        Whether all scores are zero after reset and after having been sent. The former takes a
        cycle for each.
    family
        Device family that block RAM is cut for.

    Members
    -------
    idle : Out(1)
        Nothing is being sent or cleared.
    send : In(1)
        While idle: start to send.
    read_class : In(unsigned), read_score : Out(score_bits)
        The score a cycle later, while idle; in two's complement.
    write : In(1), write_class : In(unsigned), write_score : In(score_bits)
        Write port, while idle.
    o : Out(stream.Signature(score_word_layout(classes, 1, score_bits)))
    """

    def __init__(self, classes: int, *, score_bits: int, clears: bool, family: str = "ecp5"):
        self.classes, self.score_bits, self.clears = classes, score_bits, clears
        self.o_layout = score_word_layout(classes, 1, score_bits)
        style = "distributed" if classes <= _SMALL else "block"
        self.memory = BlockMemory(classes, score_bits, family=family, style=style)
        index = coordinate_shape(classes)
        super().__init__(
            {
                "idle": Out(1),
                "send": In(1),
                "read_class": In(index),
                "read_score": Out(score_bits),
                "write": In(1),
                "write_class": In(index),
                "write_score": In(score_bits),
                "o": Out(stream.Signature(self.o_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = mem = self.memory
        busy, silent = Signal(init=self.clears), Signal(init=self.clears)
        place, last = Signal(coordinate_shape(self.classes)), Signal(init=self.classes == 1)
        moves = Signal()
        after = Signal.like(place)
        m.d.comb += [
            self.idle.eq(~busy),
            self.o.valid.eq(busy & ~silent),
            self.o.p["values"][0].eq(mem.read_data),
            self.o.p.group.eq(place),
            self.o.p.last.eq(last),
            moves.eq(busy & (silent | self.o.ready)),
            after.eq(Mux(last, 0, place + 1)),
            self.read_score.eq(mem.read_data),
            mem.read_address.eq(Mux(busy, after, Mux(self.send, 0, self.read_class))),
            mem.read_enable.eq(~busy | moves),
            mem.write_enable.eq(self.write),
            mem.write_address.eq(self.write_class),
            mem.write_data.eq(self.write_score),
        ]
        if self.clears:
            with m.If(busy):
                m.d.comb += [
                    mem.write_enable.eq(moves),
                    mem.write_address.eq(place),
                    mem.write_data.eq(0),
                ]
        with m.If(self.send):
            m.d.sync += busy.eq(1)
        with m.If(moves):
            m.d.sync += place.eq(after)
            if self.classes > 1:
                m.d.sync += last.eq(place == self.classes - 2)
            with m.If(last):
                m.d.sync += [busy.eq(0), silent.eq(0)]
        return m
