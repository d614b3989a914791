# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Reads the scores after every timestep and stops at the first clear winner."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.score_shifter import ScoreShifter
from pysnn_hw.hdl.score_store import ScoreStore

__all__ = ["EarlyExit"]


class EarlyExit(wiring.Component):
    """Takes the scores of every timestep, passes on those of one.

    That one is the first in which the best score is at least ``margin`` above the second, or the
    last. What follows of the same image is taken and ignored.

    Words are taken while a step's scores come; after its last one they wait for two cycles, and
    while the scores leave, for one cycle more per class.

    Parameters
    ----------
    classes
        Number of classes, at least 2.
    lanes
        Scores per word; divides the classes.
    score_bits
        Width of a score.
    margin
        At least 1.
    timesteps
        Timesteps per image.
    family
        Device family that block RAM is cut for.

    Members
    -------
    i : In(stream.Signature(score_word_layout(classes, lanes, score_bits, ("final",))))
        ``last`` on the last word of each timestep, ``final`` on all words of an image's last one.
    o : Out(stream.Signature(score_word_layout(classes, 1, score_bits)))
        The scores that count, ``latency`` cycles after the last word of their step, or later.
    exit : Out(1), steps : Out(unsigned)
        For a cycle, when it is decided: number of timesteps, from 1, that count for an image.
    """

    def __init__(
        self,
        classes: int,
        *,
        lanes: int,
        score_bits: int,
        margin: int,
        timesteps: int,
        family: str = "ecp5",
    ) -> None:
        if classes < 2:
            raise ValueError(f"a lead needs at least 2 classes, not {classes!r}")
        if margin < 1 or timesteps < 1:
            raise ValueError(f"margin and timesteps must be positive, not {margin}, {timesteps}")
        self.margin, self.timesteps, self.score_bits = margin, timesteps, score_bits
        self.shifter = ScoreShifter(classes, lanes=lanes, score_bits=score_bits, flags=("final",))
        self.store = ScoreStore(classes, score_bits=score_bits, clears=False, family=family)
        super().__init__(
            {
                "i": In(stream.Signature(self.shifter.i_layout)),
                "o": Out(stream.Signature(self.store.o_layout)),
                "exit": Out(1),
                "steps": Out(range(timesteps + 1)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the last word of a step to its first score, when not stalled."""
        return self.shifter.lanes + 3

    def elaborate(self, platform):
        m = Module()
        m.submodules.shifter, m.submodules.store = shifter, store = self.shifter, self.store
        wiring.connect(m, wiring.flipped(self.i), shifter.i)
        wiring.connect(m, store.o, wiring.flipped(self.o))

        single = shifter.o.p
        place = Signal.like(store.write_class)
        best, second = Signal(signed(self.score_bits)), Signal(signed(self.score_bits))
        first, alone = Signal(init=1), Signal()  # no score, just one score of this step so far
        lead, final, frozen = Signal(self.score_bits), Signal(), Signal()
        m.d.comb += [
            store.write_class.eq(place),
            store.write_score.eq(single.score),
            self.steps.eq(self._count(m, shifter)),
        ]
        with m.FSM(name="phase"):
            with m.State("collect"):
                m.d.comb += shifter.o.ready.eq(1)
                with m.If(shifter.o.valid):
                    m.d.comb += store.write.eq(1)
                    m.d.sync += [
                        place.eq(Mux(single.last, 0, place + 1)),
                        first.eq(single.last),
                        alone.eq(first & ~single.last),
                    ]
                    with m.If(first | (single.score > best)):
                        m.d.sync += [best.eq(single.score), second.eq(best)]
                    with m.Elif(alone | (single.score > second)):
                        m.d.sync += second.eq(single.score)
                    with m.If(single.last):
                        m.d.sync += final.eq(single.final)
                        with m.If(frozen):
                            m.d.sync += frozen.eq(~single.final)
                        with m.Else():
                            m.next = "subtract"
            with m.State("subtract"):
                m.d.sync += lead.eq(best - second)
                m.next = "decide"
            with m.State("decide"):
                m.next = "collect"
                with m.If(final | (lead >= self.margin)):
                    m.d.comb += [store.send.eq(1), self.exit.eq(1)]
                    m.d.sync += frozen.eq(~final)
                    m.next = "send"
            with m.State("send"):
                with m.If(store.idle):
                    m.next = "collect"
        return m

    def _count(self, m, shifter):
        """Timesteps of this image that have come in full."""
        count, over = Signal(range(self.timesteps + 1)), Signal()
        with m.If(shifter.o.valid & shifter.o.ready & shifter.o.p.last):
            m.d.sync += [over.eq(shifter.o.p.final), count.eq(Mux(over, 1, count + 1))]
        return count
