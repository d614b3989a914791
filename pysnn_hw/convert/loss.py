# SPDX-License-Identifier: BSD-2-Clause
"""Where accuracy goes: the trained network beside its float and its integer spiking form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pysnn_hw.convert.float_sim import BATCH, simulate_float
from pysnn_hw.convert.keep_batchnorm import spike_values
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.errors import DataError
from pysnn_hw.ir.ann import AnnGraph, evaluate
from pysnn_hw.ir.snn import Array, FixedNetwork, SnnNetwork


@dataclass(frozen=True)
class PopulationLoss:
    """How well one population's spikes express the activation that they stand for.

    Attributes
    ----------
    snn_correlation, fixed_correlation
        Pearson correlation of spike rate and ANN activation over all neurons and images; 1 if both
        are constant, 0 if only one is.
    snn_rmse, fixed_rmse
        Root mean square of ``rate * threshold - activation``, in units of the activation.
    activation_rms
        Root mean square of the activation: what the two before compare with.
    active
        Fraction of neurons and images with at least one spike, in the fixed network.
    """

    name: str
    snn_correlation: float
    fixed_correlation: float
    snn_rmse: float
    fixed_rmse: float
    activation_rms: float
    active: float


@dataclass(frozen=True)
class LossReport:
    """Accuracies (fractions) on the same images, and the loss of each fire population.

    Attributes
    ----------
    images, compared
        Images classified; images over which populations are compared (the first of them).
    agreement
        Fraction of images that the fixed network classifies as the ANN does.
    """

    images: int
    compared: int
    ann_accuracy: float
    snn_accuracy: float
    fixed_accuracy: float
    agreement: float
    populations: tuple[PopulationLoss, ...]


def loss_report(
    graph: AnnGraph,
    snn: SnnNetwork,
    fixed: FixedNetwork,
    images: Array,
    labels: Array,
    preprocessing: Preprocessing | None = None,
    *,
    compared: int = 500,
    progress: Callable[[int, int], None] | None = None,
) -> LossReport:
    """Classify ``images`` with the ANN and both spiking networks and compare every population.

    Parameters
    ----------
    graph, snn, fixed
        The imported graph, what `convert` and what `quantize` made of it.
    images, labels
        Raw integers (N, C, H, W) and classes (N,).
    preprocessing
        As given to `convert`.
    compared
        Images over which populations are compared.
    progress
        Called as ``progress(images done, images in all)``.

    Raises
    ------
    DataError
        Images or labels do not fit.
    """
    preprocessing = preprocessing or Preprocessing()
    preprocessing.check(images, graph.input.shape)
    if labels.shape != (len(images),):
        raise DataError("labels", f"shape {labels.shape} does not fit {len(images)} images")
    prepared, absorbed = prepare(graph, preprocessing)
    names = _comparable(prepared, snn)
    sums = {name: _Comparison() for name in names}
    classes: list[tuple[Array, Array, Array]] = []
    for first in range(0, len(images), BATCH):
        part = images[first : first + BATCH]
        spiking, integer = simulate_float(snn, part), simulate_float(fixed, part)
        output, _ = evaluate(graph, preprocessing.apply(part))
        classes.append((output.argmax(1), spiking.classes, integer.classes))
        if first < compared:
            _, kept = evaluate(prepared, absorbed.apply(part), keep=names)
            for name in names:
                value = spike_values(snn, name)[:, None, None] / snn.timesteps
                sums[name].add(
                    kept[name], spiking.counts[name] * value, integer.counts[name] * value
                )
        if progress is not None:
            progress(first + len(part), len(images))
    ann_class, snn_class, fixed_class = (np.concatenate(c) for c in zip(*classes, strict=True))
    return LossReport(
        images=len(images),
        compared=min(len(images), -(-compared // BATCH) * BATCH),
        ann_accuracy=float((ann_class == labels).mean()),
        snn_accuracy=float((snn_class == labels).mean()),
        fixed_accuracy=float((fixed_class == labels).mean()),
        agreement=float((fixed_class == ann_class).mean()),
        populations=tuple(sums[name].result(name) for name in names),
    )


def _comparable(graph: AnnGraph, net: SnnNetwork) -> list[str]:
    """Fire populations that stand for activations of ``graph``; spikes of scores do not."""
    nodes = {node.name for node in graph.nodes} - {graph.output}
    return [p.name for p in net.populations if p.kind == "fire" and p.name in nodes]


class _Comparison:
    """Running sums over images of one population: activation a, its float and integer likeness."""

    def __init__(self) -> None:
        self.values = 0
        self.active = 0
        self.first = np.zeros(3)
        self.second = np.zeros((3, 3))

    def add(self, activation: Array, snn: Array, fixed: Array) -> None:
        rows = np.stack([a.reshape(-1).astype(np.float64) for a in (activation, snn, fixed)])
        self.values += rows.shape[1]
        self.active += int(np.count_nonzero(fixed))
        self.first += rows.sum(1)
        self.second += rows @ rows.T

    def result(self, name: str) -> PopulationLoss:
        mean, square = self.first / self.values, self.second / self.values
        covariance = square - np.outer(mean, mean)
        return PopulationLoss(
            name=name,
            snn_correlation=_correlation(covariance, 1),
            fixed_correlation=_correlation(covariance, 2),
            snn_rmse=_rmse(square, 1),
            fixed_rmse=_rmse(square, 2),
            activation_rms=math.sqrt(square[0, 0]),
            active=self.active / self.values,
        )


def _correlation(covariance: Array, other: int) -> float:
    scale = max(covariance[0, 0], covariance[other, other])
    product = covariance[0, 0] * covariance[other, other]
    if product <= (1e-12 * scale) ** 2:
        return 1.0 if scale <= 0 else 0.0
    return float(covariance[0, other] / math.sqrt(product))


def _rmse(square: Array, other: int) -> float:
    return math.sqrt(max(0.0, square[0, 0] - 2 * square[0, other] + square[other, other]))
