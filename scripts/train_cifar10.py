# SPDX-License-Identifier: BSD-2-Clause
"""Train VGG-like networks on CIFAR-10 that spiking networks take well, and export them to ``.pt2``.

As conversion likes them: average pooling, and unless ``--batchnorm`` is given neither biases nor
batch norm; dropout is what keeps them from overfitting (methods.md 4.1). ``--qcfs`` trains with the
activation that spikes of T * (2**n - 1) levels compute, its clip learnt per layer (6.2); at T = 1
such a network converts without any loss. The channel widths are smaller than the papers', so that
the default epochs fit into 90 minutes on two cores (``--threads 2``).

    python scripts/train_cifar10.py --data ../shared/data/cifar10 --net vgg5
    python scripts/train_cifar10.py --data ../shared/data/cifar10 --net vgg9 --qcfs --batchnorm
"""

from __future__ import annotations

import json
import math
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from cifar10 import SHAPE, Cifar10, load_cifar10
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn import functional as F

from pysnn_hw.errors import DataError

POOL = 0
"""In a list of channel counts: average pooling over 2 x 2."""
QCFS_EPOCHS = 24
"""Fewer than others: its activation takes half of the time."""
EVALUATED = 500
"""Images at a time when nothing is learnt."""


class Net(StrEnum):
    """Networks that this script knows."""

    VGG5 = "vgg5"
    VGG9 = "vgg9"


@dataclass(frozen=True)
class Plan:
    """Widths of a network, how much of it is dropped in training, and for how long it trains."""

    convolutions: tuple[int, ...]
    hidden: tuple[int, ...]
    conv_dropout: float
    hidden_dropout: float
    epochs: int


PLANS = {
    Net.VGG5: Plan((32, POOL, 64, 64, POOL), (256,), 0.1, 0.3, 40),
    Net.VGG9: Plan((32, 32, POOL, 64, 64, POOL, 128, 128, POOL), (256, 256), 0.1, 0.3, 36),
}


@dataclass(frozen=True)
class Settings:
    """All that decides the result of a run."""

    net: Net
    epochs: int
    seed: int
    qcfs: bool
    levels: int
    batchnorm: bool
    images: int
    batch: int = 128
    peak_rate: float = 2e-3
    weight_decay: float = 0.02
    clip_start: float = 3.0


class Spiking(nn.Module):
    """Quantise, clip, floor, shift: what neurons of ``levels`` spikes compute at v(0) = theta / 2.

    The clip is learnt, as its logarithm: it stays positive. Exported, it is the clip alone; the
    levels come back with the spikes.
    """

    def __init__(self, levels: int, start: float) -> None:
        super().__init__()
        self.levels = levels
        self.log_clip = nn.Parameter(torch.tensor(math.log(start)))

    def forward(self, x: Tensor) -> Tensor:
        clip = self.log_clip.exp()
        level = (x * (self.levels / clip) + 0.5).clamp(0, self.levels + 0.5)
        return (level + (level.floor() - level).detach()) * (clip / self.levels)


class Clip(nn.Module):
    """ReLU with an upper bound."""

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.bound = bound

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(0.0, self.bound)


def build(settings: Settings) -> nn.Sequential:
    """An untrained network."""
    plan, bias = PLANS[settings.net], settings.batchnorm
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels, height, _ = SHAPE

    def activation(index: int, share: float) -> None:
        layers[f"act{index}"] = (
            Spiking(settings.levels, settings.clip_start) if settings.qcfs else nn.ReLU()
        )
        layers[f"dropout{index}"] = nn.Dropout(share)

    index = 0
    for width in plan.convolutions:
        if width == POOL:
            layers[f"pool{index}"] = nn.AvgPool2d(2)
            height //= 2
            continue
        index += 1
        layers[f"conv{index}"] = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        if settings.batchnorm:
            layers[f"bn{index}"] = nn.BatchNorm2d(width)
        activation(index, plan.conv_dropout)
        channels = width
    layers["flatten"] = nn.Flatten()
    features = channels * height * height
    for width in plan.hidden:
        index += 1
        layers[f"fc{index}"] = nn.Linear(features, width, bias=bias)
        activation(index, plan.hidden_dropout)
        features = width
    layers["scores"] = nn.Linear(features, 10, bias=bias)
    for layer in layers.values():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return nn.Sequential(layers)


