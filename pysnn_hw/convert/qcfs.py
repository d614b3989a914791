# SPDX-License-Identifier: BSD-2-Clause
"""Fine-tuning at the activation that spikes compute: quantise, clip, floor, shift (methods.md 6.2).

At T = 1 a population with v(0) = theta / 2 computes ``floor(u / theta + 1/2)``, clipped. Weights,
biases and thresholds of a converted network are trained with that activation in the forward pass
and its slope, 1 / theta between the clips, in the backward pass. What is learnt is to give the
scores of the trained network on its own training images: no labels are needed.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pysnn_hw.convert.float_sim import pool_window
from pysnn_hw.convert.quantisation import IDENTITY_LIMIT, population_steps
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.snn import INPUT, Array, Projection, Shape, SnnNetwork
from pysnn_hw.progress import Progress, silent

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Training:
    """How long and how fast to train.

    Attributes
    ----------
    epochs
        Passes over the images.
    batch
        Images per step.
    rate
        First step size of Adam, relative to the size of each parameter; it falls to 0 as a cosine.
    seed
        Of the order of the images.
    weight_bits
        If given, 2..8: weights and biases are rounded as `quantize` rounds them while the network
        trains, so that it learns to do with so few bits. Quantise to the same number of bits.
    activity
        What synaptic operations weigh beside errors: ``activity`` times their share of the dense
        network's is added to the mean squared error of the scores, relative to their variance. At
        0.2 to 1 small activations learn to be silent.
    """

    epochs: int = 2
    batch: int = 50
    rate: float = 1e-3
    seed: int = 0
    weight_bits: int | None = None
    activity: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.activity) and self.activity >= 0):
            raise ModelError("activity", f"must not be negative, not {self.activity}")


def finetune(
    net: SnnNetwork,
    images: Array,
    scores: Array,
    training: Training | None = None,
    *,
    progress: Progress = silent,
) -> SnnNetwork:
    """``net`` trained to give ``scores``.

    Parameters
    ----------
    net
        A rate-coded network of one timestep, with v_init half of each threshold.
    images
        Raw training images (N, C, H, W).
    scores
        What the trained network says to them, float (N, classes).
    training
        Epochs and the like.
    progress
        Told after each step.

    Returns
    -------
    SnnNetwork
        Its provenance tells the training.

    Raises
    ------
    ModelError
        If the network has more than one timestep, or training diverges.
    """
    import torch

    if net.timesteps != 1:
        raise ModelError(
            "timesteps", f"must be 1 for qcfs, not {net.timesteps}", "use method rate or signed"
        )
    chosen = training or Training()
    student = _Student(net, chosen.weight_bits, counts=chosen.activity > 0)
    optimiser = torch.optim.Adam(student.groups(chosen.rate))
    batches = max(1, len(images) // chosen.batch)
    total = chosen.epochs * batches
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total)
    wanted = torch.from_numpy(np.asarray(scores, np.float32))
    spread = wanted.var().clamp_min(1e-12)
    rng = np.random.default_rng(chosen.seed)
    done = 0
    for _ in range(chosen.epochs):
        order = rng.permutation(len(images))
        for first in range(0, batches * chosen.batch, chosen.batch):
            some = order[first : first + chosen.batch]
            x = torch.from_numpy(net.input.values(images[some]).astype(np.float32))
            said, share = student.run(x)
            loss = torch.nn.functional.mse_loss(said, wanted[some]) / spread
            if chosen.activity:
                loss = loss + chosen.activity * share
            if not torch.isfinite(loss):
                raise ModelError("qcfs", "training diverged", "use a smaller rate")
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            done += 1
            progress("fine-tune", done, total)
    told = {**net.provenance, "training": asdict(chosen)}
    return replace(student.trained(), provenance=told)


class _Student:
    """The network with parameters that learn; thresholds as logarithms: they stay positive."""

    def __init__(
        self, net: SnnNetwork, weight_bits: int | None = None, *, counts: bool = False
    ) -> None:
        self.net = net
        self.largest = 0 if weight_bits is None else 2 ** (weight_bits - 1) - 1
        self.steps = {} if weight_bits is None else _steps(net, weight_bits)
        self.part = _parts(net) if counts else dict.fromkeys((p.name for p in net.populations), 0.0)
        self.weights = {p.name: _parameter(p.weight) for p in net.projections}
        self.biases = {p.name: _parameter(p.per_channel("bias")) for p in net.populations}
        self.thresholds = {
            p.name: _parameter(np.log(p.per_channel("threshold")))
            for p in net.populations
            if p.kind == "fire"
        }

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Parameters with step sizes in proportion to what they are."""
        found: list[dict[str, Any]] = [{"params": list(self.thresholds.values()), "lr": rate}]
        for p in self.net.projections:
            # An identity stands for "the same activation": there is nothing to learn.
            if p.kind != "identity":
                size = float(np.sqrt(np.square(p.weight).mean()))
                found.append({"params": [self.weights[p.name]], "lr": rate * max(size, 1e-12)})
        for population in self.net.populations:
            like = population.threshold if population.kind == "fire" else np.abs(population.bias)
            step = rate * max(float(like.mean()), 1e-12)
            found.append({"params": [self.biases[population.name]], "lr": step})
        return found

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (N, classes) of inputs less their zero point."""
        return self.run(x)[0]

    def run(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores, and which share of the dense network's synaptic operations spikes cause."""
        import torch

        from pysnn_hw.convert.straight_through import Spikes

        sent: dict[str, torch.Tensor] = {INPUT: x}
        share = torch.zeros(())
        for population in self.net.populations:
            u = self._bias(population.name).view(1, -1, 1, 1)
            for p in self.net.into(population.name):
                u = u + self._current(p, sent[p.source])
            if population.kind == "readout":
                return u.flatten(1), share
            theta = self.thresholds[population.name].exp().view(1, -1, 1, 1)
            spikes, firing = Spikes.apply(u, theta, population.spike_max)  # type: ignore[no-untyped-call]
            sent[population.name] = spikes
            if self.part[population.name]:
                share = share + self.part[population.name] * firing
        raise ModelError("network", "has no readout")

    def _current(self, projection: Projection, spikes: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional

        shape: Shape = self.net.shape_of(projection.source)
        view = projection.as_conv(shape)
        if projection.pool is not None:
            spikes = pool_window(spikes, projection.pool)
        weight = self._weight(projection)
        if projection.kind == "identity":  # several times faster than the convolution that it is
            return spikes * weight.view(-1, 1, 1)
        top, left, bottom, right = view.padding
        if (top, left) != (bottom, right) or min(top, left) < 0:
            spikes = functional.pad(spikes, (left, right, top, bottom))
            top, left = 0, 0
        weight = weight.view(view.weight.shape)
        return functional.conv2d(spikes, weight, None, view.stride, (top, left), groups=view.groups)

    def _weight(self, projection: Projection) -> torch.Tensor:
        limit = IDENTITY_LIMIT if projection.kind == "identity" else self.largest
        return self._rounded(self.weights[projection.name], projection.target, limit)

    def _bias(self, population: str) -> torch.Tensor:
        return self._rounded(self.biases[population], population, None)

    def _rounded(self, values: torch.Tensor, population: str, limit: int | None) -> torch.Tensor:
        """Whole numbers of the population's steps; clipped values no longer learn."""
        if not self.steps:
            return values
        step = self.steps[population].view(-1, *[1] * (values.ndim - 1))
        if population in self.thresholds:  # a whole number of steps, whatever it has become
            theta = self.thresholds[population].exp()
            step = step * theta.view(-1, *[1] * (values.ndim - 1))
        whole = values / step
        if limit is not None:
            whole = whole.clamp(-limit, limit)
        return (whole + (whole.round() - whole).detach()) * step

    def trained(self) -> SnnNetwork:
        """The network with what was learnt."""

        def array(values: torch.Tensor) -> Array:
            return np.asarray(values.detach().numpy(), np.float64)

        populations = []
        for p in self.net.populations:
            learnt = replace(p, bias=array(self._bias(p.name)))
            if p.kind == "fire":
                theta = array(self.thresholds[p.name].exp())
                learnt = replace(learnt, threshold=theta, v_init=theta / 2)
            populations.append(learnt)
        projections = tuple(
            replace(p, weight=array(self._weight(p)).reshape(p.weight.shape))
            for p in self.net.projections
        )
        return replace(self.net, populations=tuple(populations), projections=projections)


def _parts(net: SnnNetwork) -> dict[str, float]:
    """Which part of the operations that spikes can cause leaves each population."""
    found = {
        population.name: sum(
            p.as_conv(net.shape_of(p.source)).macs for p in net.out_of(population.name)
        )
        for population in net.populations
    }
    total = max(1, sum(found.values()))
    return {name: macs / total for name, macs in found.items()}


def _steps(net: SnnNetwork, weight_bits: int) -> dict[str, torch.Tensor]:
    """Step of each population's channels, as a share of the threshold where there is one."""
    import torch

    steps = population_steps(net, weight_bits)
    return {
        p.name: torch.tensor(
            steps[p.name] / (p.per_channel("threshold") if p.kind == "fire" else 1.0),
            dtype=torch.float32,
        )
        for p in net.populations
    }


def _parameter(values: Array) -> torch.Tensor:
    import torch

    return torch.tensor(np.array(values, np.float32), requires_grad=True)
