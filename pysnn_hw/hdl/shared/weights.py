# SPDX-License-Identifier: BSD-2-Clause
"""Weights of many layers: a memory too deep for one row of blocks."""

from amaranth.hdl import Array, Module, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.hdl.delay import COPIED, delayed
from pysnn_hw.ir.snn import Array as IntArray
from pysnn_hw.plan.latency import SHARED_WEIGHTS
from pysnn_hw.plan.memory import Family, slice_width, tiling

__all__ = ["DeepWeightMemory"]

COPY_BLOCKS = 12
"""Memory blocks that share a copy of the address."""


class DeepWeightMemory(wiring.Component):
    """Read-only memory of weight words, read every cycle.

    ``weights`` belongs to the ``address`` of `latency` cycles before. Stages: *spread* (a copy of
    the address for every few blocks, as they lie all over a device), *read* (blocks, cut as
    `tiling` says), *fetch* (their output registers), *bring* (registers on the way), *choose*
    (between rows of blocks).

    Parameters
    ----------
    words
        Integers (depth, n): n weights side by side.
    weight_bits
        Two's complement width of each weight.
    family
        Device family that block RAM is cut for.

    Members
    -------
    address : In(unsigned)
    weights : Out(ArrayLayout(signed(weight_bits), n))
    """

    latency = SHARED_WEIGHTS

    def __init__(self, words: IntArray, *, weight_bits: int, family: Family):
        limit = 1 << (weight_bits - 1)
        if words.min() < -limit or words.max() >= limit:
            raise ValueError(f"weights {words.min()}..{words.max()} do not fit {weight_bits} bits")
        self.words, self.weight_bits, self.family = words, weight_bits, family
        self.depth, self.count = words.shape
        self.rows, self.row_depth = tiling(family, self.depth, self.count * weight_bits)
        super().__init__(
            {
                "address": In(unsigned(max(1, (self.depth - 1).bit_length()))),
                "weights": Out(data.ArrayLayout(signed(weight_bits), self.count)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        inner = (self.row_depth - 1).bit_length()
        width = self.count * self.weight_bits
        packed = _packed(self.words, self.weight_bits)
        fetched = [
            Signal(width, name=f"fetched_{number}", reset_less=True) for number in range(self.rows)
        ]
        # Blocks of all rows that hold the same bits lie close to where one of them is chosen.
        step = slice_width(self.family, self.row_depth) * max(1, COPY_BLOCKS // self.rows)
        for copy, first in enumerate(range(0, width, step)):
            end = min(first + step, width)
            address = Signal.like(self.address, name=f"address_{copy}", reset_less=True)
            address.attrs[COPIED] = 1
            m.d.sync += address.eq(self.address)
            for number in range(self.rows):
                words = packed[number * self.row_depth : (number + 1) * self.row_depth]
                m.submodules[f"row_{number}_{copy}"] = row = BlockMemory(
                    len(words),
                    end - first,
                    family=self.family,
                    init=[word >> first & ((1 << end - first) - 1) for word in words],
                )
                m.d.comb += [row.read_address.eq(address), row.read_enable.eq(1)]
                m.d.sync += fetched[number][first:end].eq(row.read_data)
        chosen = self.address[inner:]
        for stage in ("spread", "read", "fetch", "bring"):
            later = Signal(max(1, len(chosen)), name=f"row_in_{stage}", reset_less=True)
            m.d.sync += later.eq(chosen)
            chosen = later
        brought = [delayed(m, word, 1, f"brought_{number}") for number, word in enumerate(fetched)]
        weights = Signal(width, reset_less=True)
        m.d.sync += weights.eq(Array(brought)[chosen] if len(brought) > 1 else brought[0])
        m.d.comb += self.weights.as_value().eq(weights)
        return m


def _packed(words: IntArray, bits: int) -> list[int]:
    """Each row as one unsigned integer, the first weight lowest."""
    mask = (1 << bits) - 1
    return [
        sum((value & mask) << (bits * i) for i, value in enumerate(row)) for row in words.tolist()
    ]
