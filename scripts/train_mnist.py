# SPDX-License-Identifier: BSD-2-Clause
"""Train the bundled MNIST models for accuracy and for few spikes, and export them to ONNX.

A first phase trains in float, with a penalty on the share of active neurons. A second phase fixes
the batch statistics and goes on with activations and weights rounded at random to the precisions
that the accelerator offers, so that one float model serves them all.

    python scripts/train_mnist.py --data ../shared/data/mnist/mnist.npz --model mnist_cnn
"""

from __future__ import annotations

import json
import math
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pysnn_hw.data import load_dataset
from pysnn_hw.errors import DataError

OPSET = 17
TOP_QUANTILE = 0.999
CLIP_AT_BITS = {4: 1.0, 2: 0.6}
"""Where activations saturate, as a share of their top: coarse steps want a lower one."""


class Model(StrEnum):
    """Networks that this script knows; all end in ten scores."""

    MNIST_CNN = "mnist_cnn"
    MNIST_SMALL = "mnist_small"
    MNIST_POOL = "mnist_pool"
    MNIST_MLP = "mnist_mlp"


@dataclass(frozen=True)
class Settings:
    """All that decides the result of a run.

    ``sparsity`` has one weight per hidden layer; those of layers that a model lacks do nothing.
    """

    model: Model
    epochs: int
    seed: int
    sparsity: tuple[float, float]
    batch: int = 128
    peak_rate: float = 4e-3
    weight_decay: float = 0.02
    float_share: float = 0.6
    averaging: float = 0.998
    input_threshold: int | None = None


@dataclass(frozen=True)
class Precision:
    """Bits of activations and of weights; ``None`` is float."""

    activation: int | None = None
    weight: int | None = None


class Rectifier(nn.Module):
    """ReLU that tracks its top value and can round like a neuron of n-bit spikes (T = 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("top", torch.tensor(0.0))
        self.bits: int | None = None
        self.share = torch.tensor(0.0)
        self.nonzero = torch.tensor(0.0)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(x)
        if torch.jit.is_tracing():
            return a
        if self.training:
            # Hoyer's measure: the share of active neurons, smooth and blind to the scale.
            norm = torch.linalg.vector_norm(a)
            self.share = (a.sum() / (norm + 1e-9)).square() / a.numel()
            if self.bits is None:
                now = torch.quantile(a.detach()[:32].flatten()[::23], TOP_QUANTILE)
                self.top.lerp_(now, 0.02 if self.top > 0 else 1.0)
        if self.bits is not None:
            top = self.top * CLIP_AT_BITS[self.bits]
            a = round_to(a.clamp(max=top), top / (2**self.bits - 1))
        if not self.training:
            self.nonzero = (a > 0).float().mean()
        return a


def round_to(x: Tensor, step: Tensor) -> Tensor:
    """``x`` at the nearest multiple of ``step``; the gradient passes straight through."""
    return x + (torch.round(x / step) * step - x).detach()


def build(model: Model) -> nn.Sequential:
    """An untrained network; its layers' names end up in the ONNX file."""
    layers: list[tuple[str, nn.Module]]
    if model is Model.MNIST_MLP:
        layers = [
            ("flatten", nn.Flatten()),
            ("fc1", nn.Linear(784, 128)),
            ("relu1", Rectifier()),
            ("fc2", nn.Linear(128, 10)),
        ]
        return nn.Sequential(OrderedDict(layers))
    if model is Model.MNIST_POOL:
        layers = [
            ("conv1", nn.Conv2d(1, 16, 3, padding=1)),
            ("relu1", Rectifier()),
            ("pool1", nn.AvgPool2d(2)),
            ("conv2", nn.Conv2d(16, 32, 3, padding=1)),
            ("relu2", Rectifier()),
            ("pool2", nn.AvgPool2d(2)),
        ]
        features = 32 * 7 * 7
    else:
        c1, c2 = (16, 32) if model is Model.MNIST_CNN else (8, 16)
        layers = [
            ("conv1", nn.Conv2d(1, c1, 5, stride=2, padding=2, bias=False)),
            ("bn1", nn.BatchNorm2d(c1)),
            ("relu1", Rectifier()),
            ("conv2", nn.Conv2d(c1, c2, 3, stride=2, padding=1, bias=False)),
            ("bn2", nn.BatchNorm2d(c2)),
            ("relu2", Rectifier()),
        ]
        features = c2 * 7 * 7
    layers += [("flatten", nn.Flatten()), ("fc", nn.Linear(features, 10))]
    return nn.Sequential(OrderedDict(layers))


def rectifiers(net: nn.Module) -> list[Rectifier]:
    return [m for m in net.modules() if isinstance(m, Rectifier)]


