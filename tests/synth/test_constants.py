# SPDX-License-Identifier: BSD-2-Clause
"""Weights in logic are a table or two deep, whatever else is in the design."""

import json

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.build.flow import synthesis_script
from pysnn_hw.build.toolchain import find_toolchain
from pysnn_hw.hdl.weights import WeightMemory
from pysnn_hw.plan import load_board

pytestmark = pytest.mark.synth
TABLES = {"LUT4": 1, "PFUMX": 0, "L6MUX21": 0}
"""Cells between registers, and how many look-up tables deep each is."""
BUFFERS = {"IBUF", "OBUF", "TBUF", "IB", "OB", "OBZ", "SB_IO", "SB_GB_IO"}


class Sample(wiring.Component):
    """A weight memory beside a carry chain that takes longer."""

    def __init__(self, words, family):
        self.memory = WeightMemory(words, weight_bits=8, kind="lut", family=family)
        width = len(self.memory.weights.as_value())
        super().__init__({"address": In(8), "weights": Out(width), "d": In(96), "sum": Out(96)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = self.memory
        address = Signal(8, reset_less=True)
        m.d.sync += [address.eq(self.address), self.sum.eq(self.sum + self.d)]
        m.d.comb += [self.memory.address.eq(address)]
        m.d.comb += self.weights.eq(self.memory.weights.as_value())
        return m


def test_words_are_not_woven_into_each_other(tmp_path):
    words = np.random.default_rng(3).integers(-128, 128, (150, 32))
    words[:, 1::2] = words[:, ::2] ^ 1  # much to share between bits
    assert 1 <= depth(synthesised(words, "ulx3s-85f", tmp_path)["cells"]) <= 2


@pytest.mark.parametrize("board", ["tang-nano-20k", "icebreaker", "crosslink-nx-evn"])
def test_memories_that_are_mapped_by_themselves_get_no_pins(board, tmp_path):
    """As nextpnr says of such a buffer that it has no place on the device."""
    words = np.random.default_rng(4).integers(-128, 128, (70, 4))
    top = synthesised(words, board, tmp_path)
    pins = {bit for port in top["ports"].values() for bit in port["bits"]}
    assert any("memory" in name and "LUT" in cell["type"] for name, cell in top["cells"].items())
    for cell in top["cells"].values():
        if cell["type"] in BUFFERS:
            assert pins & {bit for bits in cell["connections"].values() for bit in bits}


def synthesised(words, board, folder):
    """A `Sample` as cells, the only module that is left."""
    device = load_board(board).device
    (folder / "top.il").write_text(rtlil.convert(Sample(words, device.family), name="top"))
    find_toolchain(device.family).yosys.run(
        ["-p", synthesis_script(device, "top.il", "top.json")], folder=folder, log=folder / "log"
    )
    modules = json.loads((folder / "top.json").read_text())["modules"]
    assert not {cell["type"] for cell in modules["top"]["cells"].values()} & set(modules) - {
        name for name, module in modules.items() if "blackbox" in module["attributes"]
    }
    return modules["top"]


def depth(cells):
    """Most look-up tables between two registers of the weight memory."""
    drivers = {}
    for cell in cells.values():
        if cell["type"] in TABLES:
            ports = cell["connections"], cell["port_directions"]
            (output,) = (ports[0][p] for p, way in ports[1].items() if way == "output")
            inputs = [b for p, way in ports[1].items() if way == "input" for b in ports[0][p]]
            drivers[output[0]] = TABLES[cell["type"]], inputs

    def below(bit):
        if bit not in drivers:
            return 0
        tables, inputs = drivers[bit]
        return tables + max(map(below, inputs))

    ends = [c for name, c in cells.items() if c["type"] == "TRELLIS_FF" and "memory" in name]
    assert len(ends) > 100
    return max(
        below(bit) for c in ends for port in ("DI", "M") for bit in c["connections"].get(port, [])
    )
