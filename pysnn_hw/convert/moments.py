# SPDX-License-Identifier: BSD-2-Clause
"""What arrives at the synapses on calibration images: mean and second moments of every input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pysnn_hw.convert.float_sim import BATCH, pool_window, simulate_float
from pysnn_hw.ir.snn import INPUT, Array, Projection, Shape, SnnNetwork

MAX_FAN_IN = 2048
"""Projections with more inputs per group keep only the squares, not the products of pairs."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Of the values that the taps of one projection see, per timestep, zero padding included.

    K is the number of weights into one output channel, ``C_in / groups * kh * kw``.

    Attributes
    ----------
    mean
        Float64 (groups, K).
    second
        Float64 (groups, K, K), ``E[x x^T]``; (groups, K), its diagonal, beyond `MAX_FAN_IN`.
    """

    mean: Array
    second: Array

    @property
    def squares(self) -> Array:
        """``E[x**2]``, float64 (groups, K)."""
        return self.second if self.second.ndim == 2 else np.einsum("gkk->gk", self.second)


def input_moments(net: SnnNetwork, images: Array) -> dict[str, Moments]:
    """Moments of every projection's input while ``net`` runs on raw images (N, C, H, W)."""
    sums = {p.name: _Sums(p, net.shape_of(p.source)) for p in net.projections}
    for first in range(0, len(images), BATCH):
        part = images[first : first + BATCH]
        counts = simulate_float(net, part).counts
        rates = {name: values / net.timesteps for name, values in counts.items()}
        rates[INPUT] = _input_rates(net, part)
        for p in net.projections:
            sums[p.name].add(rates[p.source])
    return {name: found.moments() for name, found in sums.items()}


def _input_rates(net: SnnNetwork, images: Array) -> Array:
    """Mean value of each input's events per timestep, float32 (N, C, H, W)."""
    x = net.input.values(images)
    match net.input.encoding:
        case "events":
            x = x.mean(axis=1)
        case "bernoulli":
            x = x / net.input.peak
    return np.asarray(x, np.float32)


class _Sums:
    def __init__(self, projection: Projection, source: Shape) -> None:
        self.pool = projection.pool
        self.view = projection.as_conv(source)
        fan_in = int(np.prod(self.view.weight.shape[1:]))
        self.rows = 0
        self.first = np.zeros((self.view.groups, fan_in))
        pairs = (fan_in, fan_in) if fan_in <= MAX_FAN_IN else (fan_in,)
        self.second = np.zeros((self.view.groups, *pairs))

    def add(self, rates: Array) -> None:
        """Add every position of ``rates`` (N, C, H, W) that a target neuron looks at."""
        import torch
        from torch.nn import functional

        view = self.view
        top, left, bottom, right = view.padding
        x = torch.from_numpy(np.ascontiguousarray(rates))
        x = x if self.pool is None else pool_window(x, self.pool)
        x = functional.pad(x, (left, right, top, bottom))
        patches = functional.unfold(x, view.weight.shape[2:], stride=view.stride)
        columns = patches.view(len(x), view.groups, -1, patches.shape[2])
        columns = columns.permute(1, 2, 0, 3).flatten(2)
        self.rows += columns.shape[2]
        self.first += columns.sum(2).numpy()
        if self.second.ndim == 2:
            self.second += columns.square().sum(2).numpy()
        else:
            self.second += (columns @ columns.transpose(1, 2)).numpy()

    def moments(self) -> Moments:
        return Moments(self.first / self.rows, self.second / self.rows)
