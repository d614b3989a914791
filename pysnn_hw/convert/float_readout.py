# SPDX-License-Identifier: BSD-2-Clause
"""What a readout makes of its membranes, step by step, in floating point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pysnn_hw.convert.random_words import random_words
from pysnn_hw.ir.snn import Array, Readout

if TYPE_CHECKING:
    import torch


class Scores:
    """Scores of one batch.

    Attributes
    ----------
    values
        (N, classes) so far: membranes, frozen at an early exit, or votes.
    steps
        How many timesteps they are of, int64 (N,).
    """

    def __init__(self, readout: Readout, timesteps: int, start: torch.Tensor) -> None:
        """Scores before the first of ``timesteps``; ``start`` (N, classes) gives size and type."""
        import torch

        self.values = torch.zeros_like(start)
        self.steps = torch.zeros(len(start), dtype=torch.int64)
        self._readout = readout
        self._open = torch.ones(len(start), dtype=torch.bool)
        self._noise: torch.Tensor | None = None
        if readout.mode == "sampled":
            classes = start.shape[1]
            drawn = random_words(readout.seed, timesteps * classes) >> np.uint32(24)
            noise = np.asarray(readout.noise, np.float64)[drawn].reshape(timesteps, classes)
            self._noise = torch.from_numpy(noise).to(start.dtype)

    def step(self, membranes: torch.Tensor) -> None:
        """Take the membranes (N, classes) after one more step into account."""
        if self._noise is not None:
            winners = (membranes + self._noise[int(self.steps[0])]).argmax(1)
            self.values[range(len(membranes)), winners] += 1
            self.steps += 1
            return
        self.values = membranes.where(self._open[:, None], self.values)
        self.steps += self._open
        if self._readout.margin > 0:
            best = membranes.topk(2, dim=1).values
            self._open = self._open & (best[:, 0] - best[:, 1] < self._readout.margin)


def classes_of(readout: Readout, scores: Array) -> Array:
    """Class of each row of ``scores``, int64 (N,); -1 where spikes count and there are none."""
    classes: Array = scores.argmax(axis=1)
    return np.where(scores.max(axis=1) > 0, classes, -1) if readout.mode == "count" else classes
