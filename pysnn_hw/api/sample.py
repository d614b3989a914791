# SPDX-License-Identifier: BSD-2-Clause
"""Images to look at a network with: the user's, the bundled ones, or random ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pysnn_hw.data import Dataset, load_dataset
from pysnn_hw.data.dataset import BUNDLED
from pysnn_hw.ir.snn import Array, Input

RANDOM = "random images"
"""Name of a data set that is none."""
RANDOM_IMAGES = 64


def spread(images: Array, count: int) -> Array:
    """``count`` images at even distances (or all): data sets are often sorted by class."""
    where = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64)
    return np.asarray(images[where])


def images_for(entrance: Input, data: str | Path | None) -> Dataset:
    """The data set ``data``, or the bundled one whose images fit, or random images.

    Raises
    ------
    DataError
        If ``data`` is given and unusable.
    """
    if data is not None:
        return load_dataset(data)
    for name in BUNDLED:
        bundled = load_dataset(name)
        if bundled.image_shape == entrance.shape:
            return bundled
    return random_images(entrance)


def random_images(entrance: Input, count: int = RANDOM_IMAGES) -> Dataset:
    """Uniform integers in the range of the input; the labels mean nothing."""
    rng = np.random.default_rng(0)
    shape = (count, *entrance.shape)
    images = rng.integers(entrance.minimum, entrance.maximum, shape, endpoint=True)
    labels = np.zeros(count, np.int64)
    return Dataset(RANDOM, images, labels, images, labels)
