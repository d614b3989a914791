# SPDX-License-Identifier: BSD-2-Clause
"""Bitstreams taken apart: what is compared, and that a difference anywhere is told."""

import json
import stat
import sys
from collections import Counter

import pytest

from pysnn_hw.build import roundtrip, toolchain
from pysnn_hw.build.roundtrip import RoundTrip, check_bitstream, memory_words, netlist_words
from pysnn_hw.build.toolchain import Tool, Toolchain
from pysnn_hw.errors import ToolError
from pysnn_hw.plan import load_board

ICE40 = """\
.comment made for this test
.device 5k
.logic_tile 1 1
0100
0001

.io_tile 1 0
0000
{memory}
.sym 3 name
"""
ROWS = [f"{k:064x}" for k in range(1, 17)]
MEMORY = ".ram_data 6 1\n" + "\n".join(ROWS)
CELLS = {
    "a": {
        "type": "SB_RAM40_4K",
        "parameters": {f"INIT_{k:X}": f"{k + 1:0256b}" for k in range(16)},
    },
    "b": {"type": "SB_RAM40_4K", "parameters": {"INIT_0": "x" * 256}},
    "c": {"type": "SB_LUT4", "parameters": {"LUT_INIT": "0001"}},
}
# A "bitstream" is the text itself, without what no bitstream holds.
STRIP = "import sys; t = open(sys.argv[1]).read().split('.sym')[0]; open(sys.argv[2], 'w').write(t)"


