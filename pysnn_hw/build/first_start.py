# SPDX-License-Identifier: BSD-2-Clause
"""The first start of a tool that comes as WebAssembly, by one process at a time.

YoWASP's runtime compiles a tool when it is started first, which takes a minute or two, and keeps
the machine code for later starts. It writes into the file that others may have mapped already: of
two processes that start a new tool at once, one dies of a bus error. So the first start is one that
does nothing else, and others wait for it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import platformdirs
from filelock import FileLock

__all__ = ["ensure_compiled"]


def ensure_compiled(
    name: str, version: str, command: Sequence[str], progress: Callable[[str], None] | None = None
) -> None:
    """Return once the machine code of a tool is there, having made it if need be.

    Parameters
    ----------
    name, version
        Of the tool, as it is found in YoWASP's packages.
    command
        What starts it; run with ``--help``.
    progress
        Told if it has to be compiled.
    """
    folder = _machine_code()
    engine = metadata.version("wasmtime")
    done = folder / f"{name}-{version.split()[0]}-wasmtime-{engine}.started"
    if done.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(done.with_suffix(".lock")):
        if done.is_file():
            return
        if progress:
            progress(f"compile {name}, which is done once")
        # Whatever is wrong with the tool comes up when it is run for its own sake.
        first = subprocess.run(
            [*command, "--help"], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if first.returncode >= 0:  # not killed
            done.touch()


def _machine_code() -> Path:
    """Where the runtime keeps it: without that, what is known of first starts is gone, too."""
    given = os.environ.get("YOWASP_CACHE_DIR")
    return Path(given or platformdirs.user_cache_dir("YoWASP", appauthor=False))
