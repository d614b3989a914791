# SPDX-License-Identifier: BSD-2-Clause
import json

import pytest

from pysnn_hw.build.families import (
    FAMILIES,
    retune_config,
    retune_fasm,
    retune_netlist,
    retune_words,
)
from pysnn_hw.build.flash import flash_image
from pysnn_hw.build.reports import Report, Usage, count_cells, read_report
from pysnn_hw.errors import PlanError, ToolError
from pysnn_hw.hdl.boot import boot_image
from pysnn_hw.hdl.clock import best_pll
from pysnn_hw.plan.board import load_board

REPORT = {
    "fmax": {
        "$glbnet$clocks.clk": {"achieved": 101.5, "constraint": 125.0},
        "clocks.board_clk$SB_IO_IN_$glb_clk": {"achieved": 160.0, "constraint": 25.0},
    },
    "utilization": {"TRELLIS_COMB": {"used": 7, "available": 24288}},
}


def test_report(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(REPORT))
    report = read_report(path)
    assert report.fmax_mhz == {"clk": 101.5, "board_clk": 160.0}
    assert report.utilisation == {"TRELLIS_COMB": Usage(7, 24288)}
    assert report.fmax_of("clk") == 101.5
    with pytest.raises(ToolError, match="no clock 'usb'; reported: clk, board_clk"):
        report.fmax_of("usb")


def test_logic_cells_of_a_gowin_device():
    used = {"LUT4": Usage(7, 8640), "ALU": Usage(5, 6480), "RAM16SDP4": Usage(2, 270)}
    report = Report({}, {**used, "MULT9X9": Usage(3, 40), "MULT18X18": Usage(1, 20)})
    # An adder's bit takes the place of a LUT, a small memory that of eight.
    assert report.usage(FAMILIES["gowin"].lut) == Usage(7 + 5 + 2 * 8, 8640)
    assert report.usage(FAMILIES["gowin"].dsp) == Usage(3 + 2, 40)
    assert report.usage(FAMILIES["ecp5"].dsp) == Usage(0, 0)


def test_logic_cells_of_a_gatemate():
    used = {"CPE_LT": Usage(7, 40960), "CPE_ADDF": Usage(2, 0), "CPE_ADDF2": Usage(3, 0)}
    report = Report({}, {**used, "CPE_MX4": Usage(4, 0), "CPE_BRIDGE": Usage(5, 0)})
    # Adders and multiplexers take both LUTs of a cell; a bridge is the router's.
    assert report.usage(FAMILIES["gatemate"].lut) == Usage(7 + 2 * (2 + 3 + 4), 40960)
    assert report.usage(FAMILIES["gatemate"].dsp) == Usage(0, 0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"fmax": {}}', '{"fmax": 1, "utilization": {}}'])
def test_unusable_report(tmp_path, text):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ToolError, match=r"no usable report in .*report.json"):
        read_report(path)


def test_cells_of_the_top_module_only():
    netlist = {
        "modules": {
            "SB_DFF": {"attributes": {"whitebox": "1"}, "cells": {"x": {"type": "$dff"}}},
            "top": {
                "attributes": {"top": "1"},
                "cells": {"a": {"type": "SB_DFF"}, "b": {"type": "SB_DFF"}},
            },
        }
    }
    assert count_cells(netlist) == {"SB_DFF": 2}


PLL_TILE = """.tile MIB_R50C3:PLL0_UL
word: CLKFB_DIV 0001111
word: CLKI_DIV 0000001
word: CLKOS_CPHASE 0000011
word: CLKOS_DIV 0000011
word: CLKOP_DIV 0000001
"""


def test_pll_of_a_textual_bitstream():
    pll = best_pll("EHXPLLL", 25_000_000, 120e6)
    assert pll.parameters == {"CLKI_DIV": 1, "CLKFB_DIV": 12, "CLKOS_DIV": 5, "CLKOS_CPHASE": 4}
    assert retune_config(PLL_TILE, pll).splitlines()[1:] == [
        "word: CLKFB_DIV 0001011",
        "word: CLKI_DIV 0000000",
        "word: CLKOS_CPHASE 0000100",
        "word: CLKOS_DIV 0000100",
        "word: CLKOP_DIV 0000001",
    ]
    with pytest.raises(ValueError, match="sets CLKI_DIV 2 times"):
        retune_config(PLL_TILE + PLL_TILE, pll)


