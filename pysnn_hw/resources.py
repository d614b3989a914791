# SPDX-License-Identifier: BSD-2-Clause
"""Finds the files that travel with the package, from a checkout and from a wheel alike."""

from pathlib import Path
from typing import Literal

from pysnn_hw.errors import PysnnError

Kind = Literal["rtl_templates", "sim", "boards", "bundled"]


def resource_dir(kind: Kind) -> Path:
    """Folder of one kind of resource.

    Raises
    ------
    PysnnError
        If neither the wheel's data folder nor a checkout beside the package holds it.
    """
    package = Path(__file__).resolve().parent
    candidates = [package / "_data" / kind, package.parent / kind]
    if kind == "bundled":
        candidates = [package / kind]
    for path in candidates:
        if path.is_dir():
            return path
    raise PysnnError(kind, "folder missing from this installation", "reinstall pysnn-hw")


def resource(kind: Kind, name: str) -> Path:
    """One resource file; see `resource_dir`.

    Raises
    ------
    PysnnError
        If there is no such file.
    """
    path = resource_dir(kind) / name
    if not path.exists():
        have = ", ".join(sorted(p.name for p in resource_dir(kind).iterdir()))
        raise PysnnError(name, f"not among the {kind} files", f"there are: {have}")
    return path
