# SPDX-License-Identifier: BSD-2-Clause
"""Packets of many images, as a DMA engine moves them, to and from an accelerator."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import EventKind

__all__ = ["AxiPackets"]


class AxiPackets(wiring.Component):
    """Stands between a DMA engine and the ports of an `AxiStreamTop`.

    A DMA engine sets ``tlast`` at the end of a transfer only and drops ``tuser``. So here a packet
    holds any number of images, and its answer is a packet of as many results.

    Going in, an image ends after ``length`` integers, or earlier with the packet, which is an
    error of that image alone. For an input of events an image ends with its marker.

    Coming out, a result is its scores and then one word with what ``tuser`` said (bit 0: error,
    above it the winning class). ``tlast`` falls on that word of the result whose image ended its
    packet. Scores pass in the cycle in which they come.

    Parameters
    ----------
    length
        Integers of an image; None for an input of events.
    data_bits
        Width of ``tdata`` towards the accelerator.
    user_bits
        Width of ``tuser`` from the accelerator, at most 32.

    Members
    -------
    s_axis_tdata : In(8 * k)
        From the DMA engine; ``k`` is a power of two, as its ports are. The accelerator gets the
        low bits.
    s_axis_tlast : In(1)
        The packet's end.
    m_axis_tdata : Out(32), m_axis_tlast : Out(1)
        To the DMA engine.
    m_axis_tkeep : Out(4)
        All bytes count.
    s_axis_tvalid, s_axis_tready, m_axis_tvalid, m_axis_tready
        Handshakes.
    image_tdata : Out(data_bits), image_tlast, image_tvalid, image_tready
        To ``s_axis`` of the accelerator.
    score_tdata : In(32), score_tuser : In(user_bits), score_tlast, score_tvalid, score_tready
        From ``m_axis`` of the accelerator.
    inside : Out(1)
        Something of an image has come in of which the result has not left.
    result_leaves : Out(1)
        The last word of a result is transferred.
    result_error : Out(1)
        Its error, in that cycle.
    """

    most_images = 16
    """Further ones wait outside; no chain of cores holds as many."""

    def __init__(self, length: int | None, *, data_bits: int, user_bits: int) -> None:
        if length is not None and length < 1:
            raise ValueError(f"length must be at least 1, not {length}")
        if not 1 <= user_bits <= 32:
            raise ValueError(f"user_bits must be in 1..32, not {user_bits}")
        self.length, self.data_bits, self.user_bits = length, data_bits, user_bits
        self.port_bits = max(8, 1 << (data_bits - 1).bit_length())
        super().__init__(
            {
                "s_axis_tdata": In(self.port_bits),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(32),
                "m_axis_tkeep": Out(4),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
                "image_tdata": Out(data_bits),
                "image_tvalid": Out(1),
                "image_tready": In(1),
                "image_tlast": Out(1),
                "score_tdata": In(32),
                "score_tvalid": In(1),
                "score_tready": Out(1),
                "score_tlast": In(1),
                "score_tuser": In(user_bits),
                "inside": Out(1),
                "result_leaves": Out(1),
                "result_error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # One bit per image inside: whether it ended its packet.
        m.submodules.ends = ends = SyncFIFOBuffered(width=1, depth=self.most_images)
        self._take_images(m, ends)
        self._send_results(m, ends)
        return m

    def _take_images(self, m, ends):
        """From the DMA engine to the accelerator."""
        whole, moves, part = Signal(), Signal(), Signal()
        m.d.comb += [
            self.image_tdata.eq(self.s_axis_tdata),
            self.image_tlast.eq(whole | self.s_axis_tlast),
            self.image_tvalid.eq(self.s_axis_tvalid & ends.w_rdy),
            self.s_axis_tready.eq(self.image_tready & ends.w_rdy),
            moves.eq(self.image_tvalid & self.image_tready),
            ends.w_data.eq(self.s_axis_tlast),
            self.inside.eq(part | (ends.level != 0)),
        ]
        with m.If(moves):
            m.d.sync += part.eq(~ends.w_en)
        if self.length is None:
            m.d.comb += [
                whole.eq(self.s_axis_tdata[:2] == EventKind.INFERENCE),
                ends.w_en.eq(moves & whole),
            ]
            return
        m.d.comb += ends.w_en.eq(moves & self.image_tlast)
        position = Signal(range(self.length))
        m.d.comb += whole.eq(position == self.length - 1)
        with m.If(moves):
            m.d.sync += position.eq(position + 1)
            with m.If(self.image_tlast):
                m.d.sync += position.eq(0)

    def _send_results(self, m, ends):
        """From the accelerator to the DMA engine."""
        ending = Signal()  # the scores are through, their last word is due
        user = Signal(self.user_bits)
        m.d.comb += [
            self.m_axis_tkeep.eq(Const(0b1111, 4)),
            ends.r_en.eq(self.result_leaves),
            self.result_error.eq(user[0]),
        ]
        with m.If(ending):
            m.d.comb += [
                self.m_axis_tdata.eq(Cat(user)),
                self.m_axis_tvalid.eq(ends.r_rdy),
                self.m_axis_tlast.eq(ends.r_data),
                self.result_leaves.eq(self.m_axis_tvalid & self.m_axis_tready),
            ]
            with m.If(self.result_leaves):
                m.d.sync += ending.eq(0)
        with m.Else():
            m.d.comb += [
                self.m_axis_tdata.eq(self.score_tdata),
                self.m_axis_tvalid.eq(self.score_tvalid),
                self.score_tready.eq(self.m_axis_tready),
            ]
            with m.If(self.score_tvalid & self.m_axis_tready & self.score_tlast):
                m.d.sync += [ending.eq(1), user.eq(self.score_tuser)]
