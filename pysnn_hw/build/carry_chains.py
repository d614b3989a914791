# SPDX-License-Identifier: BSD-2-Clause
"""Frees the carry inputs at the feet of carry chains of Nexus devices.

A chain of ``CCU2`` cells starts with one whose carry input yosys leaves open, for there is no way
to it but from a carry output. ABC9 then ties open inputs to zero (issue 5639 of yosys), which
nextpnr cannot place. The first cell makes its carry of its other inputs alone.
"""

from __future__ import annotations

from typing import Any

__all__ = ["free_carry_inputs"]

_CONSTANTS = ("VLO", "VHI")


def free_carry_inputs(netlist: dict[str, Any]) -> int:
    """Takes constants away from the carry inputs of ``CCU2`` cells in place; how many had one.

    Parameters
    ----------
    netlist
        As yosys writes it, with one module ``top``.
    """
    cells = netlist["modules"]["top"]["cells"].values()
    constant = {c["connections"]["Z"][0] for c in cells if c["type"] in _CONSTANTS}
    freed = 0
    for cell in cells:
        if cell["type"] != "CCU2":
            continue
        wires = cell["connections"].get("CIN")
        if wires and (wires[0] in constant or isinstance(wires[0], str)):
            del cell["connections"]["CIN"]
            freed += 1
    return freed
