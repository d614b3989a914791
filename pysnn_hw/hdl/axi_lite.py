# SPDX-License-Identifier: BSD-2-Clause
"""The slave's side of AXI4-Lite, in front of registers."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AxiLite"]


class AxiLite(wiring.Component):
    """Turns the five channels of AXI4-Lite (32 bits of data) into reads and writes of words.

    A write is taken when address and data are both there, and answered in the next cycle. A read is
    answered in the next cycle with what ``read_data`` was when its address was taken. One of each
    may be taken in every cycle as long as the master takes the answers; an answer that is not taken
    stays as it is. The answer is always OKAY: a processor takes anything else for a fault of its
    own. Protection bits are not looked at.

    Parameters
    ----------
    address_bits
        Of a byte address; the lowest two are not looked at.

    Members
    -------
    s_axi_awaddr, s_axi_awprot, s_axi_awvalid, s_axi_awready : write address
    s_axi_wdata, s_axi_wstrb, s_axi_wvalid, s_axi_wready : write data
    s_axi_bresp, s_axi_bvalid, s_axi_bready : answer to a write
    s_axi_araddr, s_axi_arprot, s_axi_arvalid, s_axi_arready : read address
    s_axi_rdata, s_axi_rresp, s_axi_rvalid, s_axi_rready : read data
    read_address : Out(address_bits - 2)
        Number of the word whose address is offered.
    read_data : In(32)
        That word, in the same cycle.
    write : Out(1)
        The word ``write_address`` is written in this cycle.
    write_address : Out(address_bits - 2), write_data : Out(32)
        Number of the word, and what to put there.
    write_strobe : Out(4)
        Which of its bytes are meant.
    """

    def __init__(self, address_bits: int) -> None:
        if address_bits < 3:
            raise ValueError(f"address_bits must be at least 3, not {address_bits}")
        self.address_bits = address_bits
        members = {
            "s_axi_awaddr": In(address_bits),
            "s_axi_awprot": In(3),
            "s_axi_wdata": In(32),
            "s_axi_wstrb": In(4),
            "s_axi_bresp": Out(2),
            "s_axi_araddr": In(address_bits),
            "s_axi_arprot": In(3),
            "s_axi_rdata": Out(32),
            "s_axi_rresp": Out(2),
            "read_address": Out(address_bits - 2),
            "read_data": In(32),
            "write": Out(1),
            "write_address": Out(address_bits - 2),
            "write_data": Out(32),
            "write_strobe": Out(4),
        }
        for channel, incoming in (("aw", True), ("w", True), ("b", False), ("ar", True)):
            members |= _handshake(channel, incoming)
        super().__init__(members | _handshake("r", False))

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.read_address.eq(self.s_axi_araddr[2:]),
            self.write_address.eq(self.s_axi_awaddr[2:]),
            self.write_data.eq(self.s_axi_wdata),
            self.write_strobe.eq(self.s_axi_wstrb),
        ]

        m.d.comb += [
            self.write.eq(
                self.s_axi_awvalid & self.s_axi_wvalid & (~self.s_axi_bvalid | self.s_axi_bready)
            ),
            self.s_axi_awready.eq(self.write),
            self.s_axi_wready.eq(self.write),
        ]
        with m.If(self.write):
            m.d.sync += self.s_axi_bvalid.eq(1)
        with m.Elif(self.s_axi_bready):
            m.d.sync += self.s_axi_bvalid.eq(0)

        m.d.comb += self.s_axi_arready.eq(~self.s_axi_rvalid | self.s_axi_rready)
        with m.If(self.s_axi_arvalid & self.s_axi_arready):
            m.d.sync += [self.s_axi_rvalid.eq(1), self.s_axi_rdata.eq(self.read_data)]
        with m.Elif(self.s_axi_rready):
            m.d.sync += self.s_axi_rvalid.eq(0)
        return m


def _handshake(channel: str, incoming: bool):
    """Members of one channel's handshake."""
    valid, ready = (In(1), Out(1)) if incoming else (Out(1), In(1))
    return {f"s_axi_{channel}valid": valid, f"s_axi_{channel}ready": ready}
