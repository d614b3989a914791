# SPDX-License-Identifier: BSD-2-Clause
"""Puts consistent overhead byte stuffing on frames of bytes."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CobsEncoder", "frame_byte"]

frame_byte = data.StructLayout({"data": 8, "last": 1})
"""A byte of a frame; ``last`` marks its final one."""

_FULL_BLOCK = 255
"""Code byte of a block of 254 bytes, the longest; no zero follows it."""


class CobsEncoder(wiring.Component):
    """Encodes frames and ends each with a zero byte.

    A whole frame is taken first, one byte a cycle and one cycle more per full block; then it is
    sent, and meanwhile ``i`` waits. A frame longer than ``max_frame`` must not be sent: it would
    overwrite its own start.

    Parameters
    ----------
    max_frame
        Bytes of the longest frame.

    Members
    -------
    i : In(stream.Signature(frame_byte))
    o : Out(stream.Signature(8))
    """

    def __init__(self, max_frame: int) -> None:
        if max_frame < 1:
            raise ValueError(f"max_frame must be at least 1, not {max_frame!r}")
        self.max_frame = max_frame
        super().__init__({"i": In(stream.Signature(frame_byte)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        full_blocks = self.max_frame // (_FULL_BLOCK - 1)
        depth = self.max_frame + 1 + full_blocks
        m.submodules.buffer = buffer = memory.Memory(shape=8, depth=depth, init=[])
        write, read = buffer.write_port(), buffer.read_port()

        # The encoded frame starts at address 0. A block's code byte is written when the block
        # ends, to the place ``block`` that was left free for it.
        block = Signal(range(depth))
        head = Signal(range(depth + 1), init=1)
        code = Signal(range(_FULL_BLOCK + 1), init=1)
        pointer, next_pointer = Signal(range(depth + 1)), Signal(range(depth + 1))
        ends_block = Signal()
        m.d.comb += [
            write.addr.eq(Mux(ends_block, block, head)),
            write.data.eq(Mux(ends_block, code, self.i.p.data)),
            read.addr.eq(next_pointer),
        ]
        m.d.sync += pointer.eq(next_pointer)
        with m.If(write.en):
            m.d.sync += [head.eq(head + 1), code.eq(code + 1)]
            with m.If(ends_block):
                m.d.sync += [block.eq(head), code.eq(1)]

        with m.FSM():
            with m.State("FILL"):
                m.d.comb += [
                    self.i.ready.eq(1),
                    write.en.eq(self.i.valid),
                    ends_block.eq(self.i.p.data == 0),
                ]
                with m.If(self.i.valid):
                    if full_blocks:
                        with m.If((code == _FULL_BLOCK - 1) & ~ends_block):
                            m.next = "FULL"
                    with m.If(self.i.p.last):
                        m.next = "CLOSE"
            if full_blocks:
                with m.State("FULL"):
                    m.d.comb += [write.en.eq(1), ends_block.eq(1)]
                    m.next = "FILL"
            with m.State("CLOSE"):
                m.d.comb += [write.en.eq(1), ends_block.eq(1)]
                m.d.sync += head.eq(head)
                m.next = "SETTLE"
            with m.State("SETTLE"):  # the byte just written may be the first one read
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(read.data)]
                with m.If(pointer == head):
                    m.d.comb += self.o.payload.eq(0)
                    with m.If(self.o.ready):
                        m.d.sync += [block.eq(0), head.eq(1)]
                        m.next = "FILL"
                with m.If(self.o.ready):
                    m.d.comb += next_pointer.eq(pointer + 1)
                with m.Else():
                    m.d.comb += next_pointer.eq(pointer)
        return m
