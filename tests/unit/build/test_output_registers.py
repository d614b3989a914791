# SPDX-License-Identifier: BSD-2-Clause
"""Which flip-flops block RAMs absorb."""

from copy import deepcopy

import pytest

from pysnn_hw.build.output_registers import absorb_output_registers

CLOCK, ENABLE, OTHER = 2, 3, 4


def block(width: int = 18) -> dict:
    ports = {f"CE{p}": ["1"] for p in "AB"} | {f"CLK{p}": [CLOCK] for p in "AB"}
    wires = {f"DO{p}{k}": [100 * (1 + (p == "B")) + k] for p in "AB" for k in range(18)}
    return {
        "type": "DP16KD",
        "parameters": {
            **{f"REGMODE_{p}": "NOREG" for p in "AB"},
            **{f"CLK{p}MUX": f"CLK{p}" for p in "AB"},
            **{f"DATA_WIDTH_{p}": f"{width:032b}" for p in "AB"},
        },
        "connections": {**ports, **wires, "OCEA": ["0"], "OCEB": ["0"]},
    }


def register(taken: int, given: int) -> dict:
    return {
        "type": "TRELLIS_FF",
        "parameters": {"CLKMUX": "CLK", "CEMUX": "1", "LSRMUX": "LSR", "REGSET": "RESET"},
        "connections": {"CLK": [CLOCK], "LSR": ["0"], "DI": [taken], "Q": [given]},
    }


def netlist(bits: list[int], width: int = 18) -> dict:
    cells = {"ram": block(width)} | {f"ff_{b}": register(b, 1000 + b) for b in bits}
    port = {"direction": "output", "bits": [1000 + b for b in bits]}
    return {"modules": {"top": {"cells": cells, "ports": {"o": port}}}}


def cells(document: dict) -> dict:
    return document["modules"]["top"]["cells"]


def test_registers_of_a_port_move_into_the_block():
    found = netlist([100, 105])
    assert absorb_output_registers(found) == 1
    assert set(cells(found)) == {"ram"}
    ram = cells(found)["ram"]
    assert ram["parameters"]["REGMODE_A"] == "OUTREG"
    assert ram["parameters"]["REGMODE_B"] == "NOREG"
    assert ram["connections"]["OCEA"] == ["1"]
    assert ram["connections"]["DOA0"] == [1100]
    assert ram["connections"]["DOA5"] == [1105]


def test_wide_words_leave_through_both_ports():
    found = netlist([100, 205], width=36)
    assert absorb_output_registers(found) == 1
    ram = cells(found)["ram"]
    assert {ram["parameters"][f"REGMODE_{p}"] for p in "AB"} == {"OUTREG"}
    assert ram["connections"]["OCEA"] == ram["connections"]["OCEB"] == ["1"]
    assert ram["connections"]["DOB5"] == [1205]


def test_the_enable_of_the_port_goes_along():
    found = netlist([100])
    cells(found)["ram"]["connections"]["CEA"] = [ENABLE]
    cells(found)["ff_100"]["parameters"]["CEMUX"] = "CE"
    cells(found)["ff_100"]["connections"]["CE"] = [ENABLE]
    assert absorb_output_registers(found) == 1
    assert cells(found)["ram"]["connections"]["OCEA"] == [ENABLE]


def _used_twice(document):
    cells(document)["lut"] = {"type": "LUT4", "parameters": {}, "connections": {"A": [100]}}


def _leaves_the_chip(document):
    document["modules"]["top"]["ports"]["o"]["bits"].append(100)


def _no_register(document):
    del cells(document)["ff_105"]
    cells(document)["lut"] = {"type": "LUT4", "parameters": {}, "connections": {"A": [105]}}


CHANGES = {
    "an output is used twice": _used_twice,
    "an output leaves the chip": _leaves_the_chip,
    "an output has no register": _no_register,
    "another clock": lambda d: cells(d)["ff_100"]["connections"].update(CLK=[OTHER]),
    "the other edge": lambda d: cells(d)["ff_100"]["parameters"].update(CLKMUX="INV"),
    "an enable of its own": lambda d: (
        cells(d)["ff_100"]["parameters"].update(CEMUX="CE"),
        cells(d)["ff_100"]["connections"].update(CE=[ENABLE]),
    ),
    "a reset": lambda d: cells(d)["ff_100"]["connections"].update(LSR=[OTHER]),
    "begins with one": lambda d: cells(d)["ff_100"]["parameters"].update(REGSET="SET"),
    "has its register": lambda d: cells(d)["ram"]["parameters"].update(REGMODE_A="OUTREG"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_would_behave_otherwise_stays(change):
    found = netlist([100, 105])
    CHANGES[change](found)
    before = deepcopy(found)
    assert absorb_output_registers(found) == 0
    assert found == before


def test_half_a_word_that_is_never_written_gets_the_clock_of_the_other():
    found = netlist([100, 205], width=36)
    cells(found)["ram"]["connections"].update(CLKA=["0"], CEA=["0"])
    assert absorb_output_registers(found) == 1
    ram = cells(found)["ram"]["connections"]
    assert ram["CLKA"] == ram["CLKB"] != ["0"]
    assert (ram["CEA"], ram["OCEA"]) == (["0"], ["1"])


@pytest.mark.parametrize("enable", [["1"], [ENABLE]])
def test_half_a_word_without_a_clock_that_may_be_written_stays(enable):
    found = netlist([100, 205], width=36)
    cells(found)["ram"]["connections"].update(CLKA=["0"], CEA=enable)
    assert absorb_output_registers(found) == 0


def test_wide_words_of_two_clocks_stay():
    found = netlist([100, 205], width=36)
    cells(found)["ram"]["connections"]["CLKA"] = [OTHER]
    assert absorb_output_registers(found) == 0
