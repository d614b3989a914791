# SPDX-License-Identifier: BSD-2-Clause
"""Loads a bitstream into a board with the programmer that is there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from pysnn_hw.errors import ToolError
from pysnn_hw.plan.board import Board

_HINT = "apt install openfpgaloader, or brew install openfpgaloader"
_ICE40_HINT = "apt install fpga-icestorm (iceprog) or openfpgaloader, brew install the same"


def flash(
    bitstream: Path,
    board: Board,
    *,
    volatile: bool = False,
    progress: Callable[[str], None] | None = None,
) -> str:
    """Write ``bitstream`` to the board's flash, or only into the FPGA; return the command used.

    Parameters
    ----------
    bitstream
        File that `build_bitstream` wrote.
    board
        Picks the programmer.
    volatile
        Load the FPGA itself; it forgets when the power goes.
    progress
        Called with each line that the programmer prints.

    Raises
    ------
    ToolError
        If the bitstream or a programmer is missing, the programmer fails, or the board's processor
        loads bitstreams itself.
    """
    if board.processor is not None:
        raise ToolError(str(bitstream), "is loaded by PYNQ", f"copy it to the {board.name}")
    if not bitstream.is_file():
        raise ToolError(str(bitstream), "no such file", "run `pysnn-hw build` first")
    command = _command(bitstream, board, volatile)
    lines = []
    try:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                if progress is not None:
                    progress(lines[-1])
    except OSError as error:
        raise ToolError(command[0], f"cannot be run: {error.strerror}") from error
    if process.returncode:
        said = next((line for line in reversed(lines) if line), "no output")
        raise ToolError(
            Path(command[0]).name,
            f"exit status {process.returncode}: {said}",
            "is the board plugged in, and may you use its USB device?",
        )
    return " ".join(command)


def _command(bitstream: Path, board: Board, volatile: bool) -> list[str]:
    iceprog = shutil.which("iceprog")
    if board.device.family == "ice40" and iceprog is not None:
        return [iceprog, *(["-S"] if volatile else []), str(bitstream)]
    loader = shutil.which("openFPGALoader")
    if loader is None:
        hint = _ICE40_HINT if board.device.family == "ice40" else _HINT
        raise ToolError("openFPGALoader", "is not on PATH", hint)
    which = ["-b", board.loader_name] if board.loader_name else []
    return [loader, *which, *([] if volatile else ["-f"]), str(bitstream)]
