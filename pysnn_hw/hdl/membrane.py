# SPDX-License-Identifier: BSD-2-Clause
"""One bank of membrane memory with its adders: a read-modify-write every cycle."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.hdl.delay import delayed
from pysnn_hw.plan.latency import membrane_hazard, membrane_lead

__all__ = ["MembraneBank"]

_STYLE = {"lut": "distributed", "block": "block"}


class MembraneBank(wiring.Component):
    """Accumulates one word of ``lanes`` membranes per cycle, or lets the fire phase scan them.

    Accumulate: ``step`` presents an address (stage *read*); the memory answers (*fetch*); the
    addends, which must arrive ``lead`` cycles after the address, are added (*add*); the sum is
    written (*write*). A word read before its last update was written takes the newer value from
    the pipeline instead: steps closer than ``hazard`` cycles on one address are bypassed, unless
    the caller proves (``min_distance``) that they do not occur. If the memory is ``far``, the way
    from its blocks to the adders is a stage of its own (*cross*, before *add*), in which a word
    meets all sums but the newest.

    Scan (``scanning`` high, no step in flight): ``scan_address`` is read whenever ``advance`` is
    high and ``scan_data`` follows two advances later; ``restore`` writes a word back, not the one
    that is being read.

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
    far
        Whether blocks may lie far from the adders, as those of a memory that fills half a device.

    Members
    -------
    step : In(1), step_address : In(unsigned)
    addends : In(ArrayLayout(signed(addend_bits), lanes))
    scanning : In(1), advance : In(1), scan_address : In(unsigned)
    scan_data : Out(ArrayLayout(signed(bits), lanes))
    restore : In(1), restore_address : In(unsigned), restore_data : In(ArrayLayout)
    """

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
        far: bool = False,
    ):
        if kind not in _STYLE:
            raise ValueError(f"kind must be one of {', '.join(_STYLE)}, not {kind!r}")
        if min_distance < 1:
            raise ValueError(f"min_distance must be at least 1, not {min_distance!r}")
        self.depth, self.lanes, self.bits = depth, lanes, bits
        self.addend_bits, self.min_distance, self.kind = addend_bits, min_distance, kind
        self.family, self.far = family, far
        self.lead, self.hazard = membrane_lead(far=far), membrane_hazard(far=far)
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
        # A step that reads what is being written takes it from the pipeline; a scan reads ahead.
        m.submodules.memory = mem = BlockMemory(
            self.depth,
            self.word.size,
            family=self.family,
            style=_STYLE[self.kind],
            collides=False,
        )
        step_pipe = [(self.step, self.step_address)]
        for name in ("fetch", *(("cross",) if self.far else ()), "add", "write"):
            step = Signal(name=f"{name}_step")
            address = Signal.like(self.step_address, name=f"{name}_address", reset_less=True)
            m.d.sync += [step.eq(step_pipe[-1][0]), address.eq(step_pipe[-1][1])]
            step_pipe.append((step, address))

        # The sums of the steps just ahead, newest first. Stage "add" takes the newest of its own
        # address, if there is one. That is found in stage "read", so that nothing but a register
        # follows a block RAM's slow output.
        total = Signal(self.word, reset_less=True)
        sums, found = [total], []
        bypassed = range(self.min_distance, self.hazard)
        for distance in range(2, self.hazard - self.far if bypassed else 0):
            older = Signal(self.word, name=f"total_{distance}", reset_less=True)
            m.d.sync += older.eq(sums[-1])
            sums.append(older)
        for distance in bypassed:
            ahead, address = step_pipe[distance]
            in_fetch = Signal(name=f"fetch_{distance}")
            m.d.sync += in_fetch.eq(ahead & (address == self.step_address))
            # In stage "cross" all sums but the newest are there.
            crossing = self.far and distance > 1
            met = delayed(m, in_fetch, self.lead - 1 - crossing, f"met_{distance}", flag=True)
            found.append((met, sums[distance - 1 - crossing], crossing))

        moving = Signal()
        operand = Signal(self.word, reset_less=True)
        m.d.comb += [
            moving.eq(~self.scanning | self.advance),
            mem.read_address.eq(Mux(self.scanning, self.scan_address, self.step_address)),
            mem.read_enable.eq(moving),
            self.scan_data.eq(operand),
        ]
        with m.If(moving):
            m.d.sync += operand.as_value().eq(mem.read_data)
        newer, base = Signal(self.word), Signal(self.word)
        crossed = delayed(m, newer, self.lead - 2, "crossed")
        m.d.comb += [newer.eq(operand), base.eq(crossed)]
        for is_newest, newest, crossing in reversed(found):
            with m.If(is_newest):
                m.d.comb += (newer if crossing else base).eq(newest)
        for lane in range(self.lanes):
            m.d.sync += total[lane].eq(base[lane] + self.addends[lane])

        write_step, write_address = step_pipe[-1]
        m.d.comb += [
            mem.write_enable.eq(Mux(self.scanning, self.restore, write_step)),
            mem.write_address.eq(Mux(self.scanning, self.restore_address, write_address)),
            mem.write_data.eq(Mux(self.scanning, self.restore_data.as_value(), total.as_value())),
        ]
        return m
