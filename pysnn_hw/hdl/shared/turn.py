# SPDX-License-Identifier: BSD-2-Clause
"""Turns weight words from the order of outputs to that of the membrane banks."""

from amaranth.hdl import Array, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import coordinate_shape

__all__ = ["WeightTurner"]


class WeightTurner(wiring.Component):
    """Bank b gets slot ``turns[turn][b]``, `latency` cycles later, a word a cycle.

    Parameters
    ----------
    turns
        Per turn, the slot of each bank.
    bits
        Of one slot: the weights of all lanes of a bank.

    Members
    -------
    slots : In(ArrayLayout(bits, banks)), turn : In(unsigned)
    banked : Out(ArrayLayout(bits, banks))
    """

    latency = 1

    def __init__(self, turns: list[tuple[int, ...]], bits: int):
        self.turns, self.bits = turns, bits
        words = data.ArrayLayout(unsigned(bits), len(turns[0]))
        super().__init__(
            {
                "slots": In(words),
                "turn": In(coordinate_shape(len(turns))),
                "banked": Out(words),
            }
        )

    def elaborate(self, platform):
        m = Module()
        banked = Signal.like(self.banked, reset_less=True)
        m.d.comb += self.banked.eq(banked)
        for bank in range(len(self.turns[0])):
            choices = [self.slots[slots[bank]] for slots in self.turns]
            same = len({slots[bank] for slots in self.turns}) == 1
            m.d.sync += banked[bank].eq(choices[0] if same else Array(choices)[self.turn])
        return m
