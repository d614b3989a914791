# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""What docs/boards.md says yosys makes of memories and multiplications."""

import json

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.build.families import FAMILIES
from pysnn_hw.build.flow import reading_script, synthesis_script
from pysnn_hw.build.reports import count_cells
from pysnn_hw.build.toolchain import find_toolchain
from pysnn_hw.hdl.lanes import Lanes
from pysnn_hw.plan import load_board
from pysnn_hw.plan.multipliers import multipliers

pytestmark = pytest.mark.synth


class Sample(wiring.Component):
    """One memory and one product of each kind."""

    def __init__(self, *, family):
        self.family = family
        super().__init__({"d": In(40), "q": Out(36), "spram_q": Out(16), "p": Out(signed(12))})

    def elaborate(self, platform):
        m = Module()
        styles = [("block", 36, 512, self.q)]
        if self.family == "ice40":
            styles = [("block", 16, 256, self.q), ("huge", 16, 16384, self.spram_q)]
        for style, width, depth, output in styles:
            m.submodules[style] = mem = memory.Memory(
                shape=width,
                depth=depth,
                init=[] if style == "huge" else range(depth),
                attrs={"ram_style": style},
            )
            read, write = mem.read_port(), mem.write_port()
            m.d.comb += [
                read.addr.eq(self.d),
                write.addr.eq(self.d if style == "huge" else self.d[20:]),
                write.data.eq(self.d),
                write.en.eq(self.d[-1]),
                read.en.eq(~self.d[-1]),
                output.eq(read.data),
            ]
        weight, spike = Signal(signed(8), reset_less=True), Signal(4, reset_less=True)
        product = Signal(signed(12), reset_less=True)
        m.d.sync += [weight.eq(self.d), spike.eq(self.d[8:]), product.eq(weight * spike)]
        m.d.sync += self.p.eq(Mux(self.d[12], product, self.p))
        return m


BOARDS = {
    "ecp5": "ulx3s-85f",
    "gatemate": "gatemate-evb",
    "gowin": "tang-nano-9k",
    "ice40": "icebreaker",
    "nexus": "crosslink-nx-evn",
}


def cells(tmp_path, family):
    device = load_board(BOARDS[family]).device
    (tmp_path / "top.il").write_text(rtlil.convert(Sample(family=family), name="top"))
    find_toolchain(family).yosys.run(
        ["-p", synthesis_script(device, "top.il", "top.json")],
        folder=tmp_path,
        log=tmp_path / "log",
    )
    return count_cells(json.loads((tmp_path / "top.json").read_text()))


def test_ecp5(tmp_path):
    found = cells(tmp_path, "ecp5")
    assert found["DP16KD"] == 1
    assert found["MULT18X18D"] == 1


def test_gatemate(tmp_path):
    found = cells(tmp_path, "gatemate")
    assert found["CC_BRAM_20K"] == 1
    # nextpnr takes neither these nor tables of more than two inputs, but trees of those.
    assert not {"CC_MULT", "CC_MX8", "CC_LUT3", "CC_LUT4"} & set(found)
    assert found["CC_L2T4"] > 10


def test_gowin(tmp_path):
    found = cells(tmp_path, "gowin")
    assert found["SDPX9B"] == 1
    assert found["MULT9X9"] == 1
    # Of wide multiplexers most would have a constant input.
    assert not [name for name in found if name.startswith("MUX2_")]


def test_ice40(tmp_path):
    found = cells(tmp_path, "ice40")
    assert found["SB_RAM40_4K"] == 1
    assert found["SB_SPRAM256KA"] == 1
    assert found["SB_MAC16"] == 1


@pytest.mark.parametrize(
    ("family", "weight_bits", "value", "found"),
    [
        ("ecp5", 2, unsigned(2), 1),
        ("gowin", 4, unsigned(3), 1),
        ("gowin", 3, unsigned(4), 0),
        ("gowin", 6, unsigned(2), 0),
        ("gowin", 6, signed(4), 1),
        ("ice40", 8, unsigned(3), 1),
        ("ice40", 6, unsigned(4), 0),
        ("nexus", 2, signed(2), 1),
    ],
)
def test_planner_counts_the_multipliers_that_yosys_makes(
    tmp_path, family, weight_bits, value, found
):
    dut = Lanes(1, weight_bits=weight_bits, value=value, kind="dsp", family=family)
    ports = [dut.weights.as_value(), dut.value, dut.products.as_value()]
    (tmp_path / "top.il").write_text(rtlil.convert(dut, name="top", ports=ports))
    synth = FAMILIES[family].synth(load_board(BOARDS[family]).device)
    until = f"{synth} -run begin:map_ram; select top; write_json -selected top.json"
    find_toolchain(family).yosys.run(
        ["-p", f"{reading_script('top.il')}; {until}"], folder=tmp_path, log=tmp_path / "log"
    )
    made = count_cells(json.loads((tmp_path / "top.json").read_text()))
    assert sum(n for cell, n in made.items() if "MULT" in cell or "MAC" in cell) == found
    assert multipliers(family, 1, weight_bits, value.width, signed=value.signed) == found
