# SPDX-License-Identifier: BSD-2-Clause
"""Event queue: the elastic joint between cores."""

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import NO_CHECK
from pysnn_hw.hdl.skid import SkidBuffer

__all__ = ["EventQueue"]


class EventQueue(wiring.Component):
    """First-in first-out queue of stream transfers.

    One transfer in and one out per cycle. A transfer leaves no earlier than `latency` cycles
    after it entered. Stages: *store*, *read* (memory), *fetch* (a register that can be the memory
    block's own), a skid buffer; *read* and *fetch* move together. No combinational path leads
    through: the input's readiness is a register, too (it looks one transfer ahead).

    Parameters
    ----------
    shape
        Payload.
    depth
        Transfers it has room for, at least 6; it stops taking a few short of that.

    Members
    -------
    i : In(stream.Signature(shape))
    o : Out(stream.Signature(shape))
    """

    latency = 4

    def __init__(self, shape, *, depth):
        if depth < 6:
            raise ValueError(f"depth must be at least 6, not {depth!r}")
        self.shape, self.depth = shape, depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        words = self.depth - 2
        m.submodules.memory = store = memory.Memory(
            shape=unsigned(len(Value.cast(self.i.payload))),
            depth=words,
            init=[],
            attrs={NO_CHECK: 1},  # what is read was stored before
        )
        m.submodules.skid = skid = SkidBuffer(self.shape)
        wiring.connect(m, skid.o, wiring.flipped(self.o))
        write, read = store.write_port(), store.read_port()
        stored = Signal(range(words + 1))
        level = Signal(range(self.depth + 1))  # with what stands in the stages
        produce = Signal(range(words))
        consume = Signal(range(words))
        read_valid = Signal()
        fetch_valid = Signal()
        fetched = Signal(len(Value.cast(self.i.payload)), reset_less=True)
        push, pop, moves, leaves = Signal(), Signal(), Signal(), Signal()

        def following(pointer):
            return Mux(pointer == words - 1, 0, pointer + 1)

        m.d.comb += [
            push.eq(self.i.valid & self.i.ready),
            moves.eq(~fetch_valid | skid.i.ready),
            pop.eq(moves & (stored != 0)),
            leaves.eq(fetch_valid & skid.i.ready),
            write.addr.eq(produce),
            write.data.eq(Value.cast(self.i.payload)),
            write.en.eq(push),
            read.addr.eq(consume),
            read.en.eq(moves),
            skid.i.valid.eq(fetch_valid),
            Value.cast(skid.i.payload).eq(fetched),
        ]
        m.d.sync += [stored.eq(stored + push - pop), level.eq(level + push - leaves)]
        with m.If(push):
            m.d.sync += produce.eq(following(produce))
        with m.If(pop):
            m.d.sync += consume.eq(following(consume))
        with m.If(moves):
            m.d.sync += [read_valid.eq(pop), fetch_valid.eq(read_valid), fetched.eq(read.data)]
        # One more may be on its way in: ready now promises a place after that one.
        m.d.sync += self.i.ready.eq(level < self.depth - 3)
        return m
