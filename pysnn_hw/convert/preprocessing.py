# SPDX-License-Identifier: BSD-2-Clause
"""From the raw integer pixels of a data set to the numbers that a model was trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pysnn_hw.errors import DataError, ModelError
from pysnn_hw.ir.snn import Array, Shape


@dataclass(frozen=True)
class Preprocessing:
    """The model sees ``(x / scale - mean) / std`` of the raw integer ``x``.

    With a threshold it sees that of ``maximum`` where ``x`` reaches it, and of 0 elsewhere.

    Attributes
    ----------
    scale
        Divisor of the raw integers; 255 brings bytes to 0..1.
    mean, std
        One value per channel, or one for all, in units of the scaled pixel; ``std`` > 0.
    minimum, maximum
        Range of the raw integers, inclusive; an image outside it is refused.
    threshold
        None: the model sees all raw integers as they are.
    """

    scale: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    minimum: int = 0
    maximum: int = 255
    threshold: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ModelError("scale", f"must be positive, not {self.scale}")
        if not self.mean or not all(math.isfinite(m) for m in self.mean):
            raise ModelError("mean", f"must be finite numbers, not {self.mean}")
        if not self.std or not all(math.isfinite(s) and s > 0 for s in self.std):
            raise ModelError("std", f"must be positive numbers, not {self.std}")
        if not self.minimum < self.maximum:
            raise ModelError("maximum", f"must exceed minimum {self.minimum}, not {self.maximum}")
        if self.threshold is None:
            return
        if not self.minimum < self.threshold <= self.maximum:
            raise ModelError(
                "threshold",
                f"must be in {self.minimum + 1}..{self.maximum}, not {self.threshold}",
            )
        if any(self.mean):
            raise ModelError(
                "threshold",
                "needs a mean of 0: what is below it sends nothing, and must be the model's zero",
                "train on pixels that are 0 or 1",
            )

    def per_channel(self, channels: int) -> tuple[Array, Array]:
        """``mean`` and ``std`` as float64 arrays of shape (channels,)."""
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ModelError(
                    name,
                    f"has {len(values)} values, the input has {channels} channels",
                    "give one value, or one per channel",
                )
        return (
            np.broadcast_to(np.asarray(self.mean, np.float64), (channels,)),
            np.broadcast_to(np.asarray(self.std, np.float64), (channels,)),
        )

    def zero_point(self, channels: int) -> tuple[int, ...]:
        """The raw integer per channel that comes closest to the model's zero."""
        mean, _ = self.per_channel(channels)
        return tuple(int(z) for z in np.rint(mean * self.scale))

    def apply(self, images: Array) -> Array:
        """What the model sees: float32 (N, C, H, W) from raw integers of that shape."""
        mean, std = self.per_channel(images.shape[1])
        gain = (1 / (self.scale * std)).astype(np.float32)[:, None, None]
        offset = (mean / std).astype(np.float32)[:, None, None]
        if self.threshold is not None:
            images = np.where(images >= self.threshold, self.maximum, 0)
        return images.astype(np.float32) * gain - offset

    def check(self, images: Array, shape: Shape) -> None:
        """Raise DataError unless ``images`` is a non-empty (N, *shape) array of raw integers."""
        check_images(images, shape, self.minimum, self.maximum)


def check_images(images: Array, shape: Shape, minimum: int, maximum: int) -> None:
    """Raise DataError unless ``images`` are (N, *shape) integers, N > 0, in minimum..maximum."""
    if images.ndim != 4 or tuple(images.shape[1:]) != shape:
        raise DataError("images", f"shape {images.shape} does not fit the model's (N, {shape})")
    if len(images) == 0:
        raise DataError("images", "there are none")
    if not np.issubdtype(images.dtype, np.integer):
        raise DataError(
            "images", f"dtype is {images.dtype}", "give raw integer pixels, such as uint8"
        )
    low, high = int(images.min()), int(images.max())
    if low < minimum or high > maximum:
        raise DataError(
            "images",
            f"values {low}..{high} leave the range {minimum}..{maximum}",
        )
