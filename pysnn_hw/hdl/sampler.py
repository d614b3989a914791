# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Turns the scores of every timestep into votes."""

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.hdl.score_shifter import ScoreShifter
from pysnn_hw.hdl.score_store import ScoreStore
from pysnn_hw.hdl.xorshift import xorshift32
from pysnn_hw.ir.widths import signed_bits

__all__ = ["Sampler"]

NOISE_VALUES = 256


class Sampler(wiring.Component):
    """In every timestep the class of the largest ``score + noise`` gets a vote.

    Noise is drawn per class and timestep from a table, by the top eight bits of a 32-bit xorshift
    generator that advances with each score and starts anew at every image. Ties go to the lowest
    class. After an image's last timestep the votes leave as its scores.

    Words are taken while a step's scores come; after its last one they wait for `settling` cycles,
    and while the votes leave, for one cycle more per class.

    Parameters
    ----------
    classes
        Number of classes.
    lanes
        Scores per word; divides the classes.
    score_bits
        Width of a score in the words.
    noise
        The 256 integers of the table.
    seed
        State of the generator before an image's first number, 1..2**32 - 1.
    timesteps
        Timesteps per image.
    family
        Device family that block RAM is cut for.

    Members
    -------
    i : In(stream.Signature(score_word_layout(classes, lanes, score_bits, ("final",))))
        ``last`` on the last word of each timestep, ``final`` on all words of an image's last one.
    o : Out(stream.Signature(score_word_layout(classes, 1, vote_bits)))
        The votes, ``latency`` cycles after an image's last word, or later.
    """

    stages = 4
    """Cycles from a score to the comparison with the best so far."""

    settling = stages + 2
    """Cycles from a step's last score to its vote being counted."""

    def __init__(
        self,
        classes: int,
        *,
        lanes: int,
        score_bits: int,
        noise: Sequence[int],
        seed: int,
        timesteps: int,
        family: str = "ecp5",
    ) -> None:
        if len(noise) != NOISE_VALUES:
            raise ValueError(f"noise must have {NOISE_VALUES} values, not {len(noise)}")
        if not 0 < seed < 1 << 32:
            raise ValueError(f"seed must be in 1..2**32 - 1, not {seed!r}")
        if timesteps < 1:
            raise ValueError(f"timesteps must be at least 1, not {timesteps!r}")
        self.classes, self.score_bits, self.seed = classes, score_bits, seed
        self.vote_bits = timesteps.bit_length() + 1
        self.noise_bits = signed_bits(min(noise), max(noise))
        self.shifter = ScoreShifter(classes, lanes=lanes, score_bits=score_bits, flags=("final",))
        self.store = ScoreStore(classes, score_bits=self.vote_bits, clears=True, family=family)
        mask = (1 << self.noise_bits) - 1
        self.table = BlockMemory(
            NOISE_VALUES, self.noise_bits, family=family, init=[n & mask for n in noise]
        )
        super().__init__(
            {
                "i": In(stream.Signature(self.shifter.i_layout)),
                "o": Out(stream.Signature(self.store.o_layout)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from an image's last word to its first vote, when not stalled."""
        return self.shifter.lanes + self.settling + 2

    def elaborate(self, platform):
        m = Module()
        m.submodules.shifter, m.submodules.store = shifter, store = self.shifter, self.store
        wiring.connect(m, wiring.flipped(self.i), shifter.i)
        wiring.connect(m, store.o, wiring.flipped(self.o))

        take, restart, final = Signal(), Signal(), Signal()
        winner, settled = self._race(m, take, restart, shifter.o.p)
        m.d.comb += [
            take.eq(shifter.o.valid & shifter.o.ready),
            store.read_class.eq(winner),
            store.write_class.eq(winner),
            store.write_score.eq(store.read_score + 1),
        ]
        with m.FSM(name="phase"):
            with m.State("clear"):
                with m.If(store.idle):
                    m.next = "collect"
            with m.State("collect"):
                m.d.comb += shifter.o.ready.eq(1)
                with m.If(take & shifter.o.p.last):
                    m.d.sync += final.eq(shifter.o.p.final)
                    m.next = "settle"
            with m.State("settle"):
                with m.If(settled):
                    m.next = "count"
            with m.State("count"):
                m.d.comb += store.write.eq(1)
                m.next = "collect"
                with m.If(final):
                    m.d.comb += restart.eq(1)
                    m.next = "send"
            with m.State("send"):
                m.d.comb += store.send.eq(1)
                m.next = "clear"
        return m

    def _race(self, m, take, restart, single):
        """The class of the largest noisy score of a step, and whether it has been found."""
        m.submodules.table = table = self.table
        state = Signal(32, init=self.seed)
        with m.If(take):
            m.d.sync += state.eq(xorshift32(state))
        with m.If(restart):
            m.d.sync += state.eq(self.seed)

        # Stage 1: the generator. Stage 2: the table. Stage 3: a register behind it. Stage 4: add.
        drawn = Signal(signed(self.noise_bits))
        noisy = Signal(signed(max(self.score_bits, self.noise_bits) + 1))
        m.d.comb += [table.read_address.eq(state[-8:]), table.read_enable.eq(1)]
        m.d.sync += drawn.eq(table.read_data)
        score, valid, last = single.score, take, single.last
        for stage in range(1, self.stages):
            stage_score = Signal(signed(self.score_bits), name=f"score_{stage}")
            stage_valid, stage_last = Signal(name=f"valid_{stage}"), Signal(name=f"last_{stage}")
            m.d.sync += [stage_score.eq(score), stage_valid.eq(valid), stage_last.eq(last)]
            score, valid, last = stage_score, stage_valid, stage_last
        ending, racing = Signal(), Signal()
        m.d.sync += [noisy.eq(score + drawn), racing.eq(valid), ending.eq(valid & last)]

        # Then: compare.
        first, place = Signal(init=1), Signal.like(self.store.read_class)
        best, winner, settled = Signal.like(noisy), Signal.like(place), Signal()
        m.d.sync += settled.eq(ending)
        with m.If(racing):
            m.d.sync += [place.eq(Mux(ending, 0, place + 1)), first.eq(ending)]
            with m.If(first | (noisy > best)):
                m.d.sync += [best.eq(noisy), winner.eq(place)]
        return winner, settled
