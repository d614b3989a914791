# SPDX-License-Identifier: BSD-2-Clause
"""Training of a spiking network by backpropagation through time (methods.md 4.4)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pysnn_hw.convert.float_sim import BATCH
from pysnn_hw.convert.hybrid.checkpoint import Checkpoint, fingerprint, load_checkpoint
from pysnn_hw.convert.hybrid.training import HybridTraining
from pysnn_hw.convert.hybrid.unrolled import Unrolled
from pysnn_hw.convert.hybrid.weights import load_weights, weights_of
from pysnn_hw.errors import DataError, ModelError
from pysnn_hw.ir.snn import Array, SnnNetwork
from pysnn_hw.progress import Progress, silent

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Finetuned:
    """What came out of `finetune`.

    Attributes
    ----------
    network
        Of the epoch that was best on the held-out images.
    history
        Share of those classified correctly before training and after each epoch.
    """

    network: SnnNetwork
    history: tuple[float, ...]


def finetune(
    net: SnnNetwork,
    images: Array,
    targets: Array,
    training: HybridTraining,
    *,
    progress: Progress = silent,
) -> Finetuned:
    """``net`` trained on ``images``, in the very steps that it will run.

    Parameters
    ----------
    net
        Of binary spikes and strict neurons, as `balanced_network` makes it.
    images
        Raw training images (N, C, H, W).
    targets
        Classes, integers (N,); or probabilities, float (N, classes), of a network to imitate.
    training
        Epochs and the like.
    progress
        Told after each step.

    Raises
    ------
    ModelError
        If the network is another one, or training diverges.
    DataError
        If the targets do not fit.
    FileFormatError
        If the checkpoint is of another run, or damaged.
    """
    _check_targets(net, images, targets)
    return _Finetuning(net, images, targets, training, progress).run()


class _Finetuning:
    """A run in the making: parameters, optimiser, what was measured so far."""

    def __init__(
        self,
        net: SnnNetwork,
        images: Array,
        targets: Array,
        training: HybridTraining,
        progress: Progress,
    ) -> None:
        import torch

        self.net, self.training, self.progress = net, training, progress
        self.images = images
        self.targets = targets.astype(np.int64 if targets.ndim == 1 else np.float32)
        order = np.random.default_rng(training.seed).permutation(len(images))
        aside = int(training.held_out * len(images))
        self.held_out, self.taught = order[:aside], np.sort(order[aside:])
        self.batches = math.ceil(len(self.taught) / training.batch)
        self.best = weights_of(net)
        self.history: tuple[float, ...] = ()
        self.run_id = fingerprint(net, training, images, targets)
        self.model = Unrolled(net, training)
        self.optimiser = torch.optim.Adam(self.model.groups(training.rate), amsgrad=True)

    def run(self) -> Finetuned:
        self.resume()
        if not self.history:
            self.history = (self.measure(),)
        epochs = self.training.epochs
        while len(self.history) <= epochs and not self.exhausted():
            for done, loss in self.epoch(len(self.history) - 1):
                if not math.isfinite(loss):
                    raise ModelError("hybrid", "training diverged", "use a smaller rate")
                self.progress("fine-tune", done, epochs * self.batches)
            share = self.measure()
            if share >= max(self.history) or not len(self.held_out):
                self.best = weights_of(self.model.trained())
            self.history += (share,)
            self.save()
        self.progress("fine-tune", epochs * self.batches, epochs * self.batches)
        return Finetuned(load_weights(self.net, self.best), self.history)

    def exhausted(self) -> bool:
        """Whether the best epoch lies too far back."""
        since = len(self.history) - 1 - int(np.argmax(self.history))
        return len(self.held_out) > 0 and since >= self.training.patience

    def epoch(self, number: int) -> Iterator[tuple[int, float]]:
        """One pass over the images; yields how many steps are done in all, and the loss."""
        import torch
        from torch.nn import functional

        total = self.training.epochs * self.batches
        # Seeded by the epoch: a resumed run draws what an uninterrupted one does.
        order = np.random.default_rng((self.training.seed, number)).permutation(self.taught)
        rng = self.random(number)
        for step, some in enumerate(np.array_split(order, self.batches)):
            done = number * self.batches + step
            for group in self.optimiser.param_groups:
                group["lr"] = group["first"] * (0.5 + 0.5 * math.cos(math.pi * done / total))
            scores = self.model.scores(self.inputs(some), rng, self.training.dropout)
            # Membranes add up over time; their mean is in units of the trained network's scores.
            mean = scores / self.net.timesteps
            loss = functional.cross_entropy(mean, torch.from_numpy(self.targets[some]))
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            yield done + 1, loss.item()

    def measure(self) -> float:
        """Share of the held-out images that the network gets right now; 0 if there are none."""
        import torch

        hits = 0
        rng = self.random(0)
        with torch.inference_mode():
            for first in range(0, len(self.held_out), BATCH):
                some = self.held_out[first : first + BATCH]
                found = self.model.scores(self.inputs(some), rng).argmax(1).numpy()
                wanted = self.targets[some]
                hits += int((found == (wanted if wanted.ndim == 1 else wanted.argmax(1))).sum())
        return hits / max(1, len(self.held_out))

    def inputs(self, some: Array) -> torch.Tensor:
        import torch

        return torch.from_numpy(self.net.input.values(self.images[some]).astype(np.float32))

    def random(self, epoch: int) -> torch.Generator:
        import torch

        return torch.Generator().manual_seed(self.training.seed * 1_000_003 + epoch)

    def save(self) -> None:
        if self.training.checkpoint is not None:
            state: dict[str, Any] = self.optimiser.state_dict()
            now = weights_of(self.model.trained())
            saved = Checkpoint(self.run_id, self.history, now, self.best, state)
            saved.save(self.training.checkpoint)

    def resume(self) -> None:
        path = self.training.checkpoint
        if path is None or not path.exists():
            return
        import torch

        saved = load_checkpoint(path, self.run_id)
        self.history, self.best = saved.history, dict(saved.best)
        self.model = Unrolled(self.net, self.training)
        self.model.take(load_weights(self.net, saved.weights))
        self.optimiser = torch.optim.Adam(self.model.groups(self.training.rate), amsgrad=True)
        self.optimiser.load_state_dict(dict(saved.optimiser))


def _check_targets(net: SnnNetwork, images: Array, targets: Array) -> None:
    classes = net.populations[-1].size
    if len(targets) != len(images):
        raise DataError("labels", f"there are {len(targets)} for {len(images)} images")
    if targets.ndim == 1 and (targets.min() < 0 or targets.max() >= classes):
        raise DataError(
            "labels",
            f"run from {targets.min()} to {targets.max()}, but the network has {classes} scores",
        )
    if targets.ndim == 2 and targets.shape[1] != classes:
        raise DataError("targets", f"are {targets.shape[1]} for {classes} scores")
