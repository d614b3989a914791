# SPDX-License-Identifier: BSD-2-Clause
"""The data set that every verb takes as ``--data``, and the one function that loads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pysnn_hw.data.arrays import IntArray, images_to_integers, labels_to_integers
from pysnn_hw.data.folder import read_folder
from pysnn_hw.data.npz import read_npz
from pysnn_hw.errors import DataError
from pysnn_hw.resources import resource

BUNDLED = {"mnist": "mnist_test.npz"}
"""Data sets that travel with the package, by the name under which ``--data`` knows them."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels, as they come from disk.

    Attributes
    ----------
    name
        For messages and reports: the bundled name, the file's stem or the folder's name.
    x_test
        Raw integers, uint8 where they fit and int32 otherwise, (N, C, H, W); or events, a value
        per timestep, (N, T, C, H, W).
    y_test
        Class indices, int64 (N,).
    x_train, y_train
        The same for calibration (and training); ``None`` when the source has none.
    """

    name: str
    x_test: IntArray
    y_test: IntArray
    x_train: IntArray | None = None
    y_train: IntArray | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        c, h, w = self.x_test.shape[-3:]
        return c, h, w


def load_dataset(spec: str | Path) -> Dataset:
    """Load a data set by name, ``.npz`` file or folder.

    Parameters
    ----------
    spec
        ``mnist``: the bundled 10,000 test images, with 1,000 training images for calibration.
        ``FILE.npz``: arrays ``x_test`` (N, H, W) or (N, H, W, C), ``y_test`` (N,) and optionally
        ``x_train``, ``y_train``; integers, or floats that are either all in [0, 1] (multiplied by
        255 and rounded) or all integers; or x of events (N, T, C, H, W), whole values.
        A folder: ``test/CLASS/*.png`` or ``val/CLASS/*.png``,
        optionally ``train/CLASS/*.png``, classes numbered in sorted order.

    Raises
    ------
    DataError
        If the source is missing, damaged, too large or inconsistent.
    """
    if str(spec) in BUNDLED:
        return _from_npz(str(spec), resource("bundled", BUNDLED[str(spec)]))
    try:
        return _from_path(Path(spec))
    except OSError as e:
        raise DataError(str(spec), f"cannot be read ({e.strerror or e})") from e


def _from_path(path: Path) -> Dataset:
    if path.is_dir():
        return _checked(path.name or str(path), str(path), read_folder(path))
    if not path.exists():
        hint = f"give {', '.join(BUNDLED)}, an .npz file or a folder with train/ and test/"
        raise DataError(str(path), "no such file or folder", hint)
    if path.suffix.lower() != ".npz":
        raise DataError(str(path), "neither an .npz file nor a folder of images")
    return _from_npz(path.stem, path)


def _from_npz(name: str, path: Path) -> Dataset:
    arrays = read_npz(path)
    images = {key: value for key, value in arrays.items() if key.startswith("x_")}
    labels = {key: value for key, value in arrays.items() if key.startswith("y_")}
    # The float arrays go in one call: whether 0..1 or 0..255 is meant shows only over all of them.
    integers = images_to_integers(images, str(path))
    integers |= {key: labels_to_integers(value, f"{path}: {key}") for key, value in labels.items()}
    return _checked(name, str(path), integers)


def _checked(name: str, where: str, arrays: dict[str, IntArray]) -> Dataset:
    """Assemble the data set once its parts agree with each other."""
    for split in ("test", "train"):
        x, y = arrays.get(f"x_{split}"), arrays.get(f"y_{split}")
        if x is not None and y is not None and len(x) != len(y):
            raise DataError(f"{where}: y_{split}", f"{len(y)} labels for {len(x)} images")
    data = Dataset(name, **arrays)
    if data.x_train is not None and data.x_train.shape[1:] != data.x_test.shape[1:]:
        train, test = (" x ".join(map(str, x.shape[1:])) for x in (data.x_train, data.x_test))
        raise DataError(
            f"{where}: x_train", f"images of {train}, but x_test has {test} (C x H x W)"
        )
    return data
