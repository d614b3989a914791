# SPDX-License-Identifier: BSD-2-Clause
"""Weight memories: one wide word per accumulate cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.hdl.rom import LogicRom
from pysnn_hw.ir.snn import Array as IntArray
from pysnn_hw.plan.cost import ROM_ROW
from pysnn_hw.plan.memory import Family

__all__ = ["BOOT_BITS", "WeightMemory", "boot_words"]

BOOT_BITS = 16
"""Width of a word in the boot stream; wider memory words are written in several parts."""

_KINDS = ("lut", "block", "spram")


def boot_words(words: IntArray, weight_bits: int) -> list[int]:
    """The 16-bit words, low part first, that fill a memory of ``words`` (depth, n) at boot."""
    parts = -(-words.shape[1] * weight_bits // BOOT_BITS)
    return [
        (_pack(row, weight_bits) >> (BOOT_BITS * part)) & ((1 << BOOT_BITS) - 1)
        for row in words.tolist()
        for part in range(parts)
    ]


def _pack(row: list[int], bits: int) -> int:
    mask = (1 << bits) - 1
    return sum((value & mask) << (bits * i) for i, value in enumerate(row))


class WeightMemory(wiring.Component):
    """Read-only memory of weight words, read every cycle.

    ``weights`` belongs to the ``address`` of `latency` cycles before: memory, then an output
    register, which keeps the slow clock-to-output of a block RAM off the multipliers; in logic,
    rows of `ROM_ROW` words, then the choice between them.

    Parameters
    ----------
    words
        Integers (depth, n): n weights side by side.
    weight_bits
        Two's complement width of each weight.
    kind
        ``lut`` (ROM in logic), ``block`` (initialised block RAM) or ``spram`` (no initial contents:
        written at boot through ``boot``; reading and writing exclude each other).
    family
        Device family that block RAM is cut for.

    Members
    -------
    address : In(unsigned)
    weights : Out(ArrayLayout(signed(weight_bits), n))
    boot : In({en, address, part, data})
        Only for ``spram``: writes 16 bits of one word.
    """

    latency = 2

    def __init__(self, words: IntArray, *, weight_bits: int, kind: str, family: Family = "ecp5"):
        if kind not in _KINDS:
            raise ValueError(f"kind must be one of {', '.join(_KINDS)}, not {kind!r}")
        limit = 1 << (weight_bits - 1)
        if words.min() < -limit or words.max() >= limit:
            raise ValueError(f"weights {words.min()}..{words.max()} do not fit {weight_bits} bits")
        self.words, self.weight_bits, self.kind, self.family = words, weight_bits, kind, family
        self.depth, self.count = words.shape
        self.parts = -(-self.count * weight_bits // BOOT_BITS)
        members = {
            "address": In(unsigned(max(1, (self.depth - 1).bit_length()))),
            "weights": Out(data.ArrayLayout(signed(weight_bits), self.count)),
        }
        if kind == "spram":
            members["boot"] = In(
                wiring.Signature(
                    {
                        "en": Out(1),
                        "address": Out(members["address"].shape),
                        "part": Out(range(max(2, self.parts))),
                        "data": Out(BOOT_BITS),
                    }
                )
            )
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        rows = [_pack(row, self.weight_bits) for row in self.words.tolist()]
        width = self.count * self.weight_bits
        if self.kind == "lut":
            m.submodules.memory = rom = LogicRom(rows, width, family=self.family, row=ROM_ROW)
            m.d.comb += [rom.address.eq(self.address), self.weights.as_value().eq(rom.data)]
            return m
        if self.kind == "spram":
            read = self._booted(m)
        else:
            m.submodules.memory = mem = BlockMemory(
                width=width, depth=self.depth, family=self.family, init=rows
            )
            m.d.comb += [mem.read_address.eq(self.address), mem.read_enable.eq(1)]
            read = mem.read_data
        # Without a reset it can be the memory block's own.
        register = Signal.like(self.weights, reset_less=True)
        m.d.sync += register.as_value().eq(read)
        m.d.comb += self.weights.eq(register)
        return m

    def _booted(self, m):
        address = Signal.like(self.address)
        m.d.comb += address.eq(Mux(self.boot.en, self.boot.address, self.address))
        columns = []
        for part in range(self.parts):
            # One 16-bit column per part: the single port of an SPRAM serves reads or writes.
            column = memory.Memory(
                shape=unsigned(BOOT_BITS),
                depth=max(2, self.depth),
                init=[],
                attrs={"ram_style": "huge"},
            )
            m.submodules[f"column_{part}"] = column
            write, read = column.write_port(), column.read_port()
            hit = Signal(name=f"hit_{part}")
            m.d.comb += [
                hit.eq(self.boot.en & (self.boot.part == part)),
                write.addr.eq(address),
                write.data.eq(self.boot.data),
                write.en.eq(hit),
                read.addr.eq(address),
                read.en.eq(~hit),
            ]
            columns.append(read.data)
        return Cat(*columns)[: self.count * self.weight_bits]
