# SPDX-License-Identifier: BSD-2-Clause
"""Reads a folder of images, one subfolder per class, the way torchvision's ImageFolder does."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pysnn_hw.data.arrays import MAX_CLASSES, IntArray, check_bytes
from pysnn_hw.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
_GREY_MODES = frozenset(("1", "L", "LA"))
_COLOUR_MODES = frozenset(("CMYK", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"))


@dataclass(frozen=True)
class _Split:
    """Files of one split with their class indices."""

    files: tuple[Path, ...]
    labels: tuple[int, ...]


def read_folder(root: Path) -> dict[str, IntArray]:
    """Images and labels below ``root``.

    ``root/test`` (or ``root/val``) is required, ``root/train`` optional; each holds one folder per
    class. Classes are numbered in sorted order of the names in ``train`` (in ``test`` when there
    is no ``train``). Images that are all grey give one channel, otherwise all become RGB.

    Returns
    -------
    dict
        ``x_test`` uint8 (N, C, H, W), ``y_test`` int64 (N,) and the same for ``train`` if there.

    Raises
    ------
    DataError
        If Pillow is missing, the layout is wrong, an image is damaged, sizes differ, or the images
        take too many bytes together.
    """
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if test is None:
        raise DataError(str(root), "no folder test/ or val/ in it", "expected test/CLASS/*.png")
    train = root / "train"
    classes = _classes(train if train.is_dir() else test)
    splits = {"test": _split(test, classes)}
    if train.is_dir():
        splits["train"] = _split(train, classes)
    files = [file for split in splits.values() for file in split.files]
    mode, (width, height) = _common_format(files)
    channels = len(mode)
    check_bytes(len(files) * channels * height * width, str(root))
    arrays: dict[str, IntArray] = {}
    for name, split in splits.items():
        arrays[f"x_{name}"] = _pixels(split.files, mode, (channels, height, width))
        arrays[f"y_{name}"] = np.array(split.labels, np.int64)
    return arrays


def _classes(folder: Path) -> list[str]:
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    if not names:
        raise DataError(str(folder), "holds no class folders", "expected one folder per class")
    if len(names) > MAX_CLASSES:
        raise DataError(str(folder), f"{len(names)} class folders, more than {MAX_CLASSES}")
    return names


def _split(folder: Path, classes: Sequence[str]) -> _Split:
    unknown = sorted(set(_classes(folder)) - set(classes))
    if unknown:
        raise DataError(str(folder / unknown[0]), "class is not among those of train/")
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        if not (folder / name).is_dir():
            continue
        found = sorted(p for p in (folder / name).iterdir() if p.suffix.lower() in SUFFIXES)
        if not found:
            hint = f"accepted are {', '.join(sorted(SUFFIXES))}"
            raise DataError(str(folder / name), "class folder holds no images", hint)
        files += found
        labels += [label] * len(found)
    return _Split(tuple(files), tuple(labels))


def _open(file: Path) -> Image:
    try:
        from PIL import Image
    except ImportError as e:
        hint = "pip install 'pysnn-hw[images]', or give an .npz file"
        raise DataError(str(file), "reading image files needs Pillow", hint) from e
    try:
        # Pillow only warns of an image of absurd size; here that is an error like any other.
        with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
            return Image.open(file)
    except Exception as e:
        raise DataError(str(file), "not a readable image") from e


def _common_format(files: Sequence[Path]) -> tuple[str, tuple[int, int]]:
    """Mode (``L`` or ``RGB``) and (width, height) of all images, from their headers alone."""
    grey, common = True, (0, 0)
    for file in files:
        with _open(file) as image:
            mode, size = image.mode, image.size
        if mode not in _GREY_MODES | _COLOUR_MODES:
            raise DataError(str(file), f"pixel mode {mode} is not supported", "use 8-bit images")
        grey = grey and mode in _GREY_MODES
        common = size if common == (0, 0) else common
        if size != common:
            problem = (
                f"is {size[0]} x {size[1]} pixels, but {files[0].name} is {common[0]} x {common[1]}"
            )
            raise DataError(str(file), problem, "all images must have one size")
    return ("L" if grey else "RGB"), common


def _pixels(files: Sequence[Path], mode: str, shape: tuple[int, int, int]) -> IntArray:
    channels, height, width = shape
    out = np.empty((len(files), *shape), np.uint8)
    for k, file in enumerate(files):
        with _open(file) as image:
            try:
                pixels = np.asarray(image.convert(mode), np.uint8)
            except Exception as e:
                raise DataError(str(file), "damaged image") from e
        out[k] = pixels.reshape(height, width, channels).transpose(2, 0, 1)
    return out
