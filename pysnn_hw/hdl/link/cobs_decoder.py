# SPDX-License-Identifier: BSD-2-Clause
"""Takes consistent overhead byte stuffing off a stream of bytes and finds the frames."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.link.uart_receiver import received_byte

__all__ = ["CobsDecoder", "FrameStatus", "decoded_byte"]


class FrameStatus(enum.Enum, shape=2):  # type: ignore[call-arg]
    """How a frame ended."""

    WELL_FORMED = 0
    MALFORMED = 1
    """A delimiter within a block, or a byte marked as an error."""
    SILENT = 2
    """Nothing came for too long."""


decoded_byte = data.StructLayout({"data": 8, "end": 1, "status": FrameStatus})
"""A byte of a frame; or, with ``end``, no byte but the end of the frame and how it ended."""


class CobsDecoder(wiring.Component):
    """Decodes frames between zero bytes; combinational from ``i`` to ``o``.

    A byte goes in as ``o`` takes what it stands for: a data byte, the zero that ended the block
    before, the end of the frame, or nothing. Frames without any byte (two delimiters in a row)
    are passed over. A frame in which nothing arrives for ``timeout`` cycles ends there, and
    everything up to the next delimiter is dropped without a word.

    Parameters
    ----------
    timeout
        Cycles of silence within a frame; at least 2.

    Members
    -------
    i : In(stream.Signature(received_byte))
    o : Out(stream.Signature(decoded_byte))
    """

    def __init__(self, timeout: int) -> None:
        if timeout < 2:
            raise ValueError(f"timeout must be at least 2, not {timeout!r}")
        self.timeout = timeout
        super().__init__(
            {
                "i": In(stream.Signature(received_byte)),
                "o": Out(stream.Signature(decoded_byte)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        flags = ("in_frame", "bad", "skipping", "timed_out")
        in_frame, bad, skipping, timed_out = (Signal(name=name) for name in flags)
        left = Signal(8)  # data bytes still to come in this block
        zero_follows = Signal()  # the block stands for its bytes and a zero
        delimiter, code, produces = Signal(), Signal(), Signal()
        m.d.comb += [
            delimiter.eq((self.i.p.data == 0) & ~self.i.p.error),
            code.eq(left == 0),
            produces.eq(
                ~skipping & Mux(code | delimiter, in_frame & (delimiter | zero_follows), 1)
            ),
            self.i.ready.eq(~timed_out & (self.o.ready | ~produces)),
            self.o.valid.eq(timed_out | (self.i.valid & produces)),
            # The end of a silent frame is on offer while a byte may arrive.
            self.o.p.data.eq(Mux(code | timed_out, 0, self.i.p.data)),
            self.o.p.end.eq(timed_out | delimiter),
        ]
        with m.If(timed_out):
            m.d.comb += self.o.p.status.eq(FrameStatus.SILENT)
        with m.Elif(bad | ~code):
            m.d.comb += self.o.p.status.eq(FrameStatus.MALFORMED)

        timer = Signal(range(self.timeout))
        m.d.sync += timer.eq(timer - 1)
        with m.If(self.i.valid | ~in_frame | timed_out):
            m.d.sync += timer.eq(self.timeout - 1)
        # Registered, so that the offer of the end stands even if a byte arrives meanwhile.
        with m.Elif(timer == 0):
            m.d.sync += timed_out.eq(1)

        frame_ends = Signal()
        with m.If(timed_out):
            m.d.comb += frame_ends.eq(self.o.ready)
            with m.If(self.o.ready):
                m.d.sync += [timed_out.eq(0), skipping.eq(1)]
        with m.Elif(self.i.valid & self.i.ready):
            m.d.comb += frame_ends.eq(delimiter)
            with m.If(delimiter):
                m.d.sync += skipping.eq(0)
            with m.Elif(~skipping):
                m.d.sync += [in_frame.eq(1), left.eq(left - 1), bad.eq(bad | self.i.p.error)]
                with m.If(code):
                    m.d.sync += [
                        left.eq(self.i.p.data - 1),
                        zero_follows.eq(self.i.p.data != 0xFF),
                    ]
        with m.If(frame_ends):
            m.d.sync += [in_frame.eq(0), left.eq(0), bad.eq(0)]
        return m
