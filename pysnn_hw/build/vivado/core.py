# SPDX-License-Identifier: BSD-2-Clause
"""An accelerator as a core beside a processor: IP-XACT package, block design, driver."""

from pathlib import Path
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib.wiring import In

from pysnn_hw.build.stage import write
from pysnn_hw.build.verilog import to_verilog
from pysnn_hw.build.vivado.sources import Sources, part_of
from pysnn_hw.build.vivado.templates import fill
from pysnn_hw.errors import BoardError
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.axi_core import AxiCore
from pysnn_hw.hdl.axi_registers import ADDRESS_BITS, IDENTIFICATION, REGISTERS, VERSION
from pysnn_hw.hdl.link.network import fingerprint
from pysnn_hw.plan.board import Board

__all__ = ["CORE", "component_xml", "driver_text", "write_core_sources"]

CORE = "pysnn_accelerator"
"""Name of the core and of its top module."""

VLNV = {"vendor": "pysnn_hw", "library": "user", "name": CORE, "version": f"{VERSION}.0"}
"""What tells the core from others in a catalogue: vendor, library, name, version."""

STREAMS = {
    "s_axis": ("slave", ("tdata", "tvalid", "tready", "tlast")),
    "m_axis": ("master", ("tdata", "tkeep", "tvalid", "tready", "tlast")),
}
"""AXI4-Stream ports: role and signals."""

DMA_LENGTH_BITS = 26
"""Of a transfer's length in bytes: the most that the AXI DMA core offers."""


def write_core_sources(accelerator: Accelerator, board: Board, folder: Path) -> Sources:
    """Writes the core into ``folder/ip``, and what puts it to use into ``folder``.

    Raises
    ------
    BoardError
        If the board has no processor.
    PlanError
        If the accelerator has memories that must be loaded.
    """
    if board.processor is None:
        raise BoardError(f"board {board.name}", "has no processor that a core could serve")
    core = AxiCore(accelerator)
    package = folder / "ip"
    package.mkdir(parents=True, exist_ok=True)
    verilog, component = package / f"{CORE}.v", package / "component.xml"
    script, driver = folder / "block_design.tcl", folder / "pysnn_overlay.py"
    name = f"{fingerprint(accelerator.net):08x}"
    write(verilog, to_verilog(core, CORE, {"network": name, "ports": "AXI4-Stream, AXI4-Lite"}))
    write(component, component_xml(core))
    clock_mhz = board.clock.target_hz / 1e6
    values = {
        "board": board.title,
        "name": board.name,
        "part": part_of(board),
        "board_part": board.processor.board_part,
        "processor": board.processor.ip,
        "clock": board.clock.resource,
        "clock_mhz": f"{clock_mhz:g}",
        "vlnv": ":".join(VLNV.values()),
        "in_bits": core.packets.port_bits,
        "length_bits": DMA_LENGTH_BITS,
    }
    write(script, fill("vivado_core.tcl.j2", **values))
    write(driver, driver_text(core))
    return Sources(CORE, verilog, script, (verilog, component, script, driver), clock_mhz)


def component_xml(core: AxiCore) -> str:
    """The core's description after IEEE 1685-2009 (IP-XACT), with Vivado's extensions."""
    return fill(
        "component.xml.j2",
        vlnv=VLNV,
        description=f"Spiking accelerator of network {fingerprint(core.accelerator.net):08x}",
        ports=_ports(core),
        bus=[name for name in core.signature.members if name.startswith("s_axi_")],
        streams=STREAMS,
        registers=REGISTERS,
        range=1 << ADDRESS_BITS,
        families=("zynq", "artix7", "kintex7", "virtex7", "spartan7"),
    )


def _ports(core: AxiCore) -> list[dict[str, Any]]:
    """Name, direction and width of each port of the top module."""
    return [
        {
            "name": name,
            "direction": "in" if member.flow is In else "out",
            "width": Shape.cast(member.shape).width,
        }
        for name, member in core.signature.members.items()
    ]


def driver_text(core: AxiCore) -> str:
    """A Python module for the processor: PYNQ and NumPy are all that it needs."""
    return fill(
        "pysnn_overlay.py.j2",
        vlnv=":".join(VLNV.values()),
        registers=REGISTERS,
        identification=IDENTIFICATION,
        version=VERSION,
        fingerprint=fingerprint(core.accelerator.net),
        port_bytes=core.packets.port_bits // 8,
        most_bytes=1 << DMA_LENGTH_BITS,
    )
