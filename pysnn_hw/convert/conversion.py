# SPDX-License-Identifier: BSD-2-Clause
"""From a trained network to a spiking one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pysnn_hw.convert.calibrate import CALIBRATIONS, Calibration, thresholds
from pysnn_hw.convert.lower import lower
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.convert.rate import rate_network
from pysnn_hw.convert.sample import sample_activations
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.ann import AnnGraph
from pysnn_hw.ir.check import check_network
from pysnn_hw.ir.snn import Array, SnnNetwork

MAX_TIMESTEPS = 1 << 12
MAX_LEVELS = 8


def convert(
    graph: AnnGraph,
    images: Array,
    *,
    timesteps: int = 1,
    levels: int = 4,
    calibration: Calibration = "mse",
    per_channel: bool = True,
    percentile: float = 99.9,
    preprocessing: Preprocessing | None = None,
) -> SnnNetwork:
    """Convert ``graph`` to integrate-and-fire neurons with v(0) = theta / 2.

    Parameters
    ----------
    graph
        As the frontend imported it.
    images
        Calibration images: raw integers (N, C, H, W), from the training set.
    timesteps
        T, 1..4096. One step of graded spikes is a network with quantised activations.
    levels
        Bits n of one spike, 1..8: its value is 0..2**n - 1.
    calibration, per_channel, percentile
        How thresholds are chosen, see `calibrate.thresholds`.
    preprocessing
        From raw integers to the model's input; by default division by 255.

    Raises
    ------
    ModelError
        An option is out of range or a layer has no spiking equivalent.
    DataError
        The images do not fit the model, or an activation is NaN or infinite.
    """
    _check_options(timesteps, levels, calibration, percentile)
    given = preprocessing or Preprocessing()
    given.check(images, graph.input.shape)
    graph, absorbed = prepare(graph, given)
    skeleton = lower(graph)
    spike_max = 2**levels - 1
    fires = {layer.name: layer for layer in skeleton.layers if layer.kind == "fire"}
    samples = sample_activations(graph, absorbed.apply(images), fires)
    found: Mapping[str, Array] = {
        name: thresholds(
            samples[name],
            calibration,
            timesteps=timesteps,
            spike_max=spike_max,
            per_channel=per_channel,
            percentile=percentile,
            ceiling=layer.ceiling,
        )
        for name, layer in fires.items()
    }
    net = rate_network(skeleton, found, absorbed, timesteps=timesteps, spike_max=spike_max)
    check_network(net)
    return replace(
        net,
        provenance={
            "method": "rate",
            "levels": levels,
            "calibration": calibration,
            "per_channel": per_channel,
            **({"percentile": percentile} if calibration == "percentile" else {}),
            "calibration_images": len(images),
            "preprocessing": {
                "scale": given.scale,
                "mean": list(given.mean),
                "std": list(given.std),
            },
        },
    )


def _check_options(
    timesteps: int, levels: int, calibration: Calibration, percentile: float
) -> None:
    if not 1 <= timesteps <= MAX_TIMESTEPS:
        raise ModelError("timesteps", f"must be 1..{MAX_TIMESTEPS}, not {timesteps}")
    if not 1 <= levels <= MAX_LEVELS:
        raise ModelError("levels", f"must be 1..{MAX_LEVELS} bits, not {levels}")
    if calibration not in CALIBRATIONS:
        raise ModelError(
            "calibration", f"{calibration!r} is unknown", f"use {', '.join(CALIBRATIONS)}"
        )
    if not 0 < percentile <= 100:
        raise ModelError("percentile", f"must be in 0..100, not {percentile}")
