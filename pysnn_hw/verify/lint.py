# SPDX-License-Identifier: BSD-2-Clause
"""Verilator's opinion of the generated Verilog."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pysnn_hw.resources import resource
from pysnn_hw.verify.verilator import Verilator


def lint(tool: Verilator, verilog: Path, *, top: str) -> tuple[str, ...]:
    """Warnings and errors of ``verilator --lint-only -Wall``, one line each.

    What ``rtl_templates/lint_waivers.vlt`` allows, with its reasons, is left out.
    """
    done = subprocess.run(
        [
            str(tool.root / "bin" / "verilator_bin"),
            *("--lint-only", "-Wall", "--top-module", top),
            str(resource("rtl_templates", "lint_waivers.vlt")),
            str(verilog),
        ],
        env=tool.environment,
        text=True,
        capture_output=True,
        check=False,
    )
    found = tuple(
        line
        for line in done.stderr.splitlines()
        if line.startswith(("%Warning", "%Error")) and not line.startswith("%Error: Exiting")
    )
    if done.returncode and not found:
        return (f"%Error: verilator ended with status {done.returncode}",)
    return found
