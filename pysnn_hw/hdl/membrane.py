# SPDX-License-Identifier: BSD-2-Clause
"""One bank of membrane memory with its adders: a read-modify-write every cycle."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import BlockMemory

__all__ = ["MembraneBank"]

_STYLE = {"lut": "distributed", "block": "block"}


class MembraneBank(wiring.Component):
    """Accumulates one word of ``lanes`` membranes per cycle, or lets the fire phase scan them.

    Accumulate: ``step`` presents an address (stage *read*); the memory answers (*fetch*); the
    addends, which must arrive two cycles after the address, are added (*add*); the sum is written
    (*write*). A word read before its last update was written takes the newer value from the
    pipeline instead: steps closer than four cycles on one address are bypassed, unless the caller
    proves (``min_distance``) that they do not occur.

    Scan (``scanning`` high, no step in flight): ``scan_address`` is read whenever ``advance`` is
    high and ``scan_data`` follows two advances later; ``restore`` writes a word back.

    Parameters
    ----------
    depth, lanes, bits
        Words, membranes per word, width of each.
    addend_bits
        Width of the signed addends.
    min_distance
        Cycles that are known to separate two steps on one address (1: anything may happen).
    kind
        ``lut`` or ``block``.
    family
        Device family that block RAM is cut for.

    Members
    -------
    step : In(1), step_address : In(unsigned)
    addends : In(ArrayLayout(signed(addend_bits), lanes))
    scanning : In(1), advance : In(1), scan_address : In(unsigned)
    scan_data : Out(ArrayLayout(signed(bits), lanes))
    restore : In(1), restore_address : In(unsigned), restore_data : In(ArrayLayout)
    """

    hazard = 4
    """Steps at least this many cycles apart need no bypass."""

    def __init__(
        self,
        *,
        depth: int,
        lanes: int,
        bits: int,
        addend_bits: int,
        min_distance: int,
        kind: str,
        family: str = "ecp5",
    ):
        if kind not in _STYLE:
            raise ValueError(f"kind must be one of {', '.join(_STYLE)}, not {kind!r}")
        if min_distance < 1:
            raise ValueError(f"min_distance must be at least 1, not {min_distance!r}")
        self.depth, self.lanes, self.bits = depth, lanes, bits
        self.addend_bits, self.min_distance, self.kind = addend_bits, min_distance, kind
        self.family = family
        self.word = data.ArrayLayout(signed(bits), lanes)
        address = unsigned(max(1, (depth - 1).bit_length()))
        super().__init__(
            {
                "step": In(1),
                "step_address": In(address),
                "addends": In(data.ArrayLayout(signed(addend_bits), lanes)),
                "scanning": In(1),
                "advance": In(1),
                "scan_address": In(address),
                "scan_data": Out(self.word),
                "restore": In(1),
                "restore_address": In(address),
                "restore_data": In(self.word),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = mem = BlockMemory(
            self.depth, self.word.size, family=self.family, style=_STYLE[self.kind]
        )
        step_pipe = [(self.step, self.step_address)]
        for name in ("fetch", "add", "write"):
            step = Signal(name=f"{name}_step")
            address = Signal.like(self.step_address, name=f"{name}_address")
            m.d.sync += [step.eq(step_pipe[-1][0]), address.eq(step_pipe[-1][1])]
            step_pipe.append((step, address))

        # Same address `distance` steps ahead, seen in stage "read" and carried along.
        def conflict(distance):
            ahead, address = step_pipe[distance]
            return ahead & (address == self.step_address)

        after1, after2, after3 = Signal(), Signal(), Signal()
        after1_add = Signal()
        m.d.sync += [
            after1.eq(conflict(1) if self.min_distance <= 1 else 0),
            after2.eq(conflict(2) if self.min_distance <= 2 else 0),
            after3.eq(conflict(3) if self.min_distance <= 3 else 0),
            after1_add.eq(after1),
        ]

        moving = Signal()
        operand, total, older = Signal(self.word), Signal(self.word), Signal(self.word)
        m.d.comb += [
            moving.eq(~self.scanning | self.advance),
            mem.read_address.eq(Mux(self.scanning, self.scan_address, self.step_address)),
            mem.read_enable.eq(moving),
            self.scan_data.eq(operand),
        ]
        fetched = Signal(self.word)
        m.d.comb += fetched.as_value().eq(mem.read_data)
        if self.min_distance <= 3:
            m.d.sync += older.eq(total)
        with m.If(moving):
            with m.If(after2):
                m.d.sync += operand.eq(total)
            with m.Elif(after3):
                m.d.sync += operand.eq(older)
            with m.Else():
                m.d.sync += operand.eq(fetched)
        for lane in range(self.lanes):
            base = Mux(after1_add, total[lane], operand[lane])
            m.d.sync += total[lane].eq(base + self.addends[lane])

        write_step, write_address = step_pipe[3]
        m.d.comb += [
            mem.write_enable.eq(Mux(self.scanning, self.restore, write_step)),
            mem.write_address.eq(Mux(self.scanning, self.restore_address, write_address)),
            mem.write_data.eq(Mux(self.scanning, self.restore_data.as_value(), total.as_value())),
        ]
        return m