def tool(name: str, code: str) -> Tool:
    return Tool(name, "1", (sys.executable, "-c", code))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A finished build, and tools that copy."""
    text = ICE40.format(memory=MEMORY)
    (tmp_path / "accelerator.asc").write_text(text)
    (tmp_path / "accelerator.bin").write_text(text.split(".sym")[0])
    netlist = {"modules": {"top": {"cells": CELLS}}}
    (tmp_path / "accelerator.json").write_text(json.dumps(netlist))
    copy = tool("copy", STRIP)
    monkeypatch.setattr(roundtrip, "find_unpacker", lambda family: copy)
    monkeypatch.setattr(roundtrip, "find_toolchain", lambda family: Toolchain(copy, copy, copy))
    return tmp_path


@pytest.fixture
def device():
    return load_board("icebreaker").device


def test_an_unchanged_bitstream_is_told_in_figures(folder, device):
    size = (folder / "accelerator.bin").stat().st_size
    assert check_bitstream(folder, device) == RoundTrip(tiles=2, memories=1, size=size)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("accelerator.bin", ROWS[6], ROWS[7], "1 of the netlist's are not there, 1 others are"),
        ("accelerator.json", f"{3:0256b}", f"{2:0256b}", "memories of accelerator.bin"),
        ("accelerator.bin", "0100\n0001", "0100\n0011", "tile logic_tile 1 1 is not as"),
        ("accelerator.asc", ".io_tile 1 0\n0000", "", "tile io_tile 1 0 is not as"),
        ("accelerator.bin", ".io_tile 1 0\n0000", "", "tile io_tile 1 0 is not as"),
    ],
)
def test_a_difference_is_refused(folder, device, file, old, new, message):
    path = folder / file
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ToolError, match=message):
        check_bitstream(folder, device)


def test_a_bitstream_that_packs_differently_is_refused(folder, device, monkeypatch):
    other = tool("icepack", STRIP.replace(".read()", ".read().replace('1', '0')"))
    monkeypatch.setattr(roundtrip, "find_toolchain", lambda family: Toolchain(other, other, other))
    with pytest.raises(ToolError, match=r"accelerator\.bin comes out changed"):
        check_bitstream(folder, device)


def test_a_family_without_unpacker_is_refused(tmp_path, device):
    gowin = device.model_copy(update={"family": "gowin"})
    with pytest.raises(ToolError, match="no tool for bitstreams of gowin"):
        check_bitstream(tmp_path, gowin)


def test_words_of_an_ecp5_are_nine_bits_wide():
    row = sum(((2 * k + 1) | (2 * k + 2) << 9) << 20 * k for k in range(16))
    cells = {"a": {"type": "DP16KD", "parameters": {"INITVAL_01": f"{row:0320b}"}}}
    words = [0] * 32 + list(range(1, 33)) + [0] * (2048 - 64)
    lines = tuple(" ".join(f"{w:03x}" for w in words[k : k + 8]) for k in range(0, 2048, 8))
    want = Counter([sum(word << 9 * k for k, word in enumerate(words))])
    assert netlist_words({"modules": {"top": {"cells": cells}}}, "ecp5") == want
    assert memory_words({".bram_init 5": lines, ".tile R1C1:PLC2": ("arc: A B",)}, "ecp5") == want


def test_the_unpacker_comes_from_where_the_packer_does(tmp_path, monkeypatch):
    assert toolchain.find_unpacker("gowin") is None
    packer = tmp_path / "iceunpack"
    packer.write_text("#!/bin/sh\n")
    packer.chmod(packer.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    yowasp = toolchain.find_unpacker("ice40")
    assert yowasp.command[-1] == "run_iceunpack"
    native = Tool("icepack", "native", (str(tmp_path / "icepack"),))
    chain = Toolchain(native, native, native)
    monkeypatch.setattr(toolchain, "find_toolchain", lambda family: chain)
    assert toolchain.find_unpacker("ice40").command == (str(packer),)


HALF, OTHER = (bytes(value) for value in (range(1, 161), range(90, 250)))


def test_halves_of_a_gatemates_blocks():
    """Rows of 40 bytes: a netlist has halves, a bitstream five bytes of one, five of the other."""

    def row(contents, k):
        return f"{int.from_bytes(contents[40 * k : 40 * k + 40], 'little'):0320b}"

    halves = [
        {"type": "CC_BRAM_20K", "parameters": {f"INIT_{k:02X}": row(c, k) for k in range(4)}}
        for c in (HALF, OTHER)
    ]
    mixed = b"".join(c[k : k + 5] for k in range(0, 160, 5) for c in (HALF, OTHER))
    whole = {"type": "CC_BRAM_40K"}
    whole["parameters"] = {f"INIT_{k:02X}": row(mixed, k) for k in range(8)}
    lines = tuple(mixed[k : k + 40].hex(" ") for k in range(0, 320, 40))
    want = Counter(int.from_bytes(c, "little") for c in (HALF, OTHER))
    for cells in ({"a": halves[0], "b": halves[1]}, {"a": whole}):
        assert netlist_words({"modules": {"top": {"cells": cells}}}, "gatemate") == want
    assert memory_words({".bram_init 0 3 3": lines, ".bram 0 3 3": ("x 1",)}, "gatemate") == want


GATEMATE = """\
.config 0
PLL0.LOCK_REQ 1
PLL0.CLK270_DOUB 0

.tile 0 65 44
CPE1.FF_INIT 10
CPE1.C_O1 11
"""


def test_words_of_zeros_are_nothing_to_a_gatemate(tmp_path, monkeypatch):
    device = load_board("gatemate-evb").device
    without = GATEMATE.replace("PLL0.CLK270_DOUB 0\n", "")
    (tmp_path / "accelerator.txt").write_text(GATEMATE)
    (tmp_path / "accelerator.json").write_text('{"modules": {"top": {"cells": {}}}}')
    (tmp_path / "accelerator.bit").write_text(without)
    copy = tool("gmunpack", STRIP)
    monkeypatch.setattr(roundtrip, "find_unpacker", lambda family: copy)
    monkeypatch.setattr(roundtrip, "find_toolchain", lambda family: Toolchain(copy, copy, copy))
    size = len(without)
    assert check_bitstream(tmp_path, device) == RoundTrip(tiles=2, memories=0, size=size)
    (tmp_path / "accelerator.bit").write_text(without.replace("C_O1 11", "C_O1 01"))
    with pytest.raises(ToolError, match=r"^gmunpack: tile tile 0 65 44 is not as nextpnr wrote it"):
        check_bitstream(tmp_path, device)
