# SPDX-License-Identifier: BSD-2-Clause
"""CIFAR-10 from the folder that a user names, in any of the forms in which it is kept."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pysnn_hw.data import load_dataset
from pysnn_hw.errors import DataError

Array = npt.NDArray[Any]

CLASSES = 10
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
"""Bytes of an image in the binary version of the data set: its label, then its three planes."""


@dataclass(frozen=True, eq=False)
class Cifar10:
    """Images uint8 (N, 3, 32, 32) and labels int64 (N,)."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def load_cifar10(source: Path) -> Cifar10:
    """Read CIFAR-10.

    Parameters
    ----------
    source
        A folder with ``load_cifar10.py`` (functions ``load_train()`` and ``load_test()``, images
        first and labels second), one with the ``data_batch_N.bin`` of the binary version, or what
        `pysnn_hw.data.load_dataset` takes: an ``.npz`` file or a folder of images.

    Raises
    ------
    DataError
        If there is no such thing, or its images are not of 3 x 32 x 32 bytes.
    """
    if not source.exists():
        raise DataError(str(source), "does not exist", "name the folder that holds CIFAR-10")
    if (source / "load_cifar10.py").is_file():
        found = _by_its_own_loader(source / "load_cifar10.py")
    elif (source / "test_batch.bin").is_file():
        train = [_records(path) for path in sorted(source.glob("data_batch_*.bin"))]
        if not train:
            raise DataError(str(source), "has no data_batch_1.bin")
        images, labels = (np.concatenate(parts) for parts in zip(*train, strict=True))
        found = Cifar10(images, labels, *_records(source / "test_batch.bin"))
    else:
        data = load_dataset(source)
        if data.x_train is None or data.y_train is None:
            raise DataError(str(source), "has no training images")
        found = Cifar10(data.x_train, data.y_train, data.x_test, data.y_test)
    for images, labels in ((found.x_train, found.y_train), (found.x_test, found.y_test)):
        if images.shape[1:] != SHAPE or images.dtype != np.uint8:
            raise DataError(str(source), f"images are {images.dtype} {images.shape[1:]}")
        if labels.max() >= CLASSES:
            raise DataError(str(source), f"has a class {labels.max()}, but there are {CLASSES}")
    return found


def _by_its_own_loader(path: Path) -> Cifar10:
    spec = importlib.util.spec_from_file_location("load_cifar10", path)
    if spec is None or spec.loader is None:
        raise DataError(str(path), "is no python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arrays: list[Array] = []
    for images, labels, *_ in (module.load_train(), module.load_test()):
        arrays += [np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels.astype(np.int64)]
    return Cifar10(*arrays)


def _records(path: Path) -> tuple[Array, Array]:
    values = np.fromfile(path, np.uint8)
    if values.size == 0 or values.size % RECORD:
        raise DataError(str(path), f"holds no whole number of records of {RECORD} bytes")
    records = values.reshape(-1, RECORD)
    return records[:, 1:].reshape(-1, *SHAPE), records[:, 0].astype(np.int64)
