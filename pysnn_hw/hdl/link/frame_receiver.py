# SPDX-License-Identifier: BSD-2-Clause
"""Decoded bytes to whole, checked frames."""

from amaranth.hdl import Module, Mux, ResetInserter, Signal, unsigned
from amaranth.lib import data, fifo, memory, stream, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.link.cobs_decoder import FrameStatus, decoded_byte
from pysnn_hw.hdl.link.protocol import CRC_BYTES, HEADER_BYTES, NO_SEQUENCE, ErrorCode

__all__ = ["FrameReceiver", "error_report"]

error_report = data.StructLayout({"code": 4, "sequence": 8, "count": 8})
"""One bad frame, or ``count`` of them; ``sequence`` is ``NO_SEQUENCE`` unless trustworthy."""


class FrameReceiver(wiring.Component):
    """Keeps frames until their checksum is known to be good, and reports all others.

    Nothing of a frame is offered before its end has been seen and its checksum is right. While
    one frame is being read out, the next are received into what is left of the buffer, and the
    room of every byte read is free at once. A good frame that finds no room is reported as
    `ErrorCode.BUSY` with its sequence number.

    The input never waits. Errors that occur while one is still being offered are added up and
    then reported together: `ErrorCode.SEVERAL` if they are more than one.

    Parameters
    ----------
    max_frame
        Bytes of the longest frame, checksum included.
    depth
        Bytes of the buffer, a power of two above ``max_frame``.
    frames
        Good frames that can wait behind the one being read out.

    Members
    -------
    i : In(stream.Signature(decoded_byte))
    o : Out(stream.Signature({data, left}))
        The bytes of good frames without checksum; ``left`` more of the same frame follow.
    errors : Out(stream.Signature(error_report))
    """

    def __init__(self, max_frame: int, *, depth: int | None = None, frames: int = 2) -> None:
        if depth is None:
            depth = 1 << max_frame.bit_length()
        if max_frame < HEADER_BYTES + CRC_BYTES:
            raise ValueError(f"max_frame must be at least 4, not {max_frame!r}")
        if depth & (depth - 1) or depth <= max_frame:
            raise ValueError(f"depth must be a power of two above {max_frame}, not {depth!r}")
        if frames < 1:
            raise ValueError(f"frames must be at least 1, not {frames!r}")
        self.max_frame, self.depth, self.frames = max_frame, depth, frames
        self.o_layout = data.StructLayout({"data": 8, "left": unsigned(max_frame.bit_length())})
        super().__init__(
            {
                "i": In(stream.Signature(decoded_byte)),
                "o": Out(stream.Signature(self.o_layout)),
                "errors": Out(stream.Signature(error_report)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        crc = catalog.CRC16_IBM_3740(data_width=8).create()
        # Its own `start` costs a multiplexer per bit; the reset of a flip-flop is free.
        m.submodules.crc = ResetInserter(self.i.valid & self.i.p.end)(crc)
        m.submodules.buffer = buffer = memory.Memory(shape=8, depth=self.depth, init=[])
        m.submodules.lengths = lengths = fifo.SyncFIFOBuffered(
            width=self.o_layout["left"].width, depth=self.frames
        )
        write, read = buffer.write_port(), buffer.read_port()

        # ``start .. head`` is the frame that is arriving, ``tail .. start`` waits to be read.
        head, start, tail = (Signal(range(self.depth), name=n) for n in ("head", "start", "tail"))
        length = Signal(range(self.max_frame + 1))
        sequence = Signal(8)
        overflow, given_up = (Signal(name=name) for name in ("overflow", "given_up"))
        report, code, reported_sequence = Signal(), Signal(ErrorCode), Signal(8, init=NO_SEQUENCE)
        m.d.comb += [
            self.i.ready.eq(1),
            crc.data.eq(self.i.p.data),
            write.addr.eq(head),
            write.data.eq(self.i.p.data),
        ]

        with m.If(self.i.valid & ~self.i.p.end & ~given_up):
            m.d.comb += crc.valid.eq(1)
            with m.If(length == 1):
                m.d.sync += sequence.eq(self.i.p.data)
            with m.If(length == self.max_frame):
                m.d.comb += [report.eq(1), code.eq(ErrorCode.TOO_LONG)]
                m.d.sync += given_up.eq(1)
            with m.Else():
                m.d.sync += length.eq(length + 1)
            with m.If((head + 1)[: len(head)] == tail):
                m.d.sync += overflow.eq(1)
            with m.Elif(~overflow):
                m.d.comb += write.en.eq(1)
                m.d.sync += head.eq(head + 1)

        with m.If(self.i.valid & self.i.p.end):
            m.d.sync += [length.eq(0), overflow.eq(0), given_up.eq(0), head.eq(start)]
            m.d.comb += report.eq(~given_up)
            with m.If(self.i.p.status == FrameStatus.MALFORMED):
                m.d.comb += code.eq(ErrorCode.MALFORMED)
            with m.Elif(self.i.p.status == FrameStatus.SILENT):
                m.d.comb += code.eq(ErrorCode.TIMEOUT)
            with m.Elif(~crc.match_detected):
                m.d.comb += code.eq(ErrorCode.BAD_CRC)
            with m.Elif(length < HEADER_BYTES + CRC_BYTES):
                m.d.comb += code.eq(ErrorCode.BAD_LENGTH)
            with m.Elif(overflow | ~lengths.w_rdy):
                m.d.comb += [code.eq(ErrorCode.BUSY), reported_sequence.eq(sequence)]
            with m.Elif(~given_up):
                m.d.comb += [report.eq(0), lengths.w_en.eq(1)]
                m.d.sync += [head.eq(head - CRC_BYTES), start.eq(head - CRC_BYTES)]
        m.d.comb += lengths.w_data.eq(length - (CRC_BYTES + 1))

        self._read_frames(m, read, lengths, tail)
        self._queue_error(m, report, code, reported_sequence)
        return m

    def _read_frames(self, m, read, lengths, tail):
        """Offer the waiting frames; ``read.data`` is always the byte at ``tail``."""
        next_tail = Signal.like(tail)
        left = Signal(self.o_layout["left"].shape)
        m.d.comb += [
            next_tail.eq(tail + (self.o.valid & self.o.ready)),
            read.addr.eq(next_tail),
            lengths.r_en.eq(~self.o.valid),
            self.o.p.data.eq(read.data),
            self.o.p.left.eq(left),
        ]
        m.d.sync += tail.eq(next_tail)
        with m.If(~self.o.valid):
            m.d.sync += [self.o.valid.eq(lengths.r_rdy), left.eq(lengths.r_data)]
        with m.Elif(self.o.ready):
            m.d.sync += [self.o.valid.eq(left != 0), left.eq(left - 1)]

    def _queue_error(self, m, report, code, sequence):
        """Offer errors one by one, adding up those that occur meanwhile."""
        waiting = Signal(error_report)
        moves = Signal()
        m.d.comb += moves.eq((waiting.count != 0) & (self.errors.ready | ~self.errors.valid))
        with m.If(moves):
            m.d.sync += [self.errors.p.eq(waiting), waiting.count.eq(0)]
        with m.If(self.errors.ready | ~self.errors.valid):
            m.d.sync += self.errors.valid.eq(moves)
        with m.If(report):
            with m.If(moves | (waiting.count == 0)):
                m.d.sync += [
                    waiting.code.eq(code),
                    waiting.sequence.eq(sequence),
                    waiting.count.eq(1),
                ]
            with m.Else():
                m.d.sync += [
                    waiting.code.eq(ErrorCode.SEVERAL),
                    waiting.sequence.eq(NO_SEQUENCE),
                    waiting.count.eq(Mux(waiting.count == 255, 255, waiting.count + 1)),
                ]
