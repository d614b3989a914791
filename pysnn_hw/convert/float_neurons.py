# SPDX-License-Identifier: BSD-2-Clause
"""The neurons of one population for one batch, in floating point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pysnn_hw.ir.snn import Array, FixedNetwork, Population, Probe, SnnNetwork
from pysnn_hw.ir.widths import clamps

if TYPE_CHECKING:
    import torch


class Neurons:
    """Membranes and spike counts, updated in place.

    Attributes
    ----------
    v
        Membranes (N, C, H, W).
    count
        What each neuron has emitted, same shape.
    fires
        Whether this is no readout.
    """

    def __init__(self, net: SnnNetwork, population: Population, like: torch.Tensor) -> None:
        """Neurons at their start, one batch for the images of ``like`` (N, ..), of its dtype."""
        import torch

        def tensor(values: Array) -> torch.Tensor:
            return torch.tensor(values).to(like.dtype)

        self.fires = population.kind == "fire"
        self.drive = tensor(population.per_neuron("bias"))
        self.start = tensor(population.per_neuron("v_init")).expand(len(like), -1, -1, -1)
        self.v = self.start.clone()
        self.count = torch.zeros_like(self.v)
        self._hi = population.spike_max
        self._neuron = population.neuron
        self._whole = isinstance(net, FixedNetwork)
        self._threshold = tensor(population.per_neuron("threshold")) if self.fires else None
        acts = isinstance(net, FixedNetwork) and self.fires and clamps(net, population.name)
        self._limits = (population.v_min, population.v_max) if acts else None
        self._silent: torch.Tensor | None = None

    def leak(self) -> None:
        """Lose what leaks before the step; integers lose integers."""
        if self._neuron.leak:
            lost = self.v * 2.0**-self._neuron.leak
            self.v.sub_(lost.floor_() if self._whole else lost)

    def integrate(self, current: torch.Tensor) -> None:
        """Add a current of this step."""
        self.v.add_(current)

    def fire(self) -> torch.Tensor:
        """Add the constant drive and fire; returns spike values (of a readout: the membrane)."""
        self.v.add_(self.drive)
        if self._threshold is None:
            return self.v
        quotient = self.v / self._threshold
        spikes = quotient.ceil_().sub_(1) if self._neuron.strict else quotient.floor_()
        spikes.clamp_(0 if self._neuron.polarity == "positive" else -self._hi, self._hi)
        if self._neuron.polarity == "memory":
            spikes = spikes.maximum(-self.count)
        if self._neuron.reset == "hard":
            self.v.masked_fill_(spikes != 0, 0)
        else:
            self.v.addcmul_(spikes, self._threshold, value=-1)
        if self._limits is not None:
            self.v.clamp_(*self._limits)
        if self._silent is not None:
            spikes.masked_fill_(self._silent, 0)
            self.v = self.start.where(self._silent, self.v)
        self.count.add_(spikes)
        return spikes

    def start_over(self, probe: Probe) -> None:
        """Begin the run proper, as the probe that ends here tells."""
        if self._threshold is not None and probe.rule == "mask":
            self._silent = self.v <= 0
        elif self._threshold is not None:
            back = (self.v < 0) & (self.count > 0)
            ahead = self.v >= self._threshold
            shift = ahead.to(self.v.dtype) - back.to(self.v.dtype)
            self.start = self.start + shift * self._threshold
        self.v = self.start.clone()
        self.count.zero_()
