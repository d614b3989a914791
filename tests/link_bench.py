# SPDX-License-Identifier: BSD-2-Clause
"""A small stand-in for the accelerator, and its model, for tests of what surrounds it."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Array, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.link.parameters import LinkParameters


def sums(image: Sequence[int], classes: int) -> list[int]:
    """Score c sums every integer k of the image with k % classes == c; odd scores are negated."""
    return [sum(image[c::classes]) * (1 - 2 * (c % 2)) for c in range(classes)]


def winner(scores: Sequence[int]) -> int:
    """Index of the largest score, ties to the lowest."""
    return max(range(len(scores)), key=lambda c: (scores[c], -c))


class SumAccelerator(wiring.Component):
    """Computes `sums` with the streams of a real accelerator, after ``delay`` cycles of thought.

    With ``address_width`` it has a memory of bytes: byte a, loaded over ``boot``, is added to
    score a; ``loaded`` rises when the byte at the last address has been written.
    """

    def __init__(self, parameters: LinkParameters, delay: int = 0) -> None:
        self.parameters, self.delay = parameters, delay
        members = {
            "i": In(stream.Signature(parameters.image_layout)),
            "o": Out(stream.Signature(parameters.result_layout)),
        }
        if parameters.address_width:
            members["boot"] = In(stream.Signature(parameters.boot_layout))
            members["loaded"] = Out(1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        scores = Array(Signal(signed(32), name=f"score_{c}") for c in range(p.classes))
        extra = Array(Signal(8, name=f"extra_{c}") for c in range(p.classes))
        count = Signal(range(p.image_length + 1))
        channel, best, index = (Signal(range(max(2, p.classes)), name=n) for n in ("c", "b", "k"))
        wait = Signal(range(self.delay + 1))
        best_score, total = Signal(signed(32)), Signal(signed(32))
        error = Signal()
        m.d.comb += total.eq(Mux(index[0], -scores[index], scores[index]) + extra[index])
        with m.FSM():
            with m.State("IMAGE"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [
                        scores[channel].eq(scores[channel] + self.i.p.value),
                        channel.eq(Mux(channel == p.classes - 1, 0, channel + 1)),
                        count.eq(Mux(count == p.image_length, count, count + 1)),
                    ]
                    with m.If(self.i.p.last):
                        m.d.sync += [
                            error.eq(count != p.image_length - 1),
                            index.eq(0),
                            wait.eq(self.delay),
                        ]
                        m.next = "THINK"
            with m.State("THINK"):
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 0):
                    m.next = "RESULT"
            with m.State("RESULT"):
                better = (index == 0) | (total > best_score)
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.p.score.eq(total),
                    self.o.p.winner.eq(Mux(better, index, best)),
                    self.o.p.error.eq(error),
                    self.o.p.last.eq(index == p.classes - 1),
                ]
                with m.If(self.o.ready):
                    m.d.sync += [index.eq(index + 1), scores[index].eq(0)]
                    with m.If(better):
                        m.d.sync += [best.eq(index), best_score.eq(total)]
                    with m.If(self.o.p.last):
                        m.d.sync += [count.eq(0), channel.eq(0)]
                        m.next = "IMAGE"
        if p.address_width:
            m.d.comb += self.boot.ready.eq(1)
            with m.If(self.boot.valid):
                m.d.sync += extra[self.boot.p.address].eq(self.boot.p.data)
                with m.If(self.boot.p.address == p.classes - 1):
                    m.d.sync += self.loaded.eq(1)
        return m
