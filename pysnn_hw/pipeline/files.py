# SPDX-License-Identifier: BSD-2-Clause
"""Files that are either whole or absent, and the hashes that tell them apart."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pysnn_hw


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in place at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays, because some writers choose their format by it.
    draft = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as a whole file."""
    write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document as a whole file."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def file_hash(path: Path) -> str:
    """SHA-256 of a file's contents."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree_hash(paths: Iterable[Path]) -> str:
    """One hash over files and the files below folders, names included."""
    digest = hashlib.sha256()
    for root in paths:
        files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
        for path in files:
            digest.update(f"{root.name}/{path.relative_to(root).as_posix()}\0".encode())
            digest.update(file_hash(path).encode() if path.is_file() else b"absent")
    return digest.hexdigest()


@cache
def source_hash(rooms: tuple[str, ...]) -> str:
    """One hash over the sources of the named rooms of the package, as installed."""
    package = Path(pysnn_hw.__file__).parent
    digest = hashlib.sha256()
    for room in sorted(rooms):
        root = package / room
        files = sorted(root.rglob("*.py")) if root.is_dir() else [root.with_suffix(".py")]
        for path in files:
            digest.update(f"{path.relative_to(package).as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
