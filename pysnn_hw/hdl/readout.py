# SPDX-License-Identifier: BSD-2-Clause
"""Sends the scores of an image one by one and finds the winning class."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import coordinate_shape
from pysnn_hw.hdl.score_shifter import ScoreShifter, score_word_layout

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

    latency = 4

    def __init__(self, classes: int, *, lanes: int, score_bits: int) -> None:
        self.classes, self.lanes, self.score_bits = classes, lanes, score_bits
        self.i_layout = score_word_layout(classes, lanes, score_bits)
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

        m.submodules.shifter = shifter = ScoreShifter(  # stage 1
            self.classes, lanes=self.lanes, score_bits=self.score_bits
        )
        wiring.connect(m, wiring.flipped(self.i), shifter.i)

        # Stage 2: one score and its class. Stage 3: it, and the best up to and including it.
        s2_valid, s2_last = Signal(), Signal()
        s2_score, s2_class = Signal(signed(self.score_bits)), Signal(coordinate_shape(self.classes))
        s3_valid, s3_last = Signal(), Signal()
        s3_score, best, winner = Signal.like(s2_score), Signal.like(s2_score), Signal.like(s2_class)
        following = Signal()  # an earlier score of the same image was taken
        better, informed = Signal(), Signal()
        m.d.comb += [
            informed.eq(~(s3_valid & s3_last) | self.status.valid),
            advance.eq((self.o.ready | ~self.o.valid) & informed),
            shifter.o.ready.eq(advance),
            self.status.ready.eq((self.o.ready | ~self.o.valid) & s3_valid & s3_last),
            better.eq(~following | (s2_score > best)),
        ]
        with m.If(advance):
            m.d.sync += [
                s2_valid.eq(shifter.o.valid),
                s2_score.eq(shifter.o.p.score),
                s2_last.eq(shifter.o.p.last),
                s3_valid.eq(s2_valid),
                s3_score.eq(s2_score),
                s3_last.eq(s2_last),
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
                self.o.valid.eq(s3_valid & informed),
                self.o.p.score.eq(s3_score),
                self.o.p.last.eq(s3_last),
                self.o.p.error.eq(s3_last & self.status.payload),
                self.o.p.winner.eq(Mux(s3_last, winner, 0)),
            ]
        return m
