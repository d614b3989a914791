# SPDX-License-Identifier: BSD-2-Clause
"""Which carry inputs of a Nexus netlist are freed."""

from pysnn_hw.build.carry_chains import free_carry_inputs


def carry(source):
    return {"type": "CCU2", "connections": {"A0": [2], "CIN": [source], "COUT": [9]}}


def test_only_constants_are_taken_away():
    chain = {"type": "CCU2", "connections": {"A0": [2], "COUT": [9]}}
    cells = {
        "zero": {"type": "VLO", "connections": {"Z": [5]}},
        "one": {"type": "VHI", "connections": {"Z": [6]}},
        "lut": {"type": "LUT4", "connections": {"A": [5], "Z": [7]}},
        "first": carry(5),
        "other": carry(6),
        "literal": carry("0"),
        "next": carry(9),
        "open": chain,
    }
    assert free_carry_inputs({"modules": {"top": {"cells": cells}}}) == 3
    left = {name for name, cell in cells.items() if "CIN" in cell["connections"]}
    assert left == {"next"}
    assert cells["lut"]["connections"]["A"] == [5]
    assert cells["first"]["connections"] == {"A0": [2], "COUT": [9]}
