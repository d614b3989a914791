# SPDX-License-Identifier: BSD-2-Clause
"""Reads a ``.nir`` file (HDF5) as nested plain data, defensively.

Beside what `keras_hdf5.Store` guards against, NIR files are usually compressed, and libhdf5 unpacks
a chunk to whatever size it claims to have: chunks are unpacked here, up to their declared size.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import MAX_NODES, MAX_WEIGHTS, Array, printable
from pysnn_hw.frontend.keras_hdf5 import Store

MAX_BYTES = 128 << 20
"""Largest file."""
MAX_OBJECTS = 20 * MAX_NODES
"""Largest number of groups and datasets."""
MAX_DEPTH = 16
"""Deepest nesting of groups."""
MAX_TEXT = 1 << 20
"""Longest single text."""
MAX_EDGES = 4 * MAX_NODES
MAX_CHUNKS = 1 << 14

Tree = dict[str, Any]
"""Of trees, texts, numeric arrays and lists of pairs of texts."""


def read_tree(path: Path) -> Tree:
    """The graph in a file, as the ``to_dict`` of the `nir` package would give it.

    Raises
    ------
    ModelError
        If the file is not readable, damaged, too large, or holds something other than numbers and
        texts.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ModelError(path.name, f"{size} bytes are more than {MAX_BYTES}")
    return _NirStore(path.read_bytes(), path.name).tree("node")


class _NirStore(Store):
    """A `Store` that also reads whole groups, texts and compressed arrays."""

    def __init__(self, content: bytes, where: str) -> None:
        super().__init__(content, where)
        self._objects = MAX_OBJECTS
        self._texts = MAX_TEXT

    def tree(self, path: str) -> Tree:
        """The group at ``path`` with everything below it."""
        with self._readable():
            group = self.find(path)
            if not isinstance(group, h5py.Group):
                raise ModelError(self.where, f"holds no {printable(path)!r}: it is no NIR graph")
            return self._group(group, path, MAX_DEPTH)

    def _group(self, group: h5py.Group, path: str, depth: int) -> Tree:
        if depth == 0:
            raise ModelError(self.where, "nests its groups too deeply")
        self._objects -= len(group)
        if self._objects < 0:
            raise ModelError(self.where, f"holds more than {MAX_OBJECTS} entries")
        found: Tree = {}
        for name in group:
            below = f"{path}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ModelError(self.where, f"{printable(below)!r} links to another place")
            entry = group[name]
            if isinstance(entry, h5py.Group):
                found[name] = self._group(entry, below, depth - 1)
            elif isinstance(entry, h5py.Dataset):
                found[name] = self._dataset(entry, below)
        return found

    def _dataset(self, data: h5py.Dataset, path: str) -> Array | str | list[list[str]]:
        name = printable(path)
        if data.shape is None or data.is_virtual or data.external:
            raise ModelError(self.where, f"{name!r} is empty or stored elsewhere")
        if h5py.check_string_dtype(data.dtype) is not None:
            return self._texts_of(data, name)
        if data.dtype.kind not in "fiub" or data.dtype.itemsize > 8:
            kind = printable(str(data.dtype))
            raise ModelError(self.where, f"{name!r} has element type {kind}", "use numbers")
        if data.chunks is not None:
            return self._chunked(data, name)
        self._charge(math.prod(data.shape))
        return np.asarray(data[()])

    def _texts_of(self, data: h5py.Dataset, name: str) -> str | list[list[str]]:
        if data.shape == () and data.chunks is None:
            return self._text(data[()], name)
        pairs = len(data.shape) == 2 and data.shape[1] == 2 and data.shape[0] <= MAX_EDGES
        if not pairs or data.chunks is not None:
            problem = f"{name!r} is neither a text nor a plain list of pairs of texts"
            raise ModelError(self.where, problem)
        # One at a time: many entries may share one long text.
        return [[self._text(data[k, i], name) for i in (0, 1)] for k in range(data.shape[0])]

    def _text(self, value: Any, name: str) -> str:
        self._texts -= len(value)
        if self._texts < 0:
            raise ModelError(self.where, f"{name!r} is too long")
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def _chunked(self, data: h5py.Dataset, name: str) -> Array:
        settings = data.id.get_create_plist()
        filters = [settings.get_filter(i)[0] for i in range(settings.get_nfilters())]
        if filters not in ([], [h5py.h5z.FILTER_DEFLATE]):
            problem = f"{name!r} is compressed by something other than gzip"
            raise ModelError(self.where, problem, 'write it with compression="gzip"')
        count, chunk = data.id.get_num_chunks(), math.prod(data.chunks)
        if count > MAX_CHUNKS:
            raise ModelError(self.where, f"{name!r} is stored in {count} pieces")
        self._charge(max(math.prod(data.shape), count * chunk))
        out = np.full(data.shape, data.fillvalue, data.dtype)
        for index in range(count):
            start = data.id.get_chunk_info(index).chunk_offset
            skipped, packed = data.id.read_direct_chunk(start)
            if filters and not skipped:
                packed = zlib.decompressobj().decompress(packed, chunk * data.dtype.itemsize)
            block = np.frombuffer(packed, data.dtype).reshape(data.chunks)
            inside = tuple(slice(0, n - s) for s, n in zip(start, data.shape, strict=True))
            place = tuple(slice(s, s + n) for s, n in zip(start, data.chunks, strict=True))
            out[place] = block[inside]
        return out

    def _charge(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise ModelError(self.where, f"declares more than {MAX_WEIGHTS} values")