def model_input(images: Tensor) -> Tensor:
    """Bytes as floats in -1..1, what the network sees (mean and deviation 0.5)."""
    return images.float().mul_(2 / 255).sub_(1)


def augment(images: Tensor, rng: torch.Generator) -> Tensor:
    """Shift by up to 4 pixels, the same for the whole batch, and flip every image by a coin."""
    dy, dx = (int(v) for v in torch.randint(0, 9, (2,), generator=rng))
    size = images.shape[-1]
    padded = F.pad(images, (4, 4, 4, 4))
    moved = padded[:, :, dy : dy + size, dx : dx + size]
    coin = torch.rand(len(images), 1, 1, 1, generator=rng) < 0.5
    return torch.where(coin, moved.flip(3), moved)


def learning_rate(progress: float, peak: float) -> float:
    """Linear warm-up over a twentieth of the run, then a cosine to zero."""
    return peak * min(progress / 0.05, 0.5 + 0.5 * math.cos(math.pi * progress))


@dataclass
class Run:
    """What a checkpoint keeps: weights, optimiser, random states, epoch and what was measured."""

    net: nn.Sequential
    optimizer: torch.optim.Optimizer
    rng: torch.Generator
    epoch: int
    history: list[dict[str, float]]

    def save(self, path: Path, settings: Settings) -> None:
        """Write atomically: an interrupted run leaves the previous checkpoint whole."""
        state = {
            "settings": json.dumps(asdict(settings)),
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.rng.get_state(),
            "dropout": torch.get_rng_state(),
            "epoch": self.epoch,
            "history": self.history,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path, settings: Settings) -> None:
        state = torch.load(path, weights_only=True)
        if state["settings"] != json.dumps(asdict(settings)):
            raise typer.BadParameter(f"{path} is of a run with other settings; remove it")
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.set_state(state["rng"])
        torch.set_rng_state(state["dropout"])
        self.epoch, self.history = state["epoch"], state["history"]


