# SPDX-License-Identifier: BSD-2-Clause
"""A board that exists as a simulation only, behind a serial port like any other."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
from pathlib import Path
from types import TracebackType

import jinja2
from amaranth.back import verilog
from filelock import FileLock

from pysnn_hw.errors import ToolError
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.link.network import link_parameters
from pysnn_hw.hdl.link.uart_top import UartTop
from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.plan.schedule import Schedule
from pysnn_hw.resources import resource_dir
from pysnn_hw.verify.verilator import Profile, build_executable, cache_dir, find_verilator

TOP = "top"
DIVISOR = 4
"""Clock cycles of a UART bit: few, since every one of them is simulated."""
_BUSY_CYCLES = 4_000_000


class VirtualBoard:
    """The Verilated design, run as a child process behind a pseudo-terminal.

    A context manager. `port` can be opened like a serial port, by this package's driver or any
    other program; the baud rate does not matter. The design's clock is as fast as the simulation,
    and time passes even when nothing is sent, so time-outs are real.

    Parameters
    ----------
    design
        What is on the board.

    Raises
    ------
    ToolError
        If Verilator or the compiler is missing or fails, or there is no pseudo-terminal.
    """

    def __init__(self, design: UartTop) -> None:
        self.design = design
        self._process: subprocess.Popen[str] | None = None
        self._port = ""

    @property
    def port(self) -> str:
        """Path of the pseudo-terminal.

        Raises
        ------
        ToolError
            If the board is not running.
        """
        if self._process is None:
            raise ToolError("virtual board", "is not running", "use it as a context manager")
        return self._port

    def __enter__(self) -> VirtualBoard:
        executable = self.build()
        try:
            self._process = subprocess.Popen(
                [str(executable)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise ToolError(executable.name, f"cannot be run: {error.strerror}") from error
        self._port = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not self._port:
            self.close()
            raise ToolError("virtual board", "found no pseudo-terminal")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def build(self) -> Path:
        """Compile the design, unless that has been done before; return the executable."""
        text = verilog.convert(self.design, name=TOP, emit_src=False)
        key = hashlib.sha256(text.encode()).hexdigest()[:20]
        folder = cache_dir() / "virtual-board" / key
        folder.mkdir(parents=True, exist_ok=True)
        design, main = folder / f"{TOP}.v", folder / "main.cpp"
        with FileLock(folder / "lock"):
            design.write_text(text)
            main.write_text(self._harness())
            return build_executable(
                find_verilator(), design, main, folder / "compiled", top=TOP, profile=Profile("-O2")
            )

    def close(self) -> None:
        """End the simulation; its terminal disappears."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _harness(self) -> str:
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(resource_dir("rtl_templates")),
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
        )
        parameters = self.design.parameters
        return environment.get_template("virtual_board.cpp.j2").render(
            divisor=parameters.divisor,
            busy_cycles=_BUSY_CYCLES + 4 * parameters.timeout_cycles,
        )


def virtual_board(net: FixedNetwork, schedule: Schedule) -> VirtualBoard:
    """A virtual board with an accelerator of ``net``; its host must upload what it lacks."""
    accelerator = Accelerator(net, schedule)
    boots = "boot" in accelerator.signature.members
    address_width = len(accelerator.boot.p.address) if boots else 0
    parameters = link_parameters(net, divisor=DIVISOR, address_width=address_width)
    return VirtualBoard(UartTop(accelerator, parameters))
