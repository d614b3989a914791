# SPDX-License-Identifier: BSD-2-Clause
"""A verb in a process of its own: for work that keeps a processor busy for minutes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from pysnn_hw.errors import ToolError

USER_ERROR = 2


def run_verb(arguments: Sequence[str]) -> dict[str, Any]:
    """What ``pysnn-hw ARGUMENTS --json`` answers.

    Raises
    ------
    ToolError
        If it fails, with its own sentence.
    """
    command = [sys.executable, "-m", "pysnn_hw.cli", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no word of why"]
        raise ToolError(f"pysnn-hw {arguments[0]}", said[-1].removeprefix("error: "))
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
