# SPDX-License-Identifier: BSD-2-Clause
"""From a trained network to a spiking one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from pysnn_hw.convert.calibrate import CALIBRATIONS, Calibration, thresholds
from pysnn_hw.convert.correction import correct_biases, correction_images, mean_activations
from pysnn_hw.convert.float_sim import BATCH
from pysnn_hw.convert.lower import lower
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.convert.qcfs import Training, finetune
from pysnn_hw.convert.rate import rate_network, with_hard_reset
from pysnn_hw.convert.sample import sample_activations
from pysnn_hw.convert.signed import signed_network
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.ann import AnnGraph, evaluate
from pysnn_hw.ir.check import check_network
from pysnn_hw.ir.snn import Array, SnnNetwork
from pysnn_hw.progress import Progress, silent

Method = Literal["rate", "signed", "qcfs"]
METHODS: tuple[Method, ...] = get_args(Method)
Reset = Literal["soft", "hard"]
RESETS: tuple[Reset, ...] = get_args(Reset)
MAX_TIMESTEPS = 1 << 12
MAX_LEVELS = 8


def convert(
    graph: AnnGraph,
    images: Array,
    *,
    timesteps: int = 1,
    levels: int = 4,
    method: Method = "rate",
    calibration: Calibration = "mse",
    per_channel: bool = True,
    percentile: float = 99.9,
    reset: Reset = "soft",
    bias_correction: bool = True,
    training: Training | None = None,
    preprocessing: Preprocessing | None = None,
    progress: Progress = silent,
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
    method
        ``rate``: spikes of T steps, times the threshold, stand for the activation. ``signed``: the
        same with neurons that can take spikes back (`signed_network`). ``qcfs``: ``rate``, then
        weights and thresholds are trained on the images at the activation that spikes compute
        (`qcfs.finetune`); wants thousands of images, and T = 1.
    calibration, per_channel, percentile
        How thresholds are chosen, see `calibrate.thresholds`.
    reset
        ``soft`` subtracts what was fired, ``hard`` goes back to zero and loses the rest.
    bias_correction
        Let biases make up for what channels lose on average (`correct_biases`).
    training
        Of method ``qcfs``.
    preprocessing
        From raw integers to the model's input; by default division by 255.
    progress
        Told how far the training is.

    Raises
    ------
    ModelError
        An option is out of range or a layer has no spiking equivalent.
    DataError
        The images do not fit the model, or an activation is NaN or infinite.
    """
    _check_options(timesteps, levels, method, calibration, percentile, reset)
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
    if reset == "hard":
        net = with_hard_reset(net)
    if method == "signed":
        net = signed_network(net)
    check_network(net)
    if bias_correction:
        some = images[:: max(1, len(images) // correction_images(timesteps))]
        targets = mean_activations(graph, absorbed.apply(some), [p.name for p in net.populations])
        net = correct_biases(net, targets, some)
    if method == "qcfs":
        net = finetune(net, images, _scores(graph, absorbed, images), training, progress=progress)
    return replace(
        net,
        provenance={
            "method": method,
            "levels": levels,
            "reset": reset,
            "bias_correction": bias_correction,
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


def _scores(graph: AnnGraph, preprocessing: Preprocessing, images: Array) -> Array:
    """What the trained network says to raw images, (N, classes)."""
    parts = [
        evaluate(graph, preprocessing.apply(images[k : k + BATCH]))[0]
        for k in range(0, len(images), BATCH)
    ]
    return np.concatenate(parts).reshape(len(images), -1)


def _check_options(
    timesteps: int,
    levels: int,
    method: Method,
    calibration: Calibration,
    percentile: float,
    reset: Reset,
) -> None:
    if not 1 <= timesteps <= MAX_TIMESTEPS:
        raise ModelError("timesteps", f"must be 1..{MAX_TIMESTEPS}, not {timesteps}")
    if not 1 <= levels <= MAX_LEVELS:
        raise ModelError("levels", f"must be 1..{MAX_LEVELS} bits, not {levels}")
    if method not in METHODS:
        raise ModelError("method", f"{method!r} is unknown", f"use {', '.join(METHODS)}")
    if method == "qcfs" and (timesteps > 1 or reset == "hard"):
        raise ModelError("method", "qcfs is for one timestep and soft reset", "use rate or signed")
    if reset not in RESETS:
        raise ModelError("reset", f"{reset!r} is unknown", f"use {' or '.join(RESETS)}")
    if calibration not in CALIBRATIONS:
        raise ModelError(
            "calibration", f"{calibration!r} is unknown", f"use {', '.join(CALIBRATIONS)}"
        )
    if not 0 < percentile <= 100:
        raise ModelError("percentile", f"must be in 0..100, not {percentile}")