def start(settings: Settings) -> Run:
    torch.manual_seed(settings.seed)
    # Channels last: the fastest layout for pooling and convolution on a CPU.
    net = build(settings).to(memory_format=torch.channels_last)
    weights = [p for p in net.parameters() if p.ndim > 1]
    rest = [p for p in net.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": settings.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]])
    return Run(net, optimizer, torch.Generator().manual_seed(settings.seed), 0, [])


def train_epoch(state: Run, x: Tensor, y: Tensor, settings: Settings) -> Iterator[int]:
    """One pass over the images in random order; yields after each batch how many it held."""
    state.net.train()
    order = torch.randperm(len(x), generator=state.rng).split(settings.batch)
    for step, index in enumerate(order):
        progress = (state.epoch + step / len(order)) / settings.epochs
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(progress, settings.peak_rate)
        scores = state.net(augment(model_input(x[index]), state.rng))
        loss = F.cross_entropy(scores, y[index])
        state.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(state.net.parameters(), 5.0)
        state.optimizer.step()
        yield len(index)


@torch.no_grad()
def evaluate(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of images classified correctly."""
    net.eval()
    parts = zip(x.split(EVALUATED), y.split(EVALUATED), strict=True)
    hits = sum(int((net(model_input(p)).argmax(1) == labels).sum()) for p, labels in parts)
    return hits / len(x)


def export(net: nn.Sequential, path: Path) -> None:
    """Write ``.pt2``; input float32 (N, 3, 32, 32), output the ten scores."""
    layers = OrderedDict(
        (name, Clip(layer.log_clip.exp().item()) if isinstance(layer, Spiking) else layer)
        for name, layer in net.named_children()
        if not isinstance(layer, nn.Dropout)
    )
    batch = torch.export.Dim("batch", min=1, max=1024)
    plain = nn.Sequential(layers).to(memory_format=torch.contiguous_format).eval()
    program = torch.export.export(plain, (torch.zeros(2, *SHAPE),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)


def summary(run: Run, data: Cifar10, settings: Settings, seconds: float) -> dict[str, Any]:
    """The figures that go into the JSON file beside the model."""
    clips = {
        n: m.log_clip.exp().item() for n, m in run.net.named_children() if hasattr(m, "levels")
    }
    return {
        "settings": asdict(settings),
        "input": {"scale": 255.0, "mean": [0.5] * 3, "std": [0.5] * 3},
        "clips": clips,
        "train_images": settings.images,
        "test_images": len(data.x_test),
        "parameters": sum(p.numel() for p in run.net.parameters()),
        "test_accuracy": run.history[-1]["test_accuracy"],
        "history": run.history,
        "seconds_of_this_run": round(seconds),
    }


def main(
    data: Annotated[Path, typer.Option(help="Folder (or .npz) with CIFAR-10.")],
    net: Annotated[Net, typer.Option(help="Which network.")] = Net.VGG5,
    qcfs: Annotated[bool, typer.Option(help="Train with the activation of spikes.")] = False,
    levels: Annotated[int, typer.Option(min=1, help="Of --qcfs: levels of an activation.")] = 15,
    batchnorm: Annotated[bool, typer.Option(help="Batch norm and biases.")] = False,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="By default 40 (vgg5) or 36, with --qcfs 24.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Train on the first so many.")] = 50_000,
    seed: int = 1,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    out: Annotated[Path, typer.Option(help="Folder for NET.pt2 and NET.json.")] = Path("out"),
    checkpoint: Annotated[
        Path | None, typer.Option(help="Resumed from when it exists; default OUT/NET.ckpt.")
    ] = None,
) -> None:
    """Train one network, resuming from its checkpoint, and export it."""
    torch.set_num_threads(threads)
    console = Console()
    try:
        source = load_cifar10(data)
    except DataError as e:
        raise typer.BadParameter(str(e)) from e
    images = min(images, len(source.x_train))
    x, y = (torch.from_numpy(part[:images]) for part in (source.x_train, source.y_train))
    x_test, y_test = torch.from_numpy(source.x_test), torch.from_numpy(source.y_test)
    usual = QCFS_EPOCHS if qcfs else PLANS[net].epochs
    settings = Settings(net, epochs or usual, seed, qcfs, levels, batchnorm, images)
    name = f"{net}_qcfs" if qcfs else str(net)
    run = start(settings)
    path = checkpoint or out / f"{name}.ckpt"
    if path.exists():
        run.load(path, settings)
        console.print(f"resuming after epoch {run.epoch}")
    began = time.perf_counter()
    with Progress(console=console) as bar:
        while run.epoch < settings.epochs:
            task = bar.add_task(f"epoch {run.epoch + 1}/{settings.epochs}", total=len(x))
            for count in train_epoch(run, x, y, settings):
                bar.advance(task, count)
            bar.remove_task(task)
            run.epoch += 1
            accuracy = evaluate(run.net, x_test, y_test)
            run.history.append({"epoch": run.epoch, "test_accuracy": accuracy})
            run.save(path, settings)
            bar.console.print(f"epoch {run.epoch}: {accuracy:.2%} of the test images")
    figures = summary(run, source, settings, time.perf_counter() - began)
    out.mkdir(parents=True, exist_ok=True)
    export(run.net, out / f"{name}.pt2")
    (out / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"{out / name}.pt2 written: {figures['test_accuracy']:.2%}")


if __name__ == "__main__":
    typer.run(main)
