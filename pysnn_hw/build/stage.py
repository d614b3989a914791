# SPDX-License-Identifier: BSD-2-Clause
"""One run of a tool, repeated only when something that it depends on has changed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pysnn_hw.build.toolchain import Progress, Tool

__all__ = ["run_stage", "write"]


def run_stage(
    tool: Tool,
    arguments: Sequence[str],
    *,
    stem: Path,
    inputs: Sequence[Path],
    products: Mapping[Path, Path],
    progress: Progress | None = None,
    interesting: str = r"(?!)",
) -> None:
    """Runs a tool unless its products are there and made from the same inputs by the same command.

    Parameters
    ----------
    tool, arguments
        What to run, in the folder of ``stem``.
    stem
        ``stem.log`` receives what the tool says, ``stem.stamp`` what the products were made from.
    inputs
        Files that the tool reads.
    products
        What the tool writes, and what it is to be called once the tool has ended well.
    progress, interesting
        See `Tool.run`; the first line names the tool.

    Raises
    ------
    ToolError
        If the tool fails; products of an earlier run are left as they are.
    """
    digest = hashlib.sha256(json.dumps([tool.version, list(arguments)]).encode())
    for path in inputs:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    stamp = stem.with_name(f"{stem.name}.stamp")
    if (
        all(path.exists() for path in products.values())
        and stamp.exists()
        and stamp.read_text(encoding="utf-8") == digest.hexdigest()
    ):
        return
    if progress:
        progress(f"{tool.name} {tool.version}")
    log = stem.with_name(f"{stem.name}.log")
    tool.run(arguments, folder=stem.parent, log=log, progress=progress, interesting=interesting)
    stamp.unlink(missing_ok=True)
    for draft, path in products.items():
        draft.replace(path)
    write(stamp, digest.hexdigest())


def write(path: Path, contents: str | bytes) -> None:
    """Write a whole file, by way of one beside it."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    part.replace(path)
