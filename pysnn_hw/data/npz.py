# SPDX-License-Identifier: BSD-2-Clause
"""Reads the arrays of an ``.npz`` file that may come from anywhere.

The headers are checked against the archive's directory before any array is allocated, and
pickled objects are refused, so a hostile file costs neither memory nor execution.
"""

from __future__ import annotations

import lzma
import math
import tokenize
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pysnn_hw.data.arrays import check_bytes
from pysnn_hw.errors import DataError

REQUIRED = ("x_test", "y_test")
OPTIONAL = ("x_train", "y_train")

# Everything that zipfile, the decompressors and numpy's header parser raise on damaged bytes.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tokenize.TokenError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    UserWarning,
    ValueError,
)


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays ``x_test``, ``y_test`` and, if present, ``x_train``, ``y_train``, as stored.

    Raises
    ------
    DataError
        If the file is damaged, lacks a field, holds objects or declares too many bytes.
    """
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGE as e:
        raise DataError(str(path), f"not a readable .npz file ({_reason(e)})") from e
    with archive:
        names = _fields(path, {n.removesuffix(".npy") for n in archive.namelist()})
        check_bytes(sum(_declared_bytes(path, archive, name) for name in names), str(path))
        return {name: _read(path, archive, name) for name in names}


def _fields(path: Path, found: set[str]) -> tuple[str, ...]:
    """Which fields to read; both or neither of the optional ones."""
    have = f"it holds {', '.join(sorted(found)[:8]) or 'nothing'}"
    for name in REQUIRED:
        if name not in found:
            raise DataError(f"{path}: {name}", "field missing", have)
    optional = [name for name in OPTIONAL if name in found]
    if len(optional) == 1:
        (missing,) = set(OPTIONAL) - set(optional)
        raise DataError(f"{path}: {missing}", f"field missing beside {optional[0]}", have)
    return (*REQUIRED, *optional)


def _declared_bytes(path: Path, archive: zipfile.ZipFile, name: str) -> int:
    """Size of one array according to its header, once header and directory agree."""
    where = f"{path}: {name}"
    try:
        with archive.open(f"{name}.npy") as stream, warnings.catch_warnings(action="error"):
            if np.lib.format.read_magic(stream) != (1, 0):
                # Later versions allow headers of 4 GiB, which no array of numbers needs.
                raise DataError(where, "array format is not version 1.0")
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            present = archive.getinfo(f"{name}.npy").file_size - stream.tell()
    except _DAMAGE as e:
        raise DataError(where, f"damaged array header ({_reason(e)})") from e
    if dtype.hasobject:
        raise DataError(where, "holds Python objects", "store plain numbers")
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size != present:
        problem = f"header declares {size} bytes (shape {shape}) but the file holds {present}"
        raise DataError(where, problem)
    return size


def _read(path: Path, archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    try:
        with archive.open(f"{name}.npy") as stream:
            array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    except _DAMAGE as e:
        raise DataError(f"{path}: {name}", f"damaged array ({_reason(e)})") from e
    return array


def _reason(error: BaseException) -> str:
    """First line of a foreign message, or its kind when there is none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
