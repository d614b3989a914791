# SPDX-License-Identifier: BSD-2-Clause
"""Networks far larger than small FPGAs, with random weights: what matters of them is their size.

Residual networks for CIFAR-10 as in He et al. 2015, section 4.2 (6 n + 2 layers, shortcuts without
weights), and VGG-16 as in Simonyan & Zisserman 2015 (configuration D) with batch norm and, as is
usual for 32 x 32 images, one linear layer behind its convolutions: 14.7 million weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
"""Channels of its convolutions; 0 is a 2 x 2 maximum pooling."""


def resnet56() -> nn.Module:
    """ResNet-56: nine blocks a stage."""
    return _initialised(_ResNet(9))


def vgg16() -> nn.Module:
    """VGG-16."""
    layers: list[nn.Module] = []
    before = 3
    for channels in VGG16:
        if not channels:
            layers.append(nn.MaxPool2d(2))
            continue
        convolution = nn.Conv2d(before, channels, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
        before = channels
    return _initialised(nn.Sequential(*layers, nn.Flatten(), nn.Linear(before, 10)))


class _Block(nn.Module):
    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride, self.more = stride, (channels - before) // 2
        self.first = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        if self.more:
            x = x[:, :, :: self.stride, :: self.stride]
            x = functional.pad(x, (0, 0, 0, 0, self.more, self.more))
        return functional.relu(x + y)


class _ResNet(nn.Module):
    def __init__(self, blocks: int) -> None:
        super().__init__()
        stages: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)]
        stages.append(nn.ReLU())
        before = 16
        for channels in (16, 32, 64):
            for _ in range(blocks):
                stages.append(_Block(before, channels, 2 if channels > before else 1))
                before = channels
        self.body, self.linear = nn.Sequential(*stages), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.body(x).mean((2, 3)))


def _initialised(model: nn.Module) -> nn.Module:
    """``model`` in evaluation mode, its weights drawn so that activations keep their size."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
    return model.eval()
