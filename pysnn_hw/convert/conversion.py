# SPDX-License-Identifier: BSD-2-Clause
"""From a trained network to a spiking one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pysnn_hw.convert.calibrate import Calibration, thresholds
from pysnn_hw.convert.correction import correct_biases, correction_images, mean_activations
from pysnn_hw.convert.cos import cos_network
from pysnn_hw.convert.ecc import share_scales
from pysnn_hw.convert.encoding import SEED, with_bernoulli_input
from pysnn_hw.convert.float_sim import BATCH
from pysnn_hw.convert.gate import with_gates
from pysnn_hw.convert.hybrid.balance import balanced_network
from pysnn_hw.convert.hybrid.method import trained_through_time
from pysnn_hw.convert.hybrid.training import HybridTraining
from pysnn_hw.convert.keep_batchnorm import keep_batchnorm
from pysnn_hw.convert.lower import lower
from pysnn_hw.convert.prepare import prepare, with_batchnorm
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.convert.qcfs import Training, finetune
from pysnn_hw.convert.rate import rate_network, with_hard_reset
from pysnn_hw.convert.readout import (
    count_readout,
    first_spike_readout,
    sampled_readout,
    with_early_exit,
)
from pysnn_hw.convert.recipe import (
    BatchNormForm,
    Encoding,
    MaxPooling,
    Method,
    Reading,
    Recipe,
    Reset,
)
from pysnn_hw.convert.sample import Sample, sample_activations
from pysnn_hw.convert.signed import signed_network
from pysnn_hw.convert.skeleton import Layer, Skeleton
from pysnn_hw.convert.srp import srp_network
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.ann import AnnGraph, evaluate
from pysnn_hw.ir.check import check_network
from pysnn_hw.ir.snn import PLAIN, Array, SnnNetwork
from pysnn_hw.progress import Progress, silent

READOUT_IMAGES = 256
"""Images that the threshold of a firing last layer is chosen on."""

START_IMAGES = 1000
"""Images that thresholds are chosen on where training goes on from them."""


def convert(
    graph: AnnGraph,
    images: Array,
    *,
    timesteps: int = 1,
    levels: int = 4,
    counts: int | None = None,
    method: Method = "rate",
    calibration: Calibration | None = None,
    per_channel: bool | None = None,
    percentile: float = 99.9,
    tau: float = 0.5,
    reset: Reset = "soft",
    batchnorm: BatchNormForm = "folded",
    bias_correction: bool = True,
    probe: int = 4,
    max_pool: MaxPooling = "running",
    encoding: Encoding = "constant",
    seed: int = SEED,
    readout: Reading = "potential",
    early_exit: float = 0.0,
    training: Training | HybridTraining | None = None,
    labels: Array | None = None,
    samples: Mapping[str, Sample] | None = None,
    preprocessing: Preprocessing | None = None,
    progress: Progress = silent,
) -> SnnNetwork:
    """Convert ``graph`` to integrate-and-fire neurons.

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
    counts
        Largest value of one spike, 1..255, in place of ``levels``: with T = 1, counts of so many
        timesteps in one.
    method
        ``rate``: spikes of T steps, times the threshold, stand for the activation. ``ecc``: the
        same with one threshold per layer, and per group of layers that meet in a sum, at the
        largest activation (`ecc.share_scales`). ``signed``: with neurons that can take spikes back
        (`signed_network`). ``srp`` and ``cos``: after a short first run, neurons that fired too
        early stay silent, or start a threshold off (`srp`, `cos`). ``qcfs``: ``rate``, then weights
        and thresholds are trained on the images at the activation that spikes compute
        (`qcfs.finetune`); wants thousands of images, and T = 1. ``hybrid``: thresholds are balanced
        on single steps, unless a calibration is given; then the spiking network itself is trained
        through time (`hybrid`); wants binary spikes and thousands of images.
    calibration, per_channel, percentile
        How thresholds are chosen, see `calibrate.thresholds`; by default by ``mse`` per channel,
        for ``ecc`` by ``max`` per layer, for ``hybrid`` by balancing.
    tau
        v(0) as a share of the threshold, 0..1: a half rounds, 0 loses what is left over.
    reset
        ``soft`` subtracts what was fired, ``hard`` goes back to zero and loses the rest.
    batchnorm
        ``folded`` into weights and biases, or ``kept`` in thresholds and biases
        (`keep_batchnorm`): the same spikes from weights as they were trained.
    bias_correction
        Let biases make up for what channels lose on average (`correct_biases`).
    probe
        Timesteps of the first run of ``srp`` and ``cos``.
    max_pool
        ``running``: the running maximum, which is exact. ``gate``: see `with_gates`.
    encoding
        ``constant``: the image itself in every timestep. ``bernoulli``: random spikes, see
        `with_bernoulli_input`.
    seed
        Of ``bernoulli``, and of readout ``sampled``.
    readout
        How the class is read: from the ``potential`` of the last layer, the ``count`` of its
        spikes, its ``first`` spike, or ``sampled`` from the softmax of the potentials (`readout`).
    early_exit
        If positive, stop once scores are far enough apart, such that at least this share of the
        calibration images keep their class (`with_early_exit`).
    training
        Of methods ``qcfs`` (a `Training`) and ``hybrid`` (a `HybridTraining`).
    labels
        Classes of the images, integers (N,), that ``hybrid`` teaches; without them it teaches what
        the trained network says.
    samples
        What `sample` gives for the same graph, images and preprocessing: whoever converts often
        need not sample often.
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
    recipe = Recipe(
        timesteps=timesteps,
        levels=levels,
        counts=counts,
        method=method,
        calibration=calibration,
        per_channel=per_channel,
        percentile=percentile,
        tau=tau,
        reset=reset,
        batchnorm=batchnorm,
        bias_correction=bias_correction,
        probe=probe,
        max_pool=max_pool,
        encoding=encoding,
        seed=seed,
        readout=readout,
        early_exit=early_exit,
    )
    _check_training(method, training)
    given = preprocessing or Preprocessing()
    given.check(images, graph.input.shape)
    prepared, absorbed = prepare(graph, given)
    skeleton = lower(prepared)
    if recipe.balances:
        net = balanced_network(
            skeleton,
            absorbed,
            images,
            timesteps=timesteps,
            tau=tau,
            seed=seed if encoding == "bernoulli" else None,
            training=training if isinstance(training, HybridTraining) else HybridTraining(),
            progress=progress,
        )
    else:
        if samples is None:
            some = _spread(images, START_IMAGES) if method == "qcfs" else images
            samples = sample_activations(prepared, absorbed.apply(some), _fires(skeleton))
        net = rate_network(
            skeleton,
            _thresholds(skeleton, samples, recipe),
            absorbed,
            timesteps=timesteps,
            spike_max=recipe.spike_max,
            tau=tau,
        )
        net = _with_neurons(net, recipe)
    check_network(net)
    if bias_correction and not recipe.balances:
        some = _spread(images, correction_images(timesteps))
        names = [p.name for p in net.populations]
        net = correct_biases(net, mean_activations(prepared, absorbed.apply(some), names), some)
    if method == "qcfs":
        scores = _scores(prepared, absorbed, images)
        chosen = training if isinstance(training, Training) else None
        net = finetune(net, images, scores, chosen, progress=progress)
    if method == "hybrid":
        if labels is None:
            labels = _probabilities(_scores(prepared, absorbed, images))
        ours = training if isinstance(training, HybridTraining) else None
        net = trained_through_time(net, images, labels, ours, progress=progress)
    if batchnorm == "kept":
        unfolded, _ = with_batchnorm(graph, given)
        net = keep_batchnorm(net, unfolded, 1 / (absorbed.scale * absorbed.std[0]))
    net = _read(net, images, recipe)
    return replace(net, provenance={**net.provenance, **_provenance(recipe, given, len(images))})