FASM = """CIB_R0C77__EFB_1_OSC.OSC_CORE.HF_CLK_DIV[7:0] = 8'b00000101
CIB_R0C77__EFB_1_OSC.OSC_CORE.HF_OSC_EN.ENABLED
CIB_R0C77__EFB_1_OSC.OSC_CORE.HF_SED_SEC_DIV[7:0] = 8'b00000001
"""


def test_oscillator_of_a_textual_bitstream():
    clock = best_pll("OSCA", 12_000_000, 60e6)
    first, *rest = retune_fasm(FASM, clock).splitlines()
    assert first == "CIB_R0C77__EFB_1_OSC.OSC_CORE.HF_CLK_DIV[7:0] = 8'b00001000"
    assert rest == FASM.splitlines()[1:]
    with pytest.raises(ValueError, match="sets HF_CLK_DIV 0 times"):
        retune_fasm("", clock)


WORDS = """.config 0
GLBOUT.GLB0_EN 1
PLL0.CFG_A_K 000000000001
PLL0.CFG_A_M1 000010
PLL0.CFG_A_M2 0000000010
PLL0.CFG_A_N1 001000
PLL0.CFG_A_N2 0000001000
PLL0.LOCK_REQ 1
"""


def test_pll_of_a_gatemate_bitstream():
    pll = best_pll("CC_PLL", 10_000_000, 39e6)
    assert tuple(pll.parameters.values()) == (6, 13, 2, 5)
    assert retune_words(WORDS, pll).splitlines() == [
        *WORDS.splitlines()[:3],
        "PLL0.CFG_A_M1 000010",
        "PLL0.CFG_A_M2 0000000101",
        "PLL0.CFG_A_N1 000110",
        "PLL0.CFG_A_N2 0000001101",
        "PLL0.LOCK_REQ 1",
    ]
    with pytest.raises(ValueError, match="sets CFG_A_N1 2 times"):
        retune_words(WORDS + WORDS.replace("PLL0", "PLL1"), pll)


def test_pll_of_a_gowin_netlist():
    pll = best_pll("rPLL", 27_000_000, 106e6)
    cell = {"type": "rPLL", "parameters": {"FBDIV_SEL": "0", "FCLKIN": "27"}}
    retune_netlist({"modules": {"top": {"cells": {"clocks.pll": cell}}}}, pll)
    changed = {name: int(cell["parameters"][name], 2) for name in pll.parameters}
    assert changed == pll.parameters
    assert cell["parameters"]["FCLKIN"] == "27"


def test_pll_of_a_netlist():
    pll = best_pll("SB_PLL40_2_PAD", 12_000_000, 40e6)
    cells = {
        "clocks.pll_PLL": {"type": "ICESTORM_PLL", "parameters": {"DIVF": "0", "TEST_MODE": "0"}},
        "x": {"type": "ICESTORM_LC", "parameters": {}},
    }
    retune_netlist({"modules": {"top": {"cells": cells}}}, pll)
    changed = cells["clocks.pll_PLL"]["parameters"]
    assert int(changed["DIVF"], 2) == pll.parameters["DIVF"] == 52
    assert changed["TEST_MODE"] == "0"
    with pytest.raises(ValueError, match="netlist has 0 PLLs"):
        retune_netlist({"modules": {"top": {"cells": {}}}}, pll)


def test_flash_holds_bitstream_and_boot_image():
    board = load_board("icebreaker")
    flash = flash_image(b"bits", b"weights", board)
    assert flash[:4] == b"bits"
    assert set(flash[4:0x100000]) == {0xFF}
    assert flash[0x100000:] == boot_image(b"weights")


def test_flash_image_refuses():
    with pytest.raises(PlanError, match="1048577 bytes, the boot image starts at 1048576"):
        flash_image(bytes((1 << 20) + 1), b"", load_board("icebreaker"))
    with pytest.raises(PlanError, match="no flash for a boot image"):
        flash_image(b"", b"", load_board("ulx3s-85f"))
