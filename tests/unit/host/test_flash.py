# SPDX-License-Identifier: BSD-2-Clause
import os

import pytest

from pysnn_hw.errors import ToolError
from pysnn_hw.host import flash
from pysnn_hw.plan.board import load_board

ULX3S = load_board("ulx3s-85f")
ICEBREAKER = load_board("icebreaker")
ARTY = load_board("arty-a7-35")
TANG = load_board("tang-nano-9k")


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Installs programs that print their arguments, on a PATH with nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def install(name, status=0):
        path = folder / name
        path.write_text(f'#!/bin/sh\necho "$@"\necho done\nexit {status}\n')
        path.chmod(0o755)

    return install


@pytest.fixture
def bitstream(tmp_path):
    path = tmp_path / "top.bit"
    path.write_bytes(b"bits")
    return path


@pytest.mark.parametrize(
    ("board", "tool", "volatile", "arguments"),
    [
        (ULX3S, "openFPGALoader", False, "-b ulx3s -f"),
        (ULX3S, "openFPGALoader", True, "-b ulx3s"),
        (ARTY, "openFPGALoader", False, "-b arty_a7_35t -f"),
        (TANG, "openFPGALoader", False, "-b tangnano9k -f"),
        (ICEBREAKER, "openFPGALoader", False, "-b ice40_generic -f"),
        (ICEBREAKER, "iceprog", False, ""),
        (ICEBREAKER, "iceprog", True, "-S"),
    ],
)
def test_command(tools, bitstream, board, tool, volatile, arguments):
    tools(tool)
    said = []
    command = flash(bitstream, board, volatile=volatile, progress=said.append)
    assert said == [f"{arguments} {bitstream}".strip(), "done"]
    assert command.split()[0].endswith(os.sep + tool)


def test_iceprog_is_preferred_for_ice40_only(tools, bitstream):
    tools("iceprog")
    tools("openFPGALoader")
    assert "iceprog" in flash(bitstream, ICEBREAKER)
    assert "openFPGALoader" in flash(bitstream, ULX3S)


@pytest.mark.parametrize(
    ("board", "hint"),
    [(ULX3S, "openfpgaloader"), (TANG, "openfpgaloader"), (ICEBREAKER, "icestorm")],
)
def test_missing_programmer_says_how_to_get_it(tools, bitstream, board, hint):
    with pytest.raises(ToolError, match=f"is not on PATH; .*{hint}"):
        flash(bitstream, board)


def test_failure_quotes_the_programmer(tools, bitstream):
    tools("openFPGALoader", status=3)
    with pytest.raises(ToolError, match="openFPGALoader: exit status 3: done; is the board"):
        flash(bitstream, ULX3S)


def test_missing_bitstream(tools, tmp_path):
    with pytest.raises(ToolError, match=r"no\.bit: no such file; run `pysnn-hw build` first"):
        flash(tmp_path / "no.bit", ULX3S)


def test_a_processor_loads_its_bitstreams_itself(tools, bitstream):
    with pytest.raises(ToolError, match="is loaded by PYNQ; copy it to the pynq-z2"):
        flash(bitstream, load_board("pynq-z2"))
