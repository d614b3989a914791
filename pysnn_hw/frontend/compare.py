# SPDX-License-Identifier: BSD-2-Clause
"""Holds an imported graph against the model it came from, on random images."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import Array
from pysnn_hw.ir.ann import AnnGraph, evaluate

Reference = Callable[[Array], Array]
"""The source model: float32 (batch, C, H, W) images to (batch, classes)."""


@dataclass(frozen=True)
class ImportedModel:
    """An imported graph and how far it is from its source.

    Attributes
    ----------
    graph
        The network.
    max_abs_difference
        Largest difference of any output on the random images.
    max_relative_difference
        The same relative to the largest output of that image.
    images
        How many random images were compared.

    """

    graph: AnnGraph
    max_abs_difference: float
    max_relative_difference: float
    images: int


def compare(
    graph: AnnGraph, reference: Reference, *, batch: int, tolerance: float, where: str
) -> ImportedModel:
    """Evaluate both on the same images; ModelError if they differ by more than ``tolerance``.

    Images are drawn as networks take them: normalised, 0..1 and 0..255.
    """
    rng = np.random.default_rng(0)
    shape = (batch, *graph.input.shape)
    drawn = (rng.standard_normal(shape), rng.random(shape), 255 * rng.random(shape))
    absolute, relative, images = 0.0, 0.0, 0
    for x in (x.astype(np.float32) for x in drawn):
        with np.errstate(all="ignore"):
            got, _ = evaluate(graph, x.astype(np.float64))
        wanted = _run(reference, x, where)
        if wanted.shape[0] != batch or wanted.size != got.size:
            raise ModelError(where, f"gives an output {wanted.shape}, the imported one {got.shape}")
        wanted = wanted.reshape(got.shape)
        if not np.isfinite(wanted).all() or not np.isfinite(got).all():
            raise ModelError(where, "computes NaN or infinity on random images")
        difference = np.abs(got - wanted).max(axis=1)
        # Below 1e-6 the largest output says nothing about the scale of the network.
        scale = np.maximum(np.abs(wanted).max(axis=1), 1e-6)
        absolute = max(absolute, float(difference.max()))
        relative = max(relative, float((difference / scale).max()))
        images += batch
    if relative > tolerance:
        raise ModelError(
            where,
            f"the imported network differs from it by {relative:.3g} (relative), "
            f"more than {tolerance:.3g}",
            "please report the model: a layer was not understood",
        )
    return ImportedModel(graph, absolute, relative, images)


def _run(reference: Reference, x: Array, where: str) -> Array:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return np.asarray(reference(x), dtype=np.float64)
        # The source model runs inside its own framework, which may raise anything.
        except Exception as error:
            problem = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelError(where, f"cannot be evaluated: {problem[0][:200]}") from error
