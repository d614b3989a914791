# SPDX-License-Identifier: BSD-2-Clause
"""Reads weights and texts from an HDF5 file defensively.

HDF5 can point into other files, declare data that it does not hold, and unpack little into much:
only hard links, plain datasets and declared sizes within a budget are followed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager

import h5py
import numpy as np

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import MAX_WEIGHTS, Array, Refusal, printable

MAX_TEXT_BYTES = 16 << 20
"""Largest configuration of a network."""
MAX_NAMES = 1000
"""Largest number of weights of one layer."""


class Store:
    """The groups of one file; every reading method raises ModelError naming ``where``.

    Parameters
    ----------
    content
        The whole file: nothing else is opened.
    where
        Its name in messages.

    """

    def __init__(self, content: bytes, where: str) -> None:
        self.where = where
        self._left = MAX_WEIGHTS
        with self._readable():
            self._file = h5py.File(io.BytesIO(content), "r")

    def find(self, path: str) -> h5py.Group | h5py.Dataset | None:
        """What is at ``path`` (components divided by ``/``), or None if nothing is."""
        with self._readable():
            found: h5py.Group | h5py.Dataset = self._file
            for part in path.strip("/").split("/"):
                if not isinstance(found, h5py.Group) or part in ("", ".", "..") or "\0" in part:
                    return None
                link = found.get(part, getlink=True)
                if link is None:
                    return None
                if not isinstance(link, h5py.HardLink):
                    raise ModelError(self.where, f"{printable(path)!r} links to another place")
                found = found[part]
            return found

    def attribute(self, path: str, name: str) -> list[str] | None:
        """The texts of an attribute; None if it is missing. ``path`` "" is the root."""
        with self._readable():
            owner = self.find(path) if path else self._file
            if owner is None or name not in owner.attrs:
                return None
            stored = owner.attrs.get_id(name)
            if 0 in stored.shape:
                return []
            if math.prod(stored.shape) > MAX_NAMES or stored.get_storage_size() > MAX_TEXT_BYTES:
                raise ModelError(self.where, f"its attribute {name} is too large")
            value = owner.attrs[name]
            texts = [value] if isinstance(value, str | bytes) else list(value)
        plain = [t.decode("utf-8", "replace") if isinstance(t, bytes) else str(t) for t in texts]
        if sum(map(len, plain)) > MAX_TEXT_BYTES:
            raise ModelError(self.where, f"its attribute {name} is too large")
        return plain

    def members(self, path: str) -> int:
        """How many entries the group at ``path`` has; 0 if it is missing."""
        with self._readable():
            group = self.find(path)
            return len(group) if isinstance(group, h5py.Group) else 0

    def array(self, path: str) -> Array:
        """The dataset at ``path``: floating point, or a single number; Refusal if it is not."""
        with self._readable():
            found = self.find(path)
            name = printable(path)
            if not isinstance(found, h5py.Dataset) or found.shape is None:
                raise Refusal(f"its weight {name!r} is missing")
            if found.chunks is not None or found.is_virtual or found.external:
                problem = f"its weight {name!r} is compressed or stored elsewhere"
                raise Refusal(problem, "save the model again from Keras")
            if found.dtype.kind != "f" and (found.dtype.kind not in "iu" or found.shape):
                problem = f"its weight {name!r} has element type {printable(str(found.dtype))}"
                raise Refusal(problem, "use float32 weights")
            self._left -= math.prod(found.shape)
            if self._left < 0 or found.dtype.itemsize > 8:
                raise Refusal(f"with it the file declares more than {MAX_WEIGHTS} weights")
            return np.asarray(found[()])

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (ModelError, Refusal):
            raise
        # Damage surfaces in libhdf5 as an exception of almost any type.
        except Exception as error:
            raise ModelError(self.where, "is not a readable HDF5 file, or it is damaged") from error
