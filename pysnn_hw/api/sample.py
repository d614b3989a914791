# SPDX-License-Identifier: BSD-2-Clause
"""Images to look at a network with: the user's, the bundled ones, or random ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pysnn_hw.data import Dataset, load_dataset
from pysnn_hw.data.dataset import BUNDLED
from pysnn_hw.ir.snn import Array, Input, SnnNetwork

RANDOM = "random images"
"""Name of a data set that is none."""
RANDOM_IMAGES = 64
RANDOM_RECORDINGS = 8
EVENT_SHARE = 0.05
"""Of the values of random recordings."""


def spread(images: Array, count: int) -> Array:
    """``count`` images at even distances (or all): data sets are often sorted by class."""
    where = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64)
    return np.asarray(images[where])


def images_for(net: SnnNetwork, data: str | Path | None) -> Dataset:
    """The data set ``data``, or the bundled one whose images fit, or random images.

    Raises
    ------
    DataError
        If ``data`` is given and unusable.
    """
    if data is not None:
        return load_dataset(data)
    if net.input.encoding == "events":
        return random_events(net)
    for name in BUNDLED:
        bundled = load_dataset(name)
        if bundled.image_shape == net.input.shape:
            return bundled
    return random_images(net.input)


def random_images(entrance: Input, count: int = RANDOM_IMAGES) -> Dataset:
    """Uniform integers in the range of the input; the labels mean nothing."""
    rng = np.random.default_rng(0)
    shape = (count, *entrance.shape)
    images = rng.integers(entrance.minimum, entrance.maximum, shape, endpoint=True)
    labels = np.zeros(count, np.int64)
    return Dataset(RANDOM, images, labels, images, labels)


def random_events(net: SnnNetwork, count: int = RANDOM_RECORDINGS) -> Dataset:
    """Recordings in which few values are events; the labels mean nothing."""
    rng = np.random.default_rng(0)
    shape = (count, net.timesteps, *net.input.shape)
    values = rng.integers(net.input.minimum, net.input.maximum, shape, np.int32, endpoint=True)
    values[rng.random(shape, np.float32) >= EVENT_SHARE] = 0
    labels = np.zeros(count, np.int64)
    return Dataset(RANDOM, values, labels, values, labels)
