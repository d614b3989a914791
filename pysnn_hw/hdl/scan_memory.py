# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""What neurons remember besides their membranes, in scan order."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.hdl.events import coordinate_shape

__all__ = ["ScanMemory"]


class ScanMemory(wiring.Component):
    """One word per scanned word, read `latency` advances after its ``index``: beside its membranes.

    A word must not be written between the advance that shows its ``index`` and the one that reads
    it; a core writes it at the end of its pipeline, and starts no scan before the last one is
    through.

    Parameters
    ----------
    words, width
        Words per timestep and their bits.
    family
        Device family that block RAM is cut for.

    Members
    -------
    advance : In(1), index : In(unsigned), word : Out(width)
    forget : In(1)
        ``word`` is zero whatever the memory holds, so that this needs no clearing.
    keep : In(1), keep_index : In(unsigned), keep_word : In(width)
        Write port.
    """

    latency = 3

    def __init__(self, words: int, width: int, *, family: str):
        self.memory = BlockMemory(words, width, family=family)
        index = coordinate_shape(words)
        super().__init__(
            {
                "advance": In(1),
                "index": In(index),
                "word": Out(width),
                "forget": In(1),
                "keep": In(1),
                "keep_index": In(index),
                "keep_word": In(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = mem = self.memory
        index = Signal.like(self.index)
        with m.If(self.advance):
            m.d.sync += [index.eq(self.index), self.word.eq(Mux(self.forget, 0, mem.read_data))]
        m.d.comb += [
            mem.read_address.eq(index),
            mem.read_enable.eq(self.advance),
            mem.write_enable.eq(self.keep),
            mem.write_address.eq(self.keep_index),
            mem.write_data.eq(self.keep_word),
        ]
        return m
