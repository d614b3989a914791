# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""The values that membranes start from, word by word as a scan leaves the pipeline."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.hdl.events import coordinate_shape
from pysnn_hw.hdl.fire import select
from pysnn_hw.ir.snn import Array

__all__ = ["StartWords"]


class StartWords(wiring.Component):
    """Start values of the word that a `Scan` shows, at the same time as its ``entry``.

    Values that depend on the channel alone are constants in logic, chosen by ``group``. One value
    per neuron takes a read-only memory in scan order, addressed by what the scan is ``ahead``, so
    that a register can follow the memory.

    Parameters
    ----------
    values
        int64 (groups, lanes) or, in scan order, (words, lanes).
    groups, words
        Words per position and per timestep.
    bits
        Width of a value.
    family
        Device family that block RAM is cut for.

    Members
    -------
    advance : In(1), ahead : In(unsigned), group : In(unsigned)
        The scan's ``advance``, ``ahead`` and ``entry.group``.
    word : Out(ArrayLayout(signed(bits), lanes))
    """

    def __init__(self, values: Array, *, groups: int, words: int, bits: int, family: str):
        if len(values) not in (groups, words):
            raise ValueError(f"{len(values)} words of values are neither {groups} nor {words}")
        self.values, self.groups = values, groups
        self.layout = data.ArrayLayout(signed(bits), values.shape[1])
        self.memory = None
        if len(values) != groups:
            contents = [self.layout.const(word).as_bits() for word in values.tolist()]
            self.memory = BlockMemory(words, self.layout.size, family=family, init=contents)
        super().__init__(
            {
                "advance": In(1),
                "ahead": In(coordinate_shape(words)),
                "group": In(coordinate_shape(groups)),
                "word": Out(self.layout),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if self.memory is None:
            shape = self.layout.elem_shape
            for lane in range(self.layout.length):
                m.d.comb += self.word[lane].eq(select(self.values[:, lane], self.group, shape))
            return m
        m.submodules.memory = self.memory
        m.d.comb += [
            self.memory.read_address.eq(self.ahead),
            self.memory.read_enable.eq(self.advance),
        ]
        word = Signal(self.layout)
        with m.If(self.advance):
            m.d.sync += word.as_value().eq(self.memory.read_data)
        m.d.comb += self.word.eq(word)
        return m