def run(net: nn.Module, x: Tensor, precision: Precision) -> Tensor:
    """Scores (N, 10) with activations and weights at the given precision."""
    for layer in rectifiers(net):
        layer.bits = precision.activation
    if precision.weight is None:
        return net(x)
    top = 2 ** (precision.weight - 1) - 1
    rounded = {
        name: round_to(w, w.detach().abs().flatten(1).amax(1).view(-1, *[1] * (w.ndim - 1)) / top)
        for name, w in net.named_parameters()
        if w.ndim > 1
    }
    return torch.func.functional_call(net, rounded, (x,))


def augment(x: Tensor, rng: torch.Generator) -> Tensor:
    """Rotate by up to 12 degrees, scale by up to 10 %, shear a little, shift by up to 2 pixels."""
    n = len(x)
    angle, zoom_x, zoom_y, shear, dx, dy = (torch.rand(6, n, generator=rng) * 2 - 1).unbind()
    angle, shear = angle * math.radians(12), shear * 0.15
    zoom_x, zoom_y = 1 + 0.1 * zoom_x, 1 + 0.1 * zoom_y
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [
        torch.stack((zoom_x * cos, shear - zoom_y * sin, dx * 2 / 14), 1),
        torch.stack((zoom_x * sin, zoom_y * cos, dy * 2 / 14), 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def presented(x: Tensor, settings: Settings) -> Tensor:
    """Pixels as the first layer gets them: 1 from the threshold on and 0 below, if there is one."""
    if settings.input_threshold is None:
        return x
    return (x >= (settings.input_threshold - 0.5) / 255).float()


def draw_precision(progress: float, settings: Settings, rng: torch.Generator) -> Precision:
    """Float in the first phase; in the second any mixture that the hardware may run."""
    if progress < settings.float_share:
        return Precision()
    bits = (None, 4, 4, 2)[int(torch.randint(4, (), generator=rng))]
    return Precision(bits, (None, 4)[int(torch.randint(2, (), generator=rng))])


def learning_rate(progress: float, peak: float) -> float:
    """Linear warm-up over a twentieth of the run, then a cosine to zero."""
    return peak * min(progress / 0.05, 0.5 + 0.5 * math.cos(math.pi * progress))


@dataclass
class Run:
    """What a checkpoint keeps: weights, their moving average, optimiser, random state, epoch."""

    net: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    rng: torch.Generator
    epoch: int = 0

    def save(self, path: Path, settings: Settings) -> None:
        """Write atomically: an interrupted run leaves the previous checkpoint whole."""
        state = {
            "settings": json.dumps(asdict(settings)),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.rng.get_state(),
            "epoch": self.epoch,
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
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.set_state(state["rng"])
        self.epoch = state["epoch"]


def start(settings: Settings) -> Run:
    torch.manual_seed(settings.seed)
    # Channels last: the fastest layout for pooling and convolution on a CPU.
    net = build(settings.model).to(memory_format=torch.channels_last)
    average = build(settings.model)
    average.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=settings.weight_decay)
    return Run(net, average, optimizer, torch.Generator().manual_seed(settings.seed))


def train_epoch(state: Run, x: Tensor, y: Tensor, settings: Settings) -> Iterator[int]:
    """One pass over the images in random order; yields after each batch how many it held."""
    order = torch.randperm(len(x), generator=state.rng).split(settings.batch)
    for step, index in enumerate(order):
        progress = (state.epoch + step / len(order)) / settings.epochs
        precision = draw_precision(progress, settings, state.rng)
        state.net.train()
        for m in state.net.modules():
            if isinstance(m, nn.BatchNorm2d) and progress >= settings.float_share:
                m.eval()
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(progress, settings.peak_rate)
        images = presented(augment(x[index], state.rng), settings)
        scores = run(state.net, images, precision)
        loss = F.cross_entropy(scores, y[index])
        ramp = min(1.0, 4 * progress)
        for weight, layer in zip(settings.sparsity, rectifiers(state.net), strict=False):
            loss = loss + ramp * weight * layer.share
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        done = state.epoch * len(order) + step
        blend = 1 - min(settings.averaging, (done + 1) / (done + 10))
        with torch.no_grad():
            for mean, now in zip(
                state.average.state_dict().values(), state.net.state_dict().values(), strict=True
            ):
                mean.lerp_(now, blend) if mean.is_floating_point() else mean.copy_(now)
        yield len(index)


@torch.no_grad()
def evaluate(
    net: nn.Module, x: Tensor, y: Tensor, precision: Precision
) -> tuple[float, list[float]]:
    """Accuracy, and the share of non-zero activations per layer."""
    net.eval()
    hits, active = 0, np.zeros(len(rectifiers(net)))
    for part, labels in zip(x.split(1000), y.split(1000), strict=True):
        hits += int((run(net, part, precision).argmax(1) == labels).sum())
        active += [float(layer.nonzero) * len(part) for layer in rectifiers(net)]
    return hits / len(x), (active / len(x)).tolist()


def export(net: nn.Module, path: Path) -> None:
    """Write ONNX with batch norms folded; input ``x`` float32 (N, 1, 28, 28), output ``scores``."""
    net.eval()
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in net.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            conv = next(reversed(layers))
            layers[conv] = fuse_conv_bn_eval(layers[conv], layer)
        else:
            layers[name] = nn.ReLU() if isinstance(layer, Rectifier) else layer
    # The tracing exporter is deprecated, but the newer one needs another package (onnxscript).
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        torch.onnx.export(
            nn.Sequential(layers),
            (torch.zeros(1, 1, 28, 28),),
            path,
            input_names=["x"],
            output_names=["scores"],
            dynamic_axes={"x": {0: "N"}, "scores": {0: "N"}},
            opset_version=OPSET,
            dynamo=False,
        )


def summary(net: nn.Module, x: Tensor, y: Tensor, settings: Settings) -> dict[str, Any]:
    """The figures that go into the JSON file beside the model."""
    precisions = {
        "float": Precision(),
        "activations_4_bit": Precision(4),
        "activations_2_bit": Precision(2),
        "activations_4_bit_weights_4_bit": Precision(4, 4),
    }
    results = {}
    for name, precision in precisions.items():
        accuracy, active = evaluate(net, x, y, precision)
        results[name] = {"accuracy": accuracy, "nonzero_share": [round(a, 4) for a in active]}
    return {
        "settings": asdict(settings),
        "test_images": len(x),
        "parameters": sum(p.numel() for p in net.parameters()),
        "results": results,
    }


def main(
    data: Annotated[str, typer.Option(help="MNIST with a train split: .npz file or folder.")],
    model: Annotated[Model, typer.Option(help="Which network.")] = Model.MNIST_CNN,
    epochs: Annotated[int, typer.Option(min=1)] = 36,
    input_threshold: Annotated[
        int | None, typer.Option(min=1, max=255, help="Show pixels as 0 or 1: 1 from here on.")
    ] = None,
    seed: int = 1,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    sparsity: Annotated[
        tuple[float, float], typer.Option(help="Weight of the activity penalty of each layer.")
    ] = (0.25, 0.2),
    out: Annotated[Path, typer.Option(help="Folder for MODEL.onnx and MODEL.json.")] = Path("out"),
    checkpoint: Annotated[
        Path | None, typer.Option(help="Resumed from when it exists; default out/MODEL.ckpt.")
    ] = None,
) -> None:
    """Train one MNIST model, resuming from its checkpoint, and export it."""
    torch.set_num_threads(threads)
    console = Console()
    try:
        source = load_dataset(data)
    except DataError as e:
        raise typer.BadParameter(str(e)) from e
    if source.x_train is None or source.y_train is None:
        raise typer.BadParameter(f"{data} has no train split")
    x_train, x_test = (
        torch.from_numpy(x / np.float32(255)) for x in (source.x_train, source.x_test)
    )
    y_train, y_test = (torch.from_numpy(y) for y in (source.y_train, source.y_test))

    settings = Settings(model, epochs, seed, sparsity, input_threshold=input_threshold)
    x_test = presented(x_test, settings)
    state = start(settings)
    path = checkpoint or Path("out") / f"{model}.ckpt"
    if path.exists():
        state.load(path, settings)
        console.print(f"resuming after epoch {state.epoch}")
    with Progress(console=console) as bar:
        while state.epoch < epochs:
            task = bar.add_task(f"epoch {state.epoch + 1}/{epochs}", total=len(x_train))
            for images in train_epoch(state, x_train, y_train, settings):
                bar.advance(task, images)
            bar.remove_task(task)
            state.epoch += 1
            state.save(path, settings)
            accuracy, active = evaluate(state.average, x_test, y_test, Precision())
            rounded, _ = evaluate(state.average, x_test, y_test, Precision(4, 4))
            shares = " ".join(f"{share:.1%}" for share in active)
            bar.console.print(
                f"epoch {state.epoch}: {accuracy:.2%}, all at 4 bits {rounded:.2%}, active {shares}"
            )
    figures = summary(state.average, x_test, y_test, settings)
    out.mkdir(parents=True, exist_ok=True)
    export(state.average, out / f"{model}.onnx")
    (out / f"{model}.json").write_text(json.dumps(figures, indent=2) + "\n")
    console.print_json(data=figures["results"])


if __name__ == "__main__":
    typer.run(main)
