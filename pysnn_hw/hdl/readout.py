# SPDX-License-Identifier: BSD-2-Clause
"""Sends the scores of an image one by one and finds the winning class."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import coordinate_shape

__all__ = ["Readout"]


class Readout(wiring.Component):
    """Final membranes in words, scores out in class order, with a running argmax.

    One score per cycle, words follow each other without a bubble. Ties go to the lowest class. The
    last score of an image waits for the image's status.

    Parameters
    ----------
    classes
        Number of classes.
    lanes
        Scores per word; divides the classes.
    score_bits
        Width of a score in the words, at most 32.

    Members
    -------
    i : In(stream.Signature({values, group, last}))
        Words in ascending ``group``; lane p is class ``group * lanes + p``; ``last`` on the final
        word of an image.
    status : In(stream.Signature(1))
        One transfer per image: 1 if its input was malformed.
    o : Out(stream.Signature({score, winner, error, last}))
        Scores, sign-extended to 32 bits, ``latency`` cycles after their word when not stalled.
        With ``last``, ``winner`` is the argmax and ``error`` the status; else both are zero.
    """

    latency = 3

    def __init__(self, classes: int, *, lanes: int, score_bits: int) -> None:
        if classes < 1 or lanes < 1 or classes % lanes:
            raise ValueError(f"lanes must divide the {classes} classes, not be {lanes!r}")
        if not 1 <= score_bits <= 32:
            raise ValueError(f"score_bits must be in 1..32, not {score_bits!r}")
        self.classes, self.lanes, self.score_bits = classes, lanes, score_bits
        self.i_layout = data.StructLayout(
            {
                "values": data.ArrayLayout(signed(score_bits), lanes),
                "group": coordinate_shape(classes // lanes),
                "last": 1,
            }
        )
        self.o_layout = data.StructLayout(
            {"score": signed(32), "winner": coordinate_shape(classes), "error": 1, "last": 1}
        )
        super().__init__(
            {
                "i": In(stream.Signature(self.i_layout)),
                "status": In(stream.Signature(1)),
                "o": Out(stream.Signature(self.o_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        advance = Signal()  # stages 2 and 3 move

        # Stage 1: a word, shifted down by one score per cycle.
        word, last_word = Signal(self.i_layout["values"].shape), Signal()
        filled, lane = Signal(), Signal(range(max(2, self.lanes)))
        final_lane = Signal()
        m.d.comb += [
            final_lane.eq(lane == self.lanes - 1),
            self.i.ready.eq(~filled | (advance & final_lane)),
        ]
        with m.If(self.i.ready):
            m.d.sync += [
                filled.eq(self.i.valid),
                word.eq(self.i.p["values"]),
                last_word.eq(self.i.p.last),
                lane.eq(0),
            ]
        with m.Elif(advance):
            m.d.sync += [word.eq(word.as_value() >> self.score_bits), lane.eq(lane + 1)]

        # Stage 2: one score and its class. Stage 3: compare with the best so far.
        s2_valid, s2_last = Signal(), Signal()
        s2_score, s2_class = Signal(signed(self.score_bits)), Signal(coordinate_shape(self.classes))
        following = Signal()  # an earlier score of the same image was taken
        best, winner = Signal.like(s2_score), Signal.like(s2_class)
        better, informed = Signal(), Signal()
        m.d.comb += [
            informed.eq(~(s2_valid & s2_last) | self.status.valid),
            advance.eq((self.o.ready | ~self.o.valid) & informed),
            self.status.ready.eq((self.o.ready | ~self.o.valid) & s2_valid & s2_last),
            better.eq(~following | (s2_score > best)),
        ]
        with m.If(advance):
            m.d.sync += [
                s2_valid.eq(filled),
                s2_score.eq(word[0]),
                s2_last.eq(last_word & final_lane),
            ]
            with m.If(s2_valid):
                m.d.sync += [
                    s2_class.eq(Mux(s2_last, 0, s2_class + 1)),
                    following.eq(~s2_last),
                ]
                with m.If(better):
                    m.d.sync += [best.eq(s2_score), winner.eq(s2_class)]
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += [
                self.o.valid.eq(s2_valid & informed),
                self.o.p.score.eq(s2_score),
                self.o.p.last.eq(s2_last),
                self.o.p.error.eq(s2_last & self.status.payload),
                self.o.p.winner.eq(Mux(s2_last, Mux(better, s2_class, winner), 0)),
            ]
        return m
