# SPDX-License-Identifier: BSD-2-Clause
"""Frames of bytes to bytes for the wire."""

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.link.cobs_encoder import CobsEncoder, frame_byte
from pysnn_hw.hdl.link.protocol import CRC_BYTES

__all__ = ["FrameTransmitter"]


class FrameTransmitter(wiring.Component):
    """Appends the checksum to each frame, encodes it and ends it with a zero byte.

    One byte is taken per cycle until the frame is complete; the next frame waits until this one
    has been sent.

    Parameters
    ----------
    max_frame
        Bytes of the longest frame, checksum not counted.

    Members
    -------
    i : In(stream.Signature(frame_byte))
        Frames without checksum.
    o : Out(stream.Signature(8))
    """

    def __init__(self, max_frame: int) -> None:
        if max_frame < 1:
            raise ValueError(f"max_frame must be at least 1, not {max_frame!r}")
        self.max_frame = max_frame
        super().__init__({"i": In(stream.Signature(frame_byte)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        restart = Signal()
        crc = catalog.CRC16_IBM_3740(data_width=8).create()
        # Its own `start` costs a multiplexer per bit; the reset of a flip-flop is free.
        m.submodules.crc = ResetInserter(restart)(crc)
        m.submodules.encoder = encoder = CobsEncoder(self.max_frame + CRC_BYTES)
        wiring.connect(m, encoder.o, wiring.flipped(self.o))

        m.d.comb += [crc.data.eq(self.i.p.data), crc.valid.eq(self.i.valid & self.i.ready)]
        with m.FSM():
            with m.State("DATA"):
                m.d.comb += [
                    encoder.i.valid.eq(self.i.valid),
                    encoder.i.p.data.eq(self.i.p.data),
                    self.i.ready.eq(encoder.i.ready),
                ]
                with m.If(crc.valid & self.i.p.last):
                    m.next = "HIGH"
            with m.State("HIGH"):
                m.d.comb += [encoder.i.valid.eq(1), encoder.i.p.data.eq(crc.crc[8:])]
                with m.If(encoder.i.ready):
                    m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += [
                    encoder.i.valid.eq(1),
                    encoder.i.p.data.eq(crc.crc[:8]),
                    encoder.i.p.last.eq(1),
                ]
                with m.If(encoder.i.ready):
                    m.d.comb += restart.eq(1)
                    m.next = "DATA"
        return m
