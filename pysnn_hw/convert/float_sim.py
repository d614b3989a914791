# SPDX-License-Identifier: BSD-2-Clause
"""Simulate a network of real numbers: what the loss report and calibration look at.

The arithmetic of the neuron is that of `pysnn_hw.ir.snn`, in floating point. On integer parameters
it is exact, but slower than the golden simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from pysnn_hw.convert.float_neurons import Neurons
from pysnn_hw.convert.float_readout import Scores, classes_of
from pysnn_hw.convert.random_words import BITS, random_words
from pysnn_hw.ir.snn import INPUT, Array, FixedNetwork, Pool, Projection, Shape, SnnNetwork
from pysnn_hw.ir.widths import widths

if TYPE_CHECKING:
    import torch

BATCH = 100
"""Images at a time in `classify_float`: what bounds the memory."""

FLOAT32_WHOLE = 24
"""float32 holds every integer of up to this many bits, without the sign."""


@dataclass(frozen=True, eq=False)
class FloatResult:
    """What the network did with some images.

    Attributes
    ----------
    scores
        Final membranes of the readout, or votes, (N, classes).
    classes
        int64 (N,), ties to the lowest; -1 where a readout counts spikes and there were none.
    steps
        int64 (N,): timesteps that the scores are of, T without early exit.
    counts
        By fire population, the sum of each neuron's spike values over all timesteps, (N, C, H, W);
        those of a probe are not among them.
    history
        Membranes of the readout after each timestep, (N, T, classes), if asked for.
    """

    scores: Array
    classes: Array
    steps: Array
    counts: Mapping[str, Array]
    history: Array | None = None


def simulate_float(
    net: SnnNetwork, images: Array, *, double: bool = False, history: bool = False
) -> FloatResult:
    """Run ``net`` on raw integer images (N, C, H, W), all at once; on events (N, T, C, H, W).

    A float network is computed in float32 (float64 if ``double``), a `FixedNetwork` exactly: in
    float32 where its proven widths allow it, in float64 otherwise. ``history`` keeps the scores of
    every step.
    """
    import torch

    narrow = _fits_float32(net) if isinstance(net, FixedNetwork) else not double
    dtype = torch.float32 if narrow else torch.float64
    synapses = {p.name: _synapse(p, net.shape_of(p.source), dtype) for p in net.projections}
    with torch.inference_mode():
        return _run(net, _frames(net, images, dtype), synapses, history)


def classify_float(net: SnnNetwork, images: Array) -> Array:
    """Class of each raw integer image, (N,) int64; ties go to the lowest index."""
    starts = range(0, len(images), BATCH)
    found = [simulate_float(net, images[i : i + BATCH]).classes for i in starts]
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _fits_float32(net: FixedNetwork) -> bool:
    sampled = net.readout.mode == "sampled"  # noise may need more bits than the membranes
    return not sampled and all(w.bits <= FLOAT32_WHOLE for w in widths(net).values())


Synapse = Callable[["torch.Tensor"], "torch.Tensor"]
Frames = Callable[[int], "torch.Tensor"]


def _synapse(projection: Projection, source: Shape, dtype: torch.dtype) -> Synapse:
    import torch
    from torch.nn import functional

    view = projection.as_conv(source)
    top, left, bottom, right = view.padding
    weight = torch.from_numpy(np.ascontiguousarray(view.weight)).to(dtype)

    def linear(x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x.flatten(1), weight.flatten(1))[:, :, None, None]

    def identity(x: torch.Tensor) -> torch.Tensor:
        return x * weight.view(-1, 1, 1)

    def conv2d(x: torch.Tensor) -> torch.Tensor:
        x = functional.pad(x, (left, right, top, bottom)) if any(view.padding) else x
        return functional.conv2d(x, weight, stride=view.stride, groups=view.groups)

    return {"linear": linear, "identity": identity, "conv2d": conv2d}[projection.kind]


def _run(
    net: SnnNetwork, frames: Frames, synapses: Mapping[str, Synapse], history: bool
) -> FloatResult:
    first = frames(0)
    neurons = {p.name: Neurons(net, p, first) for p in net.populations}
    if net.input.encoding == "constant":
        for p in net.projections:
            if p.source == INPUT:
                x = first if p.pool is None else pool_window(first, p.pool)
                neurons[p.target].drive = neurons[p.target].drive + synapses[p.name](x)
    if net.probe is not None:
        _steps(net, frames, synapses, neurons, net.probe.steps)
        for state in neurons.values():
            state.start_over(net.probe)
    seen: list[Array] = []
    last = neurons[net.populations[-1].name]
    scores = Scores(net.readout, net.timesteps, last.v.flatten(1))

    def read() -> None:
        scores.step(last.v.flatten(1))
        if history:
            seen.append(last.v.flatten(1).numpy().copy())

    _steps(net, frames, synapses, neurons, net.timesteps, read)
    values = scores.values.numpy()
    return FloatResult(
        values,
        classes_of(net.readout, values),
        scores.steps.numpy(),
        {name: state.count.numpy() for name, state in neurons.items() if state.fires},
        np.stack(seen, axis=1) if history else None,
    )


def _steps(
    net: SnnNetwork,
    frames: Frames,
    synapses: Mapping[str, Synapse],
    neurons: Mapping[str, Neurons],
    steps: int,
    after: Callable[[], None] = lambda: None,
) -> None:
    """Let ``neurons`` live through some timesteps, with ``after`` at the end of each."""
    constant = net.input.encoding == "constant"
    pools = {p.name: _Pooling(p.pool) for p in net.projections if p.pool is not None}
    for t in range(steps):
        sent = {} if constant else {INPUT: frames(t)}
        for name, state in neurons.items():
            state.leak()
            for p in net.into(name):
                if p.source in sent:
                    x = sent[p.source]
                    state.integrate(synapses[p.name](pools[p.name].step(x) if p.pool else x))
            sent[name] = state.fire()
        after()


def _frames(net: SnnNetwork, images: Array, dtype: torch.dtype) -> Frames:
    """What the first projections see in step t, (N, C, H, W), drawn when it is asked for."""
    import torch

    x = net.input.values(images)
    step = _events_at(net, x)
    return lambda t: torch.from_numpy(step(t)).to(dtype)


def _events_at(net: SnnNetwork, x: Array) -> Callable[[int], Array]:
    match net.input.encoding:
        case "events":
            return lambda t: x[:, t]
        case "bernoulli":
            return _bernoulli(net, x)
        case _:
            return lambda _: x


def _bernoulli(net: SnnNetwork, x: Array) -> Callable[[int], Array]:
    """Unit events of ``x`` (N, C, H, W) in each step: the same random numbers for each image."""
    channels, height, width = net.input.shape
    bits = net.input.peak.bit_length()
    words = random_words(net.input.seed, net.timesteps * x[0].size) >> np.uint32(BITS - bits)
    drawn = words.reshape(net.timesteps, height, width, channels).transpose(0, 3, 1, 2)
    sign, size = np.sign(x), np.abs(x)
    chance = size + (size >> (bits - 1))
    return lambda t: np.asarray(sign * (drawn[t] < chance))


def pool_window(x: torch.Tensor, pool: Pool) -> torch.Tensor:
    """Sum or maximum of each window of ``x`` (N, C, H, W), one shift of the map at a time."""
    first, *others = _members(x, pool)
    out = first.clone()
    for shifted in others:
        if pool.mode == "sum":
            out.add_(shifted)
        else:
            out.clamp_(min=shifted)
    return out


def _members(x: torch.Tensor, pool: Pool) -> Iterator[torch.Tensor]:
    """Member by member, row by row, what all windows of ``x`` see there."""
    (kh, kw), (sh, sw) = pool.kernel, pool.stride
    rows, columns = (x.shape[2] - kh) // sh * sh + 1, (x.shape[3] - kw) // sw * sw + 1
    for dy, dx in product(range(kh), range(kw)):
        yield x[:, :, dy : dy + rows : sh, dx : dx + columns : sw]


class _Pooling:
    """Pooling of one projection's source; maximum and gate look at running totals."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.total: torch.Tensor | None = None
        self.sent: torch.Tensor | None = None

    def step(self, x: torch.Tensor) -> torch.Tensor:
        if self.pool.mode == "sum":
            return pool_window(x, self.pool)
        self.total = x if self.total is None else self.total + x
        if self.pool.mode == "gate":
            return self._gated(x, self.total)
        top = pool_window(self.total, self.pool)
        out = top if self.sent is None else top - self.sent
        self.sent = top
        return out

    def _gated(self, x: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        """What the first member of the largest total sends."""
        spikes, totals = _members(x, self.pool), _members(total, self.pool)
        out, top = next(spikes), next(totals)
        for spike, count in zip(spikes, totals, strict=True):
            leads = count > top
            out, top = spike.where(leads, out), count.maximum(top)
        return out
