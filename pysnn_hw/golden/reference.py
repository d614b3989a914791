# SPDX-License-Identifier: BSD-2-Clause
"""The arithmetic contract, word for word: slow, in plain numpy int64, one timestep after another.

It shares no arithmetic with the fast kernels, so that tests can hold them to it.
"""

from __future__ import annotations

import numpy as np

from pysnn_hw.golden.neuron import fire, leaked
from pysnn_hw.golden.result import Result, Trace, spike_dtype
from pysnn_hw.ir.snn import INPUT, Array, ConvView, FixedNetwork, Pool, Population


def simulate_reference(net: FixedNetwork, images: Array) -> Result:
    """Simulate valid ``images``, integers (N, C, H, W), with a full trace."""
    n, steps = len(images), net.timesteps
    x = images.astype(np.int64) - np.array(net.input.zero_point).reshape(1, -1, 1, 1)
    out = {p.name: np.zeros((n, steps, *p.shape), np.int64) for p in net.populations}
    out[INPUT] = np.broadcast_to(x[:, None], (n, steps, *net.input.shape))
    membranes: dict[str, Array] = {}
    sops = {p.name: np.zeros(n, np.int64) for p in net.projections}
    for population in net.populations:
        membranes[population.name] = np.tile(
            per_channel(population, "v_init"), (n, 1, *population.shape[1:])
        )
    for t in range(steps):
        for population in net.populations:
            neuron = population.neuron
            u = leaked(membranes[population.name], neuron) + per_channel(population, "bias")
            for projection in net.into(population.name):
                view = projection.as_conv(net.shape_of(projection.source))
                events = pooled(out[projection.source][:, : t + 1], projection.pool)
                u = u + convolve(events, view)
                if projection.source != INPUT or t == 0:
                    sops[projection.name] += count_sops(events, view)
            if population.kind == "fire":
                theta = per_channel(population, "threshold")
                emitted = out[population.name][:, :t].sum(axis=1)
                limits = population.v_min, population.v_max
                out[population.name][:, t], u = fire(
                    u, theta, population.spike_max, *limits, neuron, emitted
                )
            membranes[population.name] = u
    scores = membranes[net.populations[-1].name].reshape(n, -1)
    fired = {p.name: out[p.name] for p in net.populations if p.kind == "fire"}
    return Result(
        scores,
        scores.argmax(axis=1),
        {name: np.count_nonzero(s, axis=(1, 2, 3, 4)) for name, s in fired.items()},
        sops,
        Trace({name: s.astype(spike_dtype(net)) for name, s in fired.items()}, membranes),
    )


def per_channel(population: Population, name: str) -> Array:
    """The named parameter, shaped to broadcast over (N, C, H, W)."""
    values: Array = getattr(population, name)
    return np.broadcast_to(values, (population.channels,)).reshape(1, -1, 1, 1)


def pooled(history: Array, pool: Pool | None) -> Array:
    """What arrives in the last step of ``history`` (N, steps, C, H, W), as (N, C, H, W)."""
    if pool is None:
        return history[:, -1]
    windows = np.lib.stride_tricks.sliding_window_view
    strides = (..., slice(None, None, pool.stride[0]), slice(None, None, pool.stride[1]))

    def reduced(values: Array, ufunc: np.ufunc) -> Array:
        taken = windows(values, pool.kernel, (-2, -1))[*strides, :, :]
        return np.asarray(ufunc.reduce(taken, axis=(-2, -1)))

    if pool.mode == "sum":
        return reduced(history[:, -1], np.add)
    totals = history.sum(axis=1)
    return reduced(totals, np.maximum) - reduced(totals - history[:, -1], np.maximum)


def convolve(x: Array, view: ConvView) -> Array:
    """Exact grouped convolution of ``x`` (N, C, H, W)."""
    top, left, bottom, right = view.padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    co, ci, kh, kw = view.weight.shape
    weight = view.weight.reshape(view.groups, co // view.groups, ci, kh, kw)
    _, oh, ow = view.out_shape
    out = np.zeros((len(x), view.groups, co // view.groups, oh, ow), np.int64)
    for ky in range(kh):
        for kx in range(kw):
            rows = slice(ky, ky + (oh - 1) * view.stride[0] + 1, view.stride[0])
            columns = slice(kx, kx + (ow - 1) * view.stride[1] + 1, view.stride[1])
            tap = padded[:, :, rows, columns].reshape(len(x), view.groups, ci, oh, ow)
            out += np.einsum("goi,ngiyx->ngoyx", weight[..., ky, kx], tap)
    return out.reshape(len(x), *view.out_shape)


def count_sops(events: Array, view: ConvView) -> Array:
    """Accumulates per image: as many as there are terms ``weight * non-zero event``."""
    ones = ConvView(
        np.ones_like(view.weight), view.stride, view.padding, view.groups, view.in_shape
    )
    counts: Array = convolve((events != 0).astype(np.int64), ones).sum(axis=(1, 2, 3))
    return counts
