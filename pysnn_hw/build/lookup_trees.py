# SPDX-License-Identifier: BSD-2-Clause
"""Cuts trees of tables that nextpnr sometimes cannot route on a GateMate.

A ``CC_L2T5`` is a ``CC_L2T4``, whose output enters another table of two inputs together with the
fifth input. As one cell it fills both halves of a logic element, and of some of its inputs nextpnr
0.11.1 finds no way to them, from wherever it begins to place. As two cells it takes as much room
and is routed.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

__all__ = ["cut_trees"]


def cut_trees(netlist: dict[str, Any]) -> int:
    """Makes two cells of each ``CC_L2T5`` in place; how many there were.

    Parameters
    ----------
    netlist
        As yosys writes it, with one module ``top``.
    """
    cells = netlist["modules"]["top"]["cells"]
    used = chain.from_iterable(bits for c in cells.values() for bits in c["connections"].values())
    first = 1 + max((bit for bit in used if isinstance(bit, int)), default=1)
    trees = [(name, cell) for name, cell in cells.items() if cell["type"] == "CC_L2T5"]
    for fresh, (name, cell) in enumerate(trees, first):
        wires, contents = cell["connections"], cell["parameters"]
        cells[name] = {
            **cell,
            "type": "CC_L2T4",
            "parameters": {
                "INIT_L00": contents["INIT_L02"],
                "INIT_L01": contents["INIT_L03"],
                "INIT_L10": contents["INIT_L11"],
            },
            "port_directions": {k: d for k, d in cell["port_directions"].items() if k != "I4"},
            "connections": {k: w for k, w in wires.items() if k != "I4"} | {"O": [fresh]},
        }
        cells[f"{name}$tail"] = {
            **cell,
            "type": "CC_LUT2",
            "parameters": {"INIT": contents["INIT_L20"]},
            "port_directions": {"I0": "input", "I1": "input", "O": "output"},
            "connections": {"I0": wires["I4"], "I1": [fresh], "O": wires["O"]},
        }
    return len(trees)
