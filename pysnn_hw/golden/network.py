# SPDX-License-Identifier: BSD-2-Clause
"""Bit-exact simulation of a `FixedNetwork` on batches of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from pysnn_hw.errors import DataError
from pysnn_hw.golden.reference import simulate_reference
from pysnn_hw.golden.result import Result, concatenate
from pysnn_hw.ir.snn import Array, FixedNetwork


def simulate(
    net: FixedNetwork,
    images: Array,
    *,
    trace: bool = False,
    batch: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Simulate ``images`` and return scores, classes and activity.

    Parameters
    ----------
    net
        The network.
    images
        Raw integers (N, C, H, W), N >= 1, of any integer dtype, in the input's declared range.
    trace
        Also keep every spike and every final membrane (memory grows with N * T * neurons).
    batch
        Images at a time: what bounds the working memory, without effect on the result.
    progress
        Called as ``progress(images done, images in all)`` after each batch.

    Raises
    ------
    DataError
        If the images do not suit the network's input.
    """
    parts = []
    done = 0
    for part in simulate_batches(net, images, trace=trace, batch=batch):
        parts.append(part)
        done += len(part.classes)
        if progress is not None:
            progress(done, len(images))
    return concatenate(parts)


def simulate_batches(
    net: FixedNetwork, images: Array, *, trace: bool = False, batch: int = 256
) -> Iterator[Result]:
    """`simulate`, handing out the result of each batch as it is done; memory stays bounded."""
    check_images(net, images)
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        check_range(net, part)
        result = simulate_reference(net, part)
        yield result if trace else replace(result, trace=None)


def check_images(net: FixedNetwork, images: Array) -> None:
    """Refuse images of the wrong shape or dtype with a `DataError`."""
    shape = net.input.shape
    if images.ndim != 4 or images.shape[1:] != shape:
        raise DataError(
            "images",
            f"shape {images.shape} does not fit the network's input",
            "expected (N, {}, {}, {})".format(*shape),
        )
    if len(images) == 0:
        raise DataError("images", "there are none", "give at least one image")
    if not np.issubdtype(images.dtype, np.integer):
        raise DataError(
            "images",
            f"dtype {images.dtype} is not an integer type",
            "give raw integers; scaling is part of the network",
        )


def check_range(net: FixedNetwork, images: Array) -> None:
    """Refuse integers outside the input's declared range with a `DataError`."""
    low, high = int(images.min()), int(images.max())
    if low < net.input.minimum or high > net.input.maximum:
        raise DataError(
            "images",
            f"values {low}..{high} leave the input's range "
            f"{net.input.minimum}..{net.input.maximum}",
        )
