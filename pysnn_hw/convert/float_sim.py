# SPDX-License-Identifier: BSD-2-Clause
"""Simulate a network of real numbers: what the loss report and calibration look at.

The arithmetic of the neuron is that of `pysnn_hw.ir.snn`, in floating point. On integer parameters
it is exact, but slower than the golden simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from pysnn_hw.ir.snn import (
    INPUT,
    Array,
    FixedNetwork,
    Pool,
    Population,
    Projection,
    Shape,
    SnnNetwork,
)
from pysnn_hw.ir.widths import clamps, widths

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
        Final membranes of the readout, (N, classes).
    counts
        By fire population, the sum of each neuron's spike values over all timesteps, (N, C, H, W).
    """

    scores: Array
    counts: Mapping[str, Array]


def simulate_float(net: SnnNetwork, images: Array, *, double: bool = False) -> FloatResult:
    """Run ``net`` on raw integer images (N, C, H, W), all at once.

    A float network is computed in float32 (float64 if ``double``), a `FixedNetwork` exactly: in
    float32 where its proven widths allow it, in float64 otherwise.
    """
    import torch

    narrow = _fits_float32(net) if isinstance(net, FixedNetwork) else not double
    dtype = torch.float32 if narrow else torch.float64
    zero = torch.tensor(net.input.zero_point, dtype=dtype)[:, None, None]
    synapses = {p.name: _synapse(p, net.shape_of(p.source), dtype) for p in net.projections}
    with torch.inference_mode():
        x = torch.from_numpy(images.astype(np.int64)).to(dtype) - zero
        scores, counts = _run(net, x, synapses)
        return FloatResult(scores.numpy(), {k: v.numpy() for k, v in counts.items()})


def classify_float(net: SnnNetwork, images: Array) -> Array:
    """Class of each raw integer image, (N,) int64; ties go to the lowest index."""
    starts = range(0, len(images), BATCH)
    found = [simulate_float(net, images[i : i + BATCH]).scores.argmax(1) for i in starts]
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _fits_float32(net: FixedNetwork) -> bool:
    return all(w.bits <= FLOAT32_WHOLE for w in widths(net).values())


Synapse = Callable[["torch.Tensor"], "torch.Tensor"]


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
    net: SnnNetwork, x: torch.Tensor, synapses: Mapping[str, Synapse]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    pools = {p.name: _Pooling(p.pool) for p in net.projections if p.pool is not None}
    neurons: dict[str, _Neurons] = {}
    for population in net.populations:
        constant = [
            synapses[p.name](x if p.pool is None else pool_window(x, p.pool))
            for p in net.into(population.name)
            if p.source == INPUT
        ]
        neurons[population.name] = _Neurons(net, population, x, constant)
    for _ in range(net.timesteps):
        spikes: dict[str, torch.Tensor] = {}
        for name, state in neurons.items():
            state.leak()
            for p in net.into(name):
                if p.source != INPUT:
                    sent = spikes[p.source]
                    state.integrate(
                        synapses[p.name](pools[p.name].step(sent) if p.name in pools else sent)
                    )
            spikes[name] = state.fire()
    fired = {name: state.count for name, state in neurons.items() if state.fires}
    return neurons[net.populations[-1].name].v.flatten(1), fired


class _Neurons:
    """State of one population for one batch, updated in place."""

    def __init__(
        self,
        net: SnnNetwork,
        population: Population,
        x: torch.Tensor,
        constant: Sequence[torch.Tensor],
    ) -> None:
        import torch

        def column(values: Array) -> torch.Tensor:
            return torch.from_numpy(values.astype(np.float64)).to(x.dtype).view(-1, 1, 1)

        self.fires = population.kind == "fire"
        self.hi = population.spike_max
        self.neuron = population.neuron
        self.whole = isinstance(net, FixedNetwork)
        self.drive = sum(constant, start=column(population.bias))
        self.v = column(population.v_init).expand(len(x), *population.shape).clone()
        self.count = torch.zeros_like(self.v)
        self.threshold = column(population.threshold) if self.fires else None
        acts = isinstance(net, FixedNetwork) and self.fires and clamps(net, population.name)
        self.limits = (population.v_min, population.v_max) if acts else None

    def leak(self) -> None:
        """Lose what leaks before the step; integers lose integers."""
        if self.neuron.leak:
            lost = self.v * 2.0**-self.neuron.leak
            self.v.sub_(lost.floor_() if self.whole else lost)

    def integrate(self, current: torch.Tensor) -> None:
        self.v.add_(current)

    def fire(self) -> torch.Tensor:
        """Add the constant drive and fire; returns spike values (of a readout: the membrane)."""
        self.v.add_(self.drive)
        if self.threshold is None:
            return self.v
        quotient = self.v / self.threshold
        spikes = quotient.ceil_().sub_(1) if self.neuron.strict else quotient.floor_()
        spikes.clamp_(0 if self.neuron.polarity == "positive" else -self.hi, self.hi)
        if self.neuron.polarity == "memory":
            spikes = spikes.maximum(-self.count)
        if self.neuron.reset == "hard":
            self.v.masked_fill_(spikes != 0, 0)
        else:
            self.v.addcmul_(spikes, self.threshold, value=-1)
        if self.limits is not None:
            self.v.clamp_(*self.limits)
        self.count.add_(spikes)
        return spikes


def pool_window(x: torch.Tensor, pool: Pool) -> torch.Tensor:
    """Sum or maximum of each window of ``x`` (N, C, H, W), one shift of the map at a time."""
    (kh, kw), (sh, sw) = pool.kernel, pool.stride
    rows, columns = (x.shape[2] - kh) // sh * sh + 1, (x.shape[3] - kw) // sw * sw + 1
    out = x[:, :, :rows:sh, :columns:sw].clone()
    for dy, dx in list(product(range(kh), range(kw)))[1:]:
        shifted = x[:, :, dy : dy + rows : sh, dx : dx + columns : sw]
        if pool.mode == "sum":
            out.add_(shifted)
        else:
            out.clamp_(min=shifted)
    return out


class _Pooling:
    """Pooling of one projection's source; the maximum is over running totals."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.total: torch.Tensor | None = None
        self.sent: torch.Tensor | None = None

    def step(self, x: torch.Tensor) -> torch.Tensor:
        if self.pool.mode == "sum":
            return pool_window(x, self.pool)
        self.total = x if self.total is None else self.total + x
        top = pool_window(self.total, self.pool)
        out = top if self.sent is None else top - self.sent
        self.sent = top
        return out