def _spread(images: Array, count: int) -> Array:
    """About so many of the images, at least, spread evenly over them."""
    return images[:: max(1, len(images) // count)]


def _with_neurons(net: SnnNetwork, recipe: Recipe) -> SnnNetwork:
    """A rate-coded ``net`` with the neurons, the pooling and the input that were asked for."""
    if recipe.reset == "hard":
        net = with_hard_reset(net)
    match recipe.method:
        case "signed":
            net = signed_network(net)
        case "srp":
            net = srp_network(net, recipe.probe)
        case "cos":
            net = cos_network(net, recipe.probe)
    if recipe.max_pool == "gate":
        net = with_gates(net)
    if recipe.encoding == "bernoulli":
        net = with_bernoulli_input(net, recipe.seed)
    return net


def _read(net: SnnNetwork, images: Array, recipe: Recipe) -> SnnNetwork:
    """``net`` with the readout that was asked for."""
    if recipe.readout in ("count", "first"):
        net = count_readout(
            net,
            _spread(images, READOUT_IMAGES),
            calibration=recipe.chosen_calibration,
            spike_max=recipe.spike_max,
            percentile=recipe.percentile,
            tau=recipe.tau,
            neuron=PLAIN if recipe.readout == "first" else net.populations[0].neuron,
        )
    if recipe.readout == "first":
        net = first_spike_readout(net)
    if recipe.readout == "sampled":
        net = sampled_readout(net, recipe.seed)
    check_network(net)
    return with_early_exit(net, images, recipe.early_exit) if recipe.early_exit else net


def _check_training(method: Method, training: Training | HybridTraining | None) -> None:
    wanted = {"qcfs": Training, "hybrid": HybridTraining}.get(method)
    if training is not None and (wanted is None or not isinstance(training, wanted)):
        other = type(training).__name__
        raise ModelError("training", f"is a {other}, which is not of method {method!r}")


def sample(
    graph: AnnGraph, images: Array, preprocessing: Preprocessing | None = None
) -> dict[str, Sample]:
    """Activations of every layer that will fire, as `convert` looks at them for thresholds.

    Parameters as of `convert`.
    """
    given = preprocessing or Preprocessing()
    given.check(images, graph.input.shape)
    prepared, absorbed = prepare(graph, given)
    return sample_activations(prepared, absorbed.apply(images), _fires(lower(prepared)))


def _fires(skeleton: Skeleton) -> dict[str, Layer]:
    return {layer.name: layer for layer in skeleton.layers if layer.kind == "fire"}


def _thresholds(
    skeleton: Skeleton, samples: Mapping[str, Sample], recipe: Recipe
) -> Mapping[str, Array]:
    """Thresholds of all fire populations."""
    found: Mapping[str, Array] = {
        name: thresholds(
            samples[name],
            recipe.chosen_calibration,
            timesteps=recipe.timesteps,
            spike_max=recipe.spike_max,
            per_channel=recipe.thresholds_per_channel,
            percentile=recipe.percentile,
            tau=recipe.tau,
            ceiling=layer.ceiling,
        )
        for name, layer in _fires(skeleton).items()
    }
    return share_scales(skeleton, found) if recipe.method == "ecc" else found


def _provenance(recipe: Recipe, preprocessing: Preprocessing, images: int) -> dict[str, object]:
    return {
        **recipe.to_json(),
        "calibration_images": images,
        "preprocessing": {
            "scale": preprocessing.scale,
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
        },
    }


def _scores(graph: AnnGraph, preprocessing: Preprocessing, images: Array) -> Array:
    """What the trained network says to raw images, (N, classes)."""
    parts = [
        evaluate(graph, preprocessing.apply(images[k : k + BATCH]))[0]
        for k in range(0, len(images), BATCH)
    ]
    return np.concatenate(parts).reshape(len(images), -1)


def _probabilities(scores: Array) -> Array:
    """Softmax of scores (N, classes)."""
    raised = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True), np.float32)
