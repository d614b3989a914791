# SPDX-License-Identifier: BSD-2-Clause
"""Turns weight words from the order of outputs to that of the membrane banks."""

from amaranth.hdl import Array, Cat, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import coordinate_shape

__all__ = ["WeightTurner"]


class WeightTurner(wiring.Component):
    """Slot j of an axis goes to bank ``(j + turn) mod banks``; `latency` cycles, a word a cycle.

    Parameters
    ----------
    banks
        (y, x).
    bits
        Of one slot: the weights of all lanes of a bank.

    Members
    -------
    slots : In(ArrayLayout(bits, by * bx)), y_turn, x_turn : In(unsigned)
    banked : Out(ArrayLayout(bits, by * bx))
    """

    def __init__(self, banks: tuple[int, int], bits: int):
        self.banks, self.bits = banks, bits
        words = data.ArrayLayout(unsigned(bits), banks[0] * banks[1])
        super().__init__(
            {
                "slots": In(words),
                "y_turn": In(coordinate_shape(banks[0])),
                "x_turn": In(coordinate_shape(banks[1])),
                "banked": Out(words),
            }
        )

    @property
    def latency(self) -> int:
        """One cycle per axis that has banks."""
        return sum(b > 1 for b in self.banks)

    def elaborate(self, platform):
        m = Module()
        by, bx = self.banks
        rows = [Cat(self.slots[j * bx + i] for i in range(bx)) for j in range(by)]
        x_turn = self.x_turn
        if by > 1:
            rows = self._turned(m, rows, self.y_turn, "y")
            x_turn = Signal.like(self.x_turn, name="x_turn_later")
            m.d.sync += x_turn.eq(self.x_turn)
        for j, row in enumerate(rows):
            words = [row[i * self.bits : (i + 1) * self.bits] for i in range(bx)]
            if bx > 1:
                words = self._turned(m, words, x_turn, f"x{j}")
            m.d.comb += [self.banked[j * bx + i].eq(word) for i, word in enumerate(words)]
        return m

    def _turned(self, m, words, turn, name):
        count, found = len(words), []
        for bank in range(count):
            word = Signal(len(words[0]), name=f"{name}_bank_{bank}")
            m.d.sync += word.eq(Array(words[(bank - t) % count] for t in range(count))[turn])
            found.append(word)
        return found
