# SPDX-License-Identifier: BSD-2-Clause
"""The arithmetic contract, word for word: slow, in plain numpy int64, one timestep after another.

It shares no arithmetic with the fast kernels, so that tests can hold them to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from pysnn_hw.golden.neuron import fire, leaked
from pysnn_hw.golden.result import Result, Trace, spike_dtype
from pysnn_hw.ir.snn import INPUT, Array, ConvView, FixedNetwork, Pool, Population

_WORD = (1 << 32) - 1


def simulate_reference(net: FixedNetwork, images: Array) -> Result:
    """Simulate valid ``images``, integers (N, C, H, W) or (N, T, C, H, W), with a full trace."""
    state = _State(net, images)
    if net.probe is None:
        start = {p.name: _broadcast(p, "v_init", len(images)) for p in net.populations}
        run = _run(state, start, {}, net.timesteps)
        return _result(state, [run])
    first = {p.name: _broadcast(p, "v_init", len(images)) for p in net.populations}
    probe = _run(state, first, {}, net.probe.steps)
    start, silent = dict(first), {}
    for population in net.populations[:-1]:
        name, v = population.name, probe.membranes[population.name]
        if net.probe.rule == "mask":
            silent[name] = v <= 0
            continue
        theta = parameter(population, "threshold")
        back = (v < 0) & (probe.spikes[name].sum(axis=1) > 0)
        start[name] = first[name] + theta * ((v >= theta).astype(np.int64) - back)
    return _result(state, [probe, _run(state, start, silent, net.timesteps)])


class _State:
    """What is the same for the probe and the run proper."""

    def __init__(self, net: FixedNetwork, images: Array) -> None:
        self.net, self.n = net, len(images)
        self.x = net.input.values(images)
        if net.input.encoding != "events":
            self.x = np.repeat(self.x[:, None], net.total_steps, axis=1)
        if net.input.encoding == "bernoulli":
            self.x = bernoulli(self.x, net.input.peak, net.input.seed)


class _Run:
    """What happened from one start on."""

    def __init__(self, state: _State, steps: int) -> None:
        n, net = state.n, state.net
        self.spikes = {p.name: np.zeros((n, steps, *p.shape), np.int64) for p in net.populations}
        self.membranes: dict[str, Array] = {}
        self.scores = np.zeros((n, steps, net.populations[-1].size), np.int64)
        self.sops = {p.name: np.zeros(n, np.int64) for p in net.projections}


def _run(state: _State, start: dict[str, Array], silent: dict[str, Array], steps: int) -> _Run:
    net, run = state.net, _Run(state, steps)
    run.membranes = dict(start)
    sent = {**run.spikes, INPUT: state.x}
    for t in range(steps):
        for population in net.populations:
            name, neuron = population.name, population.neuron
            u = leaked(run.membranes[name], neuron) + parameter(population, "bias")
            for projection in net.into(name):
                view = projection.as_conv(net.shape_of(projection.source))
                history = sent[projection.source][:, : t + 1]
                constant = projection.source == INPUT and net.input.encoding == "constant"
                events = pooled(history[:, -1:] if constant else history, projection.pool)
                u = u + convolve(events, view)
                if not constant or t == 0:
                    run.sops[projection.name] += count_sops(events, view)
            if population.kind == "fire":
                theta = parameter(population, "threshold")
                emitted = run.spikes[name][:, :t].sum(axis=1)
                limits = population.v_min, population.v_max
                s, u = fire(u, theta, population.spike_max, *limits, neuron, emitted)
                if name in silent:
                    s = np.where(silent[name], 0, s)
                    u = np.where(silent[name], start[name], u)
                run.spikes[name][:, t] = s
            else:
                run.scores[:, t] = u.reshape(state.n, -1)
            run.membranes[name] = u
    return run


def _result(state: _State, runs: list[_Run]) -> Result:
    net, last = state.net, runs[-1]
    scores, steps = last.scores[:, -1], np.full(state.n, net.timesteps)
    if net.readout.margin:
        ordered = np.sort(last.scores, axis=2)
        clear = ordered[:, :, -1] - ordered[:, :, -2] >= net.readout.margin
        steps = np.where(clear.any(axis=1), clear.argmax(axis=1) + 1, net.timesteps)
        scores = last.scores[np.arange(state.n), steps - 1]
        last.membranes[net.populations[-1].name] = scores.reshape(state.n, -1, 1, 1)
    if net.readout.mode == "sampled":
        scores = votes(last.scores, net.readout.noise, net.readout.seed)
    classes = scores.argmax(axis=1)
    if net.readout.mode == "count":
        classes[scores.max(axis=1) <= 0] = -1
    names = [p.name for p in net.populations if p.kind == "fire"]
    fired = {name: np.concatenate([run.spikes[name] for run in runs], axis=1) for name in names}
    sops = {p.name: sum(run.sops[p.name] for run in runs) for p in net.projections}
    for p in net.projections:
        if p.source == INPUT and net.input.encoding == "constant":
            sops[p.name] = last.sops[p.name]
    return Result(
        scores,
        classes,
        {name: np.count_nonzero(s, axis=(1, 2, 3, 4)) for name, s in fired.items()},
        {name: np.asarray(count) for name, count in sops.items()},
        steps,
        Trace({name: s.astype(spike_dtype(net)) for name, s in fired.items()}, last.membranes),
    )


def _broadcast(population: Population, name: Literal["v_init"], n: int) -> Array:
    return np.broadcast_to(parameter(population, name), (n, *population.shape))


def parameter(population: Population, name: Literal["bias", "threshold", "v_init"]) -> Array:
    """The named parameter, (C, H, W)."""
    return population.per_neuron(name).astype(np.int64)


def random_words(seed: int) -> Iterator[int]:
    """32-bit xorshift numbers after ``seed``."""
    word = seed
    while True:
        word ^= word << 13 & _WORD
        word ^= word >> 17
        word ^= word << 5 & _WORD
        yield word


def bernoulli(x: Array, peak: int, seed: int) -> Array:
    """Unit events of ``x`` (N, T, C, H, W); a number per step and pixel, in H, W, C order."""
    bits, random = peak.bit_length(), random_words(seed)
    _, steps, c, h, w = x.shape
    drawn = np.array([next(random) >> (32 - bits) for _ in range(steps * h * w * c)])
    u = drawn.reshape(steps, h, w, c).transpose(0, 3, 1, 2)
    a = np.abs(x)
    return np.asarray(np.sign(x) * (u < a + (a >> (bits - 1))))


def votes(membranes: Array, noise: tuple[float, ...], seed: int) -> Array:
    """Votes of all steps, (N, classes), for membranes (N, T, classes)."""
    _, steps, classes = membranes.shape
    random = random_words(seed)
    drawn = np.array([noise[next(random) >> 24] for _ in range(steps * classes)])
    winners = (membranes + drawn.reshape(steps, classes)).argmax(axis=2)
    return np.stack([np.bincount(row, minlength=classes) for row in winners])


def pooled(history: Array, pool: Pool | None) -> Array:
    """What arrives in the last step of ``history`` (N, steps, C, H, W), as (N, C, H, W)."""
    if pool is None:
        return history[:, -1]
    windows = np.lib.stride_tricks.sliding_window_view
    strides = (..., slice(None, None, pool.stride[0]), slice(None, None, pool.stride[1]))

    def cut(values: Array) -> Array:
        taken = windows(values, pool.kernel, (-2, -1))[*strides, :, :]
        return taken.reshape(*taken.shape[:-2], -1)

    totals = history.sum(axis=1)
    if pool.mode == "sum":
        return np.asarray(cut(history[:, -1]).sum(axis=-1))
    if pool.mode == "gate":
        leader = cut(totals).argmax(axis=-1)[..., None]
        return np.asarray(np.take_along_axis(cut(history[:, -1]), leader, axis=-1)[..., 0])
    return np.asarray(cut(totals).max(axis=-1) - cut(totals - history[:, -1]).max(axis=-1))


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
