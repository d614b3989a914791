# SPDX-License-Identifier: BSD-2-Clause
"""Takes words of scores apart."""

from amaranth.hdl import Module, Shape, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import coordinate_shape

__all__ = ["ScoreShifter", "score_word_layout"]


def score_word_layout(
    classes: int, lanes: int, score_bits: int, flags: tuple[str, ...] = ()
) -> data.StructLayout:
    """Scores of ``lanes`` classes: lane p of ``group`` is class ``group * lanes + p``.

    ``last`` is set on the final word of all classes; ``flags`` names bits beside it.
    """
    if classes < 1 or lanes < 1 or classes % lanes:
        raise ValueError(f"lanes must divide the {classes} classes, not be {lanes!r}")
    if not 1 <= score_bits <= 32:
        raise ValueError(f"score_bits must be in 1..32, not {score_bits!r}")
    return data.StructLayout(
        {
            "values": data.ArrayLayout(signed(score_bits), lanes),
            "group": coordinate_shape(classes // lanes),
            "last": 1,
            **dict.fromkeys(flags, Shape(1)),
        }
    )


class ScoreShifter(wiring.Component):
    """Words in ascending ``group`` go in, their scores come out in class order, one per cycle.

    Words follow each other without a bubble.

    Parameters
    ----------
    classes, lanes, score_bits, flags
        See `score_word_layout`; a flag of a word comes with each of its scores.

    Members
    -------
    i : In(stream.Signature(score_word_layout(...)))
    o : Out(stream.Signature({score, last, flags}))
        A cycle after its word when not stalled; ``last`` with the score of the last class.
    """

    latency = 1

    def __init__(
        self, classes: int, *, lanes: int, score_bits: int, flags: tuple[str, ...] = ()
    ) -> None:
        self.lanes, self.score_bits, self.flags = lanes, score_bits, flags
        self.i_layout = score_word_layout(classes, lanes, score_bits, flags)
        self.o_layout = data.StructLayout(
            {"score": signed(score_bits), "last": 1, **dict.fromkeys(flags, Shape(1))}
        )
        super().__init__(
            {
                "i": In(stream.Signature(self.i_layout)),
                "o": Out(stream.Signature(self.o_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word, last_word = Signal(self.i_layout["values"].shape), Signal()
        raised = {flag: Signal(name=flag) for flag in self.flags}
        lane = Signal(range(max(2, self.lanes)))
        final_lane = Signal()
        m.d.comb += [
            final_lane.eq(lane == self.lanes - 1),
            self.i.ready.eq(~self.o.valid | (self.o.ready & final_lane)),
            self.o.p.score.eq(word[0]),
            self.o.p.last.eq(last_word & final_lane),
            *(self.o.p[flag].eq(held) for flag, held in raised.items()),
        ]
        with m.If(self.i.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid),
                word.eq(self.i.p["values"]),
                last_word.eq(self.i.p.last),
                lane.eq(0),
            ]
            m.d.sync += [held.eq(self.i.p[flag]) for flag, held in raised.items()]
        with m.Elif(self.o.ready):
            m.d.sync += [word.eq(word.as_value() >> self.score_bits), lane.eq(lane + 1)]
        return m
