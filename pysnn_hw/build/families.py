# SPDX-License-Identifier: BSD-2-Clause
"""What differs between device families when a bitstream is made."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pysnn_hw.build.carry_chains import free_carry_inputs
from pysnn_hw.build.lookup_trees import cut_trees
from pysnn_hw.build.output_registers import absorb_output_registers
from pysnn_hw.hdl.clock import PLL_CELL_NAME, PllSettings
from pysnn_hw.plan.board import Device

__all__ = [
    "FAMILIES",
    "VENDOR_FAMILIES",
    "Family",
    "VendorFamily",
    "retune_config",
    "retune_fasm",
    "retune_netlist",
    "retune_words",
]


@dataclass(frozen=True)
class Family:
    """One device family.

    Attributes
    ----------
    synth
        Yosys command for a device; the top module is called ``top``.
    device_arguments
        Arguments of nextpnr that name the device.
    constraints
        Suffix of the constraint file, and nextpnr's arguments for one.
    goal
        nextpnr's option for the frequency to strive for, where the constraint file names no clocks.
    believed
        Share of the frequencies in nextpnr's report that clocks may have: less than 1 where its
        delays are known to be too short.
    textual
        Suffix of nextpnr's textual bitstream, and its arguments for one; None if the packer reads
        the routed netlist.
    bitstream
        Suffix of the bitstream.
    retune
        Sets the PLL of a routed design in the textual bitstream. Without it that is done in the
        routed netlist, which nextpnr must then read again if there is a textual one.
    refine
        Changes a netlist of yosys in place before it is placed.
    constants_apart
        Whether constants in logic are mapped by themselves (`flow.synthesis_script`).
    pack
        Arguments of the packer for a device, a textual bitstream (or netlist) and a bitstream.
    lut, dsp
        nextpnr's names of resources, the common one first, with how many of these one takes.
    bram, spram, ff
        nextpnr's names of resources; empty if there are none, or none of their own.
    bram_cells
        How many memory blocks cells of these types in a netlist take, where nextpnr's report counts
        them otherwise than the board's budget.
    ff_cells
        Where a logic cell holds both LUT and flip-flop: what the types of flip-flops in a
        netlist start with.
    """

    synth: Callable[[Device], str]
    device_arguments: Callable[[Device], tuple[str, ...]]
    constraints: tuple[str, Callable[[str], tuple[str, ...]]]
    textual: tuple[str, Callable[[str], tuple[str, ...]]] | None
    bitstream: str
    pack: Callable[[Device, str, str], tuple[str, ...]]
    lut: Mapping[str, int]
    bram: str
    dsp: Mapping[str, int]
    bram_cells: Mapping[str, int] = field(default_factory=dict)
    spram: str = ""
    ff: str = ""
    ff_cells: str = ""
    retune: Callable[[str, PllSettings], str] | None = None
    goal: str = ""
    believed: float = 1.0
    refine: Callable[[dict[str, Any]], object] = lambda netlist: None
    constants_apart: bool = True


@dataclass(frozen=True)
class VendorFamily:
    """A device family for which only its vendor's tool makes bitstreams.

    A build ends with a project for that tool, and with what yosys makes of the design: cells
    before placing and routing, an estimate of what the vendor's own synthesis will come to.

    Attributes
    ----------
    synth
        Yosys command; the top module is called ``top``.
    tool
        What makes the bitstream.
    lut, ff, bram, dsp
        How much of the resource a cell of a netlist takes, by the cell's type. Memory blocks are
        counted as the board's budget does.
    """

    synth: str
    tool: str
    lut: Mapping[str, int]
    ff: Mapping[str, int]
    bram: Mapping[str, int]
    dsp: Mapping[str, int]


def _ecp5_arguments(device: Device) -> tuple[str, ...]:
    size = device.name.removeprefix("LFE5U-").removesuffix("F")
    return (f"--{size}k", "--package", device.package, "--speed", device.speed)


def _ice40_arguments(device: Device) -> tuple[str, ...]:
    return ("--" + device.name.removeprefix("iCE40").lower(), "--package", device.package)


def _nexus_arguments(device: Device) -> tuple[str, ...]:
    # Without threads, as in WebAssembly, router2 gives up on a net of one quadrant that needs a
    # wire of another, and all wires to clock buffers count as wires of the first.
    return ("--device", f"{device.name}-{device.speed}{device.package}", "--router", "router1")


def _gatemate_arguments(device: Device) -> tuple[str, ...]:
    # Operating mode "economy", for which the PLL is set.
    return ("--device", device.name, "--vopt", "fpga_mode=2")


def _gowin_arguments(device: Device) -> tuple[str, ...]:
    return ("--device", device.name, "--vopt", f"family={device.package}")


def _gowin_synth(device: Device) -> str:
    # Where a wide multiplexer has a constant input, yosys spends a whole LUT on the constant. Pins
    # have their buffers; yosys would add some to the ports of every module that it keeps.
    kind = device.package.split("-")[0].lower()
    return f"synth_gowin -nowidelut -noiopads -family {kind} -top top"


def _ice40_synth(device: Device) -> str:
    kind = "u -dsp" if "UP" in device.name else "hx"
    # The 8 cells of a tile share one clock enable, so few flip-flops must not have their own.
    return f"synth_ice40 -device {kind} -dffe_min_ce_use 6 -top top"


def retune_config(text: str, pll: PllSettings) -> str:
    """Sets the dividers of the one PLL in an ECP5 textual bitstream.

    Raises
    ------
    ValueError
        If there is not exactly one such PLL.
    """
    for name, value in pll.parameters.items():
        # Dividers are stored less one, phases as they are.
        stored = value if name.endswith("PHASE") else value - 1
        text = _set(text, name, rf"^(word: {name}) [01]{{7}}$", rf"\g<1> {stored:07b}")
    return text


def retune_fasm(text: str, pll: PllSettings) -> str:
    """Sets the divider of the oscillator in a textual bitstream (FASM) of a Nexus device.

    Raises
    ------
    ValueError
        If there is not exactly one oscillator.
    """
    for name, value in pll.parameters.items():
        pattern = rf"^(\S+\.{name}\[7:0\] = 8'b)[01]{{8}}$"
        text = _set(text, name, pattern, rf"\g<1>{value:08b}")
    return text


def retune_words(text: str, pll: PllSettings) -> str:
    """Sets the dividers of the one PLL in a textual bitstream of a GateMate device.

    Raises
    ------
    ValueError
        If there is not exactly one such PLL.
    """
    for name, value in pll.parameters.items():
        text = _set(text, name, rf"^(\S*{name}) ([01]+)$", partial(_word, value))
    return text


def _set(text: str, name: str, pattern: str, line: str | Callable[[re.Match[str]], str]) -> str:
    """``text`` with another line in place of the only one of that pattern."""
    text, count = re.subn(pattern, line, text, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"bitstream sets {name} {count} times")
    return text


def _word(value: int, match: re.Match[str]) -> str:
    return f"{match[1]} {value:0{len(match[2])}b}"


def retune_netlist(netlist: dict[str, Any], pll: PllSettings) -> None:
    """Sets the parameters of the one PLL in a netlist, in place.

    Raises
    ------
    ValueError
        If there is not exactly one PLL.
    """
    found = [
        cell
        for module in netlist["modules"].values()
        for name, cell in module["cells"].items()
        if re.search(rf"\b{PLL_CELL_NAME}(_PLL)?$", name) and "PLL" in cell["type"]
    ]
    if len(found) != 1:
        raise ValueError(f"netlist has {len(found)} PLLs")
    for name, value in pll.parameters.items():
        found[0]["parameters"][name] = f"{value:032b}"


FAMILIES: Mapping[str, Family] = {
    "ecp5": Family(
        synth=lambda device: "synth_ecp5 -top top",
        device_arguments=_ecp5_arguments,
        constraints=("lpf", lambda file: ("--lpf", file)),
        textual=("config", lambda file: ("--textcfg", file)),
        bitstream="bit",
        retune=retune_config,
        pack=lambda device, text, binary: ("--compress", "--input", text, "--bit", binary),
        lut={"TRELLIS_COMB": 1},
        ff="TRELLIS_FF",
        bram="DP16KD",
        dsp={"MULT18X18D": 1},
        refine=absorb_output_registers,
    ),
    "gatemate": Family(
        # nextpnr takes trees of 2-input LUTs and multiplexers of up to four inputs.
        synth=lambda device: "synth_gatemate -luttree -nomx8 -nomult -top top",
        device_arguments=_gatemate_arguments,
        constraints=("ccf", lambda file: ("--vopt", f"ccf={file}")),
        textual=("txt", lambda file: ("--vopt", f"out={file}")),
        bitstream="bit",
        retune=retune_words,
        pack=lambda device, text, binary: (text, binary),
        lut={"CPE_LT": 1, "CPE_ADDF": 2, "CPE_ADDF2": 2, "CPE_MX4": 2},
        ff="CPE_FF",
        bram="RAM_HALF",
        # Once routed, a block counts once in the report, be it half used or whole.
        bram_cells={"CC_BRAM_20K": 1, "CC_BRAM_40K": 2},
        dsp={},
        refine=cut_trees,
        # From three seeds nextpnr 0.11.1 found no way to a clock enable of a design mapped so.
        constants_apart=False,
    ),
    "gowin": Family(
        synth=_gowin_synth,
        device_arguments=_gowin_arguments,
        constraints=("cst", lambda file: ("--vopt", f"cst={file}")),
        textual=None,
        bitstream="fs",
        goal="--freq",
        # The figures are about 20 % above the vendor's (pull request 1345 of nextpnr).
        believed=0.8,
        pack=lambda device, netlist, binary: ("-d", device.package, "-o", binary, netlist),
        # After routing; a flip-flop alone has taken its LUT, too.
        lut={"LUT4": 1, "ALU": 1, "RAM16SDP4": 8},
        ff="DFF",
        bram="BSRAM",
        dsp={"MULT9X9": 1, "MULT18X18": 2},
    ),
    "ice40": Family(
        synth=_ice40_synth,
        device_arguments=_ice40_arguments,
        constraints=("pcf", lambda file: ("--pcf", file)),
        textual=("asc", lambda file: ("--asc", file)),
        bitstream="bin",
        pack=lambda device, text, binary: (text, binary),
        lut={"ICESTORM_LC": 1},
        ff_cells="SB_DFF",
        bram="ICESTORM_RAM",
        dsp={"ICESTORM_DSP": 1},
        spram="ICESTORM_SPRAM",
    ),
    "nexus": Family(
        synth=lambda device: "synth_nexus -top top",
        device_arguments=_nexus_arguments,
        constraints=("pdc", lambda file: ("--pdc", file)),
        textual=("fasm", lambda file: ("--fasm", file)),
        bitstream="bit",
        retune=retune_fasm,
        pack=lambda device, text, binary: ("pack", text, binary),
        lut={"OXIDE_COMB": 1},
        ff="OXIDE_FF",
        bram="OXIDE_EBR",
        dsp={"MULT18_CORE": 1},
        refine=free_carry_inputs,
    ),
}


VENDOR_FAMILIES: Mapping[str, VendorFamily] = {
    "xilinx7": VendorFamily(
        synth="synth_xilinx -family xc7 -flatten -top top",
        tool="Vivado",
        # Two tables of five inputs that share a LUT6 count as two. Memories and shift registers in
        # tables: as the 7 Series Libraries Guide (UG953) draws them.
        lut={
            **{f"LUT{inputs}": 1 for inputs in range(1, 7)},
            **{"INV": 1, "SRL16E": 1, "SRLC32E": 1},
            **{"RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4},
            **{"RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4},
            **{"RAM32M": 4, "RAM64M": 4},
        },
        ff={f"FD{kind}E{edge}": 1 for kind in "RSCP" for edge in ("", "_1")},
        bram={"RAMB18E1": 1, "RAMB36E1": 2},
        dsp={"DSP48E1": 1},
    ),
}
"""No family is in both `FAMILIES` and here."""
