# SPDX-License-Identifier: BSD-2-Clause
"""Moves registers behind block RAMs of the ECP5 into the blocks.

A block's output is there 5.6 ns after the clock, or 0.6 ns if it leaves through the register that
every block has. Yosys does not use that register, so the netlist is changed between synthesis and
placement.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

__all__ = ["absorb_output_registers"]

_WIDTH = 18
"""Output bits of each of a block's two ports."""
_PAIRED = 36
"""Width of port A if it writes for both."""


def absorb_output_registers(netlist: dict[str, Any]) -> int:
    """Uses the output registers of ``DP16KD`` cells in place; how many ports now have one.

    A port's flip-flops are absorbed if they take all of its outputs that are used, nothing else
    takes these, and clock and clock enable are the port's own.

    Parameters
    ----------
    netlist
        As yosys writes it, with one module ``top``.
    """
    module = netlist["modules"]["top"]
    cells = module["cells"]
    uses: Counter[Any] = Counter()
    for cell in cells.values():
        for bits in cell["connections"].values():
            uses.update(bits)
    for port in module["ports"].values():
        uses.update(port["bits"])
    taken_by = {
        cell["connections"]["DI"][0]: name
        for name, cell in cells.items()
        if cell["type"] == "TRELLIS_FF"
    }
    absorbed = 0
    for cell in [c for c in cells.values() if c["type"] == "DP16KD"]:
        # Words of 36 bits leave through both ports, moved by port B.
        paired = int(cell["parameters"]["DATA_WIDTH_A"], 2) == _PAIRED
        for ports in ("AB",) if paired else ("A", "B"):
            absorbed += _absorb(cells, cell, ports, uses, taken_by)
    return absorbed


def _absorb(
    cells: dict[str, Any],
    block: dict[str, Any],
    ports: str,
    uses: Counter[Any],
    taken_by: dict[Any, str],
) -> bool:
    """One port of one block, or both of them as one."""
    wires, settings = block["connections"], block["parameters"]
    outputs = [f"DO{port}{k}" for port in ports for k in range(_WIDTH)]
    used = [o for o in outputs if o in wires and uses[wires[o][0]] > 1]
    registers = [taken_by.get(wires[o][0], "") for o in used]
    moved_by = ports[-1]
    if not used or any(settings[f"REGMODE_{port}"] != "NOREG" for port in ports):
        return False
    never_written = wires["CEA"] == ["0"] and wires["CLKA"] == ["0"]
    if len(ports) > 1 and wires["CLKA"] != wires["CLKB"] and not never_written:
        return False
    for output, register in zip(used, registers, strict=True):
        if uses[wires[output][0]] != 2 or not register:
            return False
        if not _moves_with(cells[register], block, moved_by):
            return False
    for port in ports:
        settings[f"REGMODE_{port}"] = "OUTREG"
        wires[f"CLK{port}"] = list(wires[f"CLK{moved_by}"])
        wires[f"OCE{port}"] = list(wires[f"CE{moved_by}"])
    for output, register in zip(used, registers, strict=True):
        wires[output] = cells.pop(register)["connections"]["Q"]
    return True


def _moves_with(register: dict[str, Any], block: dict[str, Any], port: str) -> bool:
    """Whether a flip-flop has clock and enable of the port, starts at zero and is never reset."""
    wires, settings = register["connections"], register["parameters"]
    enable = ["1"] if settings.get("CEMUX", "").strip() == "1" else wires.get("CE", ["1"])
    reset = ["0"] if settings.get("LSRMUX") == "0" else wires.get("LSR", ["0"])
    return (
        wires["CLK"] == block["connections"][f"CLK{port}"]
        and settings.get("CLKMUX") == "CLK"
        and block["parameters"].get(f"CLK{port}MUX") == f"CLK{port}"
        and enable == block["connections"][f"CE{port}"]
        and reset == ["0"]
        and settings.get("REGSET") == "RESET"
        and "M" not in wires
    )
