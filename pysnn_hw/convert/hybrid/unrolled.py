# SPDX-License-Identifier: BSD-2-Clause
"""A spiking network of binary neurons, unrolled in time in torch so that it can be trained.

Forwards it does exactly what `simulate_float` does: integrate, fire above the threshold, subtract
it. Backwards a spike has a slope (`surrogate`), and no gradient takes the way through the reset.
With a leak, the membrane *after* the reset leaks, as the hardware has it; the authors' code leaks
the one before (methods.md, T-C9).

All timesteps of a population are computed before the next population: one convolution for all of
them. In segments of time (`HybridTraining.segment`) memory is that of a segment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pysnn_hw.convert.hybrid.surrogate import NEVER, fire
from pysnn_hw.convert.hybrid.training import HybridTraining
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.snn import INPUT, Array, Population, Projection, SnnNetwork

if TYPE_CHECKING:
    import torch

    State = Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    """By population: membranes and steps of the last spikes, (N, C, H, W)."""


CHUNK = 10
"""Timesteps at a time where nothing is learnt."""


class Unrolled:
    """The network with weights and biases that learn.

    Parameters
    ----------
    net
        Of positive binary spikes and soft, strict neurons; sums of windows are the only pooling.
    training
        Slope of a spike, segments.

    Raises
    ------
    ModelError
        If the network has other neurons, or max pooling.
    """

    def __init__(self, net: SnnNetwork, training: HybridTraining) -> None:
        for p in net.populations:
            neuron = p.neuron
            if p.kind == "fire" and not (
                p.spike_max == 1
                and neuron.polarity == "positive"
                and neuron.reset == "soft"
                and neuron.strict
            ):
                raise ModelError(p.name, "is no strict neuron of binary spikes with soft reset")
        for projection in net.projections:
            if projection.pool is not None and projection.pool.mode != "sum":
                raise ModelError(
                    projection.name,
                    "reads through max pooling, which hybrid training does not know",
                    "use average pooling, or method rate",
                )
        self.net = net
        self.training = training
        self.weights = {p.name: _parameter(p.weight) for p in net.projections}
        self.biases = {p.name: _parameter(p.per_channel("bias")) for p in net.populations}
        fires = [p for p in net.populations if p.kind == "fire"]
        self.theta = {p.name: _column(p.per_channel("threshold")) for p in fires}

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Parameters with step sizes in proportion to what they are.

        Identities stay as they are: they stand for "the same activation". So do biases of a network
        that has none, because the hardware can then do without.
        """
        found: list[dict[str, Any]] = []
        for p in self.net.projections:
            if p.kind != "identity":
                size = float(np.sqrt(np.square(p.weight).mean()))
                found.append({"params": [self.weights[p.name]], "lr": rate * max(size, 1e-12)})
        for population in self.net.populations:
            if population.bias.any():
                size = float(np.abs(population.bias).mean())
                found.append({"params": [self.biases[population.name]], "lr": rate * size})
        return [group | {"first": group["lr"]} for group in found]

    def scores(self, x: torch.Tensor, rng: torch.Generator, dropout: float = 0.0) -> torch.Tensor:
        """Final membranes of the readout (N, classes) for inputs less their zero point.

        ``rng`` draws which neurons are dropped, and the spikes of a random input.
        """
        import torch
        from torch.utils.checkpoint import checkpoint

        net = self.net
        steps = net.timesteps
        width = self.training.segment or steps
        events = _events(net, x, rng, steps)
        keep = _masks(net, len(x), dropout, rng)
        state = self._start(len(x))
        for first in range(0, steps, width):
            here = range(first, min(first + width, steps))
            if width < steps and torch.is_grad_enabled():
                state = checkpoint(self._segment, here, events, keep, state, use_reentrant=False)
            else:
                state = self._segment(here, events, keep, state)
        return state[net.populations[-1].name][0].flatten(1)

    def strongest(self, x: torch.Tensor, rng: torch.Generator, name: str, steps: int) -> float:
        """Largest current into any neuron of ``name`` in any one of ``steps`` timesteps."""
        names = [p.name for p in self.net.populations]
        upstream = names[: names.index(name)]
        state = self._start(len(x))
        found = -np.inf
        target = self.net.population(name)
        for first in range(0, steps, CHUNK):
            here = range(first, min(first + CHUNK, steps))
            sent = {INPUT: _events(self.net, x, rng, len(here))}
            state = self._advance(here, sent, {}, state, upstream)
            found = max(found, float(self._current(target, sent, len(here)).max()))
        return found

    def _start(self, images: int) -> State:
        """State before the first timestep."""
        import torch

        never = torch.full((1, 1, 1, 1), float(NEVER))
        return {
            p.name: (_column(p.per_channel("v_init")).expand(images, *p.shape), never)
            for p in self.net.populations
        }

    def _segment(
        self, steps: range, events: torch.Tensor, keep: Mapping[str, torch.Tensor], state: State
    ) -> State:
        """State after the timesteps ``steps``, from that before."""
        sent = {INPUT: events if len(events) == 1 else events[steps.start : steps.stop]}
        return self._advance(steps, sent, keep, state, [p.name for p in self.net.populations])

    def _advance(
        self,
        steps: range,
        sent: dict[str, torch.Tensor],
        keep: Mapping[str, torch.Tensor],
        state: State,
        names: list[str],
    ) -> State:
        """As `_segment`, for the first populations; their spikes come into ``sent``."""
        import torch

        after: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        for name in names:
            population = self.net.population(name)
            currents = self._current(population, sent, len(steps))
            v, fired = state[name]
            if population.kind == "readout":
                after[name] = v + currents.sum(0), fired
                continue
            theta, spikes = self.theta[name], []
            for t, current in zip(steps, currents, strict=True):
                if population.neuron.leak:
                    v = v * (1 - 2.0**-population.neuron.leak)
                u = v + current
                s, fired = fire(u, theta, fired, t, self.training)
                v = torch.addcmul(u, theta, s.detach(), value=-1)
                spikes.append(s)
            after[name] = v, fired
            out = torch.stack(spikes)
            sent[name] = out * keep[name] if name in keep else out
        return after

    def _current(
        self, population: Population, sent: Mapping[str, torch.Tensor], steps: int
    ) -> torch.Tensor:
        """Current into ``population`` in each of ``steps`` timesteps, (steps, N, C, H, W)."""
        total = self.biases[population.name].view(1, 1, -1, 1, 1)
        for p in self.net.into(population.name):
            events = sent[p.source]
            flat = self._synapse(p, events.flatten(0, 1))
            total = total + flat.view(len(events), -1, *flat.shape[1:])
        return total.expand(steps, *total.shape[1:])

    def _synapse(self, projection: Projection, x: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional

        if projection.pool is not None:
            kernel, stride = projection.pool.kernel, projection.pool.stride
            x = functional.avg_pool2d(x, kernel, stride, divisor_override=1)
        weight = self.weights[projection.name]
        if projection.kind == "linear":
            return functional.linear(x.flatten(1), weight)[:, :, None, None]
        if projection.kind == "identity":
            return x * weight.view(-1, 1, 1)
        top, left, bottom, right = projection.padding
        padded = functional.pad(x, (left, right, top, bottom))
        return functional.conv2d(padded, weight, stride=projection.stride, groups=projection.groups)

    def take(self, net: SnnNetwork) -> None:
        """Go on with the weights and biases of ``net``, which is otherwise the same."""
        import torch

        with torch.no_grad():
            for p in net.projections:
                self.weights[p.name].copy_(torch.from_numpy(p.weight))
            for q in net.populations:
                self.biases[q.name].copy_(torch.from_numpy(q.per_channel("bias").copy()))

    def trained(self) -> SnnNetwork:
        """The network with what was learnt."""

        def array(values: torch.Tensor) -> Array:
            return np.asarray(values.detach().numpy(), np.float64)

        populations = tuple(
            replace(p, bias=array(self.biases[p.name])) for p in self.net.populations
        )
        projections = tuple(
            replace(p, weight=array(self.weights[p.name])) for p in self.net.projections
        )
        return replace(self.net, populations=populations, projections=projections)


def _events(net: SnnNetwork, x: torch.Tensor, rng: torch.Generator, steps: int) -> torch.Tensor:
    """What the input sends: (1, N, C, H, W) if it is the same in every step, else (steps, ...)."""
    import torch

    if net.input.encoding == "constant":
        return x[None]
    return torch.stack([random_spikes(x, net.input.peak, rng) for _ in range(steps)])


def random_spikes(x: torch.Tensor, peak: int, rng: torch.Generator) -> torch.Tensor:
    """Signed unit events for the integers ``x``, of the law that `Input.peak` tells.

    The hardware's generator draws the same bits for every image; training sees fresh ones.
    """
    import torch

    bits, size = peak.bit_length(), x.abs()
    draw = torch.randint(0, 1 << bits, x.shape, generator=rng)
    return torch.sign(x) * (draw < size + torch.floor(size / 2 ** (bits - 1)))


def _masks(
    net: SnnNetwork, images: int, dropout: float, rng: torch.Generator
) -> dict[str, torch.Tensor]:
    """By fire population, 0 for neurons that are silent and 1 / (1 - dropout) for the others."""
    import torch

    if not dropout:
        return {}
    fires = [p for p in net.populations if p.kind == "fire"]
    return {
        p.name: (torch.rand(images, *p.shape, generator=rng) >= dropout) / (1 - dropout)
        for p in fires
    }


def _parameter(values: Array) -> torch.Tensor:
    import torch

    return torch.tensor(np.array(values, np.float32), requires_grad=True)


def _column(values: Array) -> torch.Tensor:
    import torch

    return torch.tensor(np.array(values, np.float32)).view(1, -1, 1, 1)
