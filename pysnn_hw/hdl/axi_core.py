# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""An accelerator as a peripheral of a processor: data by AXI4-Stream, control by AXI4-Lite."""

import math

from amaranth.hdl import Cat, ClockDomain, DomainRenamer, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from pysnn_hw.errors import PlanError
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.axi_lite import AxiLite
from pysnn_hw.hdl.axi_packets import AxiPackets
from pysnn_hw.hdl.axi_registers import ADDRESS_BITS, IDENTIFICATION, REGISTERS, VERSION, offset_of
from pysnn_hw.hdl.axi_stream import AxiStreamTop
from pysnn_hw.hdl.link.cycle_counter import count_cycles
from pysnn_hw.hdl.link.network import fingerprint

__all__ = ["AxiCore"]


class AxiCore(wiring.Component):
    """An accelerator behind the ports that a Zynq's processor and its DMA engine have.

    All runs from ``aclk``. Packets are those of `AxiPackets`, registers those of
    `pysnn_hw.hdl.axi_registers`. A reset by register lasts `reset_cycles`; meanwhile no word goes
    in or comes out, and what was inside is gone: packets under way are never answered.

    Parameters
    ----------
    accelerator
        Without memories that have to be loaded.

    Members
    -------
    aclk : In(1)
        Clock of everything.
    aresetn : In(1)
        Reset of everything while 0, synchronous.
    s_axi_*
        AXI4-Lite, see `AxiLite`.
    s_axis_*, m_axis_*
        AXI4-Stream, see `AxiPackets`.
    """

    reset_cycles = 16

    def __init__(self, accelerator: Accelerator) -> None:
        if accelerator.booted:
            raise PlanError(
                "accelerator",
                "has memories that must be loaded, which the AXI ports cannot do",
                "plan it for a board without SPRAM",
            )
        self.accelerator = accelerator
        self.streams = AxiStreamTop(accelerator)
        net = accelerator.net
        self.length = None if net.input.encoding == "events" else math.prod(net.input.shape)
        self.packets = AxiPackets(
            self.length,
            data_bits=len(self.streams.s_axis_tdata),
            user_bits=len(self.streams.m_axis_tuser),
        )
        self.bus = AxiLite(ADDRESS_BITS)
        members = {"aclk": In(1), "aresetn": In(1)}
        for component, prefixes in ((self.bus, "s_axi_"), (self.packets, ("s_axis_", "m_axis_"))):
            signature = component.signature.members
            members |= {k: signature[k] for k in signature if k.startswith(prefixes)}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        reset = Signal()
        # The registers stand while the rest is in reset.
        m.domains.bus = bus = ClockDomain("bus", local=True)
        m.domains.sync = sync = ClockDomain("sync", local=True)
        m.d.comb += [
            bus.clk.eq(self.aclk),
            bus.rst.eq(~self.aresetn),
            sync.clk.eq(self.aclk),
            sync.rst.eq(~self.aresetn | reset),
        ]
        m.submodules.bus = DomainRenamer("bus")(self.bus)
        m.submodules.packets = packets = self.packets
        m.submodules.streams = streams = self.streams
        for ports, member in ((self.bus, "s_axi_"), (packets, "s_axis_"), (packets, "m_axis_")):
            self._pass_on(m, ports, member)
        # Nobody may see a transfer that the reset swallows.
        closed = bus.rst | reset
        m.d.comb += [
            packets.s_axis_tvalid.eq(self.s_axis_tvalid & ~closed),
            self.s_axis_tready.eq(packets.s_axis_tready & ~closed),
            packets.m_axis_tready.eq(self.m_axis_tready & ~closed),
            self.m_axis_tvalid.eq(packets.m_axis_tvalid & ~closed),
        ]
        for field in ("tdata", "tvalid", "tlast"):
            m.d.comb += getattr(streams, f"s_axis_{field}").eq(getattr(packets, f"image_{field}"))
            m.d.comb += getattr(packets, f"score_{field}").eq(getattr(streams, f"m_axis_{field}"))
        m.d.comb += [
            packets.image_tready.eq(streams.s_axis_tready),
            streams.m_axis_tready.eq(packets.score_tready),
            packets.score_tuser.eq(streams.m_axis_tuser),
        ]
        self._registers(m, reset)
        return m

    def _pass_on(self, m, component, prefix):
        """Connects ports of the same name, but the handshakes of the streams."""
        for name, member in self.signature.members.items():
            if name.startswith(prefix) and not name.endswith(("axis_tvalid", "axis_tready")):
                inner, outer = getattr(component, name), getattr(self, name)
                m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)

    def _registers(self, m, reset):
        """What the processor reads, and the one thing that it writes."""
        bus, packets, net = self.bus, self.packets, self.accelerator.net
        images, errors, busy = Signal(32), Signal(32), Signal(32)
        m.d.sync += [
            images.eq(images + packets.result_leaves),
            errors.eq(errors + (packets.result_leaves & packets.result_error)),
            busy.eq(busy + packets.inside),
        ]
        values = {
            "IDENTIFICATION": IDENTIFICATION,
            "VERSION": VERSION,
            "FINGERPRINT": fingerprint(net),
            "CONTROL": reset,
            "STATUS": Cat(packets.inside, errors != 0),
            "LENGTH": self.length or 0,
            "MINIMUM": net.input.minimum,
            "MAXIMUM": net.input.maximum,
            "CLASSES": net.populations[-1].size,
            "IMAGES": images,
            "ERRORS": errors,
            "CYCLES": count_cycles(m, self.accelerator),
            "BUSY": busy,
        }
        with m.Switch(bus.read_address):
            for register in REGISTERS:
                with m.Case(register.offset // 4):
                    m.d.comb += bus.read_data.eq(values[register.name])

        left = Signal(range(self.reset_cycles + 1))
        m.d.comb += reset.eq(left != 0)
        asked = (bus.write_address == offset_of("CONTROL") // 4) & bus.write_strobe[0]
        with m.If(bus.write & asked & bus.write_data[0]):
            m.d.bus += left.eq(self.reset_cycles)
        with m.Else():
            m.d.bus += left.eq(Mux(left == 0, 0, left - 1))
