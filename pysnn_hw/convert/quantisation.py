# SPDX-License-Identifier: BSD-2-Clause
"""From real numbers to the integers of a ``.snn`` file."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pysnn_hw.convert.moments import Moments, input_moments
from pysnn_hw.convert.preprocessing import check_images
from pysnn_hw.convert.rounding import round_nearest, round_with_feedback
from pysnn_hw.convert.steps import channel_steps, shared_step
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.check import check_fixed, check_network
from pysnn_hw.ir.snn import Array, FixedNetwork, Population, Projection, Readout, SnnNetwork
from pysnn_hw.ir.widths import post_fire_interval

MIN_BITS, MAX_BITS = 2, 8
IDENTITY_LIMIT = 127
"""Largest weight of an identity projection: the file's limit, whatever ``weight_bits``."""


WeightBits = int | Mapping[str, int]
"""Of all weights, or of those into each population, by its name; others get `MAX_BITS`."""


def quantize(
    net: SnnNetwork, weight_bits: WeightBits = 8, images: Array | None = None
) -> FixedNetwork:
    """Round a float network to integers: symmetric weights, one step per output channel.

    Parameters
    ----------
    net
        As `convert` returns it.
    weight_bits
        2..8: weights of convolutions and linear layers become
        ``-(2**(bits - 1) - 1) .. 2**(bits - 1) - 1``. One figure for all, or one per population
        where they end (as `pysnn_hw.plan` proposes for networks that do not fit).
    images
        Calibration images, raw integers (N, C, H, W), from the training set. With them, weights are
        rounded so that errors cancel on real inputs (`rounding.round_with_feedback`), and biases
        make up for the mean of what is left. Without, each weight goes to the
        nearest integer. At 8 bits both are alike; at 4 and fewer the images are worth it.

    Returns
    -------
    FixedNetwork
        Bias, threshold and v_init are in units of the channel's step. Thresholds are exact; v_init
        is ``floor(tau * threshold)`` where it was a share tau of it, 0..1. Identity projections
        hold a single weight per channel, always of 8 bits, so that they do not coarsen the step
        that they share with the convolution beside them. ``v_min`` and ``v_max`` are the proven
        range of the membrane, so they never act. ``provenance["warnings"]`` names populations whose
        thresholds are so small an integer that rounded biases matter.

    Raises
    ------
    ModelError
        ``weight_bits`` is out of range, or names a population that there is not.
    DataError
        The images do not fit the network.
    NetworkError
        ``net`` is malformed, or a membrane would need more bits than a file may hold.
    """
    check_weight_bits(net, weight_bits)
    check_network(net)
    if images is not None:
        check_images(images, net.input.shape, net.input.minimum, net.input.maximum)
    moments = {} if images is None else input_moments(net, images)
    steps = population_steps(net, weight_bits, moments)
    projections = tuple(
        _projection(p, steps[p.target], bits_into(weight_bits, p.target), moments.get(p.name))
        for p in net.projections
    )
    if moments:
        net = _corrected(net, projections, steps, moments)
    fixed = FixedNetwork(
        net.timesteps,
        net.input,
        tuple(_population(p, steps[p.name]) for p in net.populations),
        projections,
        _readout(net.readout, steps[net.populations[-1].name]),
        {
            **net.provenance,
            "weight_bits": weight_bits if isinstance(weight_bits, int) else dict(weight_bits),
            "calibrated_rounding": bool(moments),
        },
        net.probe,
    )
    biased = {p.name for p in net.populations if p.bias.any()}
    fixed = with_warnings(with_ranges(fixed), biased)
    check_fixed(fixed)
    return fixed


def bits_into(weight_bits: WeightBits, population: str) -> int:
    """Width of the weights into a population."""
    if isinstance(weight_bits, int):
        return weight_bits
    return weight_bits.get(population, MAX_BITS)


def check_weight_bits(net: SnnNetwork, weight_bits: WeightBits) -> None:
    """Whether `quantize` will take these widths.

    Raises
    ------
    ModelError
        If a width is out of range, or a population is named that there is not.
    """
    given = {"": weight_bits} if isinstance(weight_bits, int) else weight_bits
    unknown = set(given) - {"", *(p.name for p in net.populations)}
    if unknown:
        raise ModelError(
            "weight_bits",
            f"names {sorted(unknown)[0]!r}, which is no population",
            f"there are: {', '.join(p.name for p in net.populations)}",
        )
    for bits in given.values():
        if not MIN_BITS <= bits <= MAX_BITS:
            raise ModelError("weight_bits", f"must be {MIN_BITS}..{MAX_BITS}, not {bits}")


def population_steps(
    net: SnnNetwork, weight_bits: WeightBits, moments: Mapping[str, Moments] | None = None
) -> dict[str, Array]:
    """Step of each population's channels, float64 (C,), or (1,) for the readout.

    With ``moments`` of the inputs, by projection, weights count as much as their input's energy.
    """
    return {
        p.name: _steps(net, p, bits_into(weight_bits, p.name), moments or {})
        for p in net.populations
    }


def with_ranges(net: FixedNetwork) -> FixedNetwork:
    """``net`` whose clamps are the proven membrane ranges."""

    def ranged(population: Population) -> Population:
        if population.kind == "readout":
            return population
        low, high = post_fire_interval(net, population.name)
        return replace(population, v_min=int(low.min()), v_max=int(high.max()))

    return replace(net, populations=tuple(ranged(p) for p in net.populations))


def with_warnings(net: FixedNetwork, biased: Collection[str]) -> FixedNetwork:
    """``net`` with a sentence in its provenance for each population of too coarse a threshold.

    Those without a bias, which are not ``biased``, have none to round.
    """
    needed = 4 * net.timesteps
    coarse = [
        f"{p.name}: smallest threshold {int(p.threshold.min())} is below 4 T = {needed}; rounded "
        "biases may cost accuracy, more weight bits or fewer timesteps help"
        for p in net.populations
        if p.kind == "fire" and p.name in biased and p.threshold.min() < needed
    ]
    return replace(net, provenance={**net.provenance, "warnings": coarse})


def _steps(
    net: SnnNetwork, population: Population, weight_bits: int, moments: Mapping[str, Moments]
) -> Array:
    into = net.into(population.name)
    dense = [p for p in into if p.kind != "identity"]
    skips = [p for p in into if p.kind == "identity"]
    importance = None
    if moments:
        importance = _beside([_importance(p, moments[p.name]) for p in dense], population)
    weights = _beside([_rows(p) for p in dense], population)
    largest_skip = np.abs(_beside([_rows(p) for p in skips], population)).max(axis=1, initial=0.0)
    least = largest_skip / IDENTITY_LIMIT
    if population.kind == "readout" and net.readout.mode == "count":
        return np.ones(1)  # its one weight is 1 and stays it
    if population.kind == "readout":
        return shared_step(weights, weight_bits, float(least.max()), importance)
    thresholds = population.per_channel("threshold")
    return channel_steps(weights, thresholds, weight_bits, least, importance)


def _beside(rows: Sequence[Array], population: Population) -> Array:
    return np.concatenate([np.empty((population.channels, 0)), *rows], axis=1)


def _rows(projection: Projection) -> Array:
    return projection.weight.reshape(len(projection.weight), -1)


def _importance(projection: Projection, moments: Moments) -> Array:
    """Energy of each weight's input, (C_out, K)."""
    groups = len(moments.mean)
    return np.repeat(moments.squares, len(projection.weight) // groups, axis=0)


def _projection(
    projection: Projection, step: Array, weight_bits: int, moments: Moments | None
) -> Projection:
    rows = _rows(projection) / step[:, None]
    if projection.kind == "identity":
        rounded = round_nearest(rows, IDENTITY_LIMIT)
    elif moments is None or moments.second.ndim == 2:
        rounded = round_nearest(rows, 2 ** (weight_bits - 1) - 1)
    else:
        rounded = round_with_feedback(rows, 2 ** (weight_bits - 1) - 1, moments)
    return replace(projection, weight=rounded.astype(np.int64).reshape(projection.weight.shape))


def _corrected(
    net: SnnNetwork,
    projections: Sequence[Projection],
    steps: Mapping[str, Array],
    moments: Mapping[str, Moments],
) -> SnnNetwork:
    """``net`` with biases that make up for the mean current which rounded weights have lost."""
    lost: dict[str, Array] = {}
    for p, rounded in zip(net.projections, projections, strict=True):
        difference = _rows(p) - _rows(rounded) * steps[p.target][:, None]
        mean = moments[p.name].mean
        mean = np.repeat(mean, len(difference) // len(mean), axis=0)
        lost[p.target] = lost.get(p.target, 0.0) + (difference * mean).sum(axis=1)
    populations = tuple(replace(p, bias=p.bias + lost[p.name]) for p in net.populations)
    return replace(net, populations=populations)


def _population(population: Population, step: Array) -> Population:
    bias = whole(population.bias / step)
    if population.kind == "readout":
        return replace(
            population,
            bias=bias,
            threshold=np.empty(0, np.int64),
            v_init=whole(population.v_init / step),
        )
    threshold = np.maximum(1, whole(population.threshold / step))
    v_init = _start(population, threshold, step)
    return replace(population, bias=bias, threshold=threshold, v_init=v_init)


def _readout(readout: Readout, step: Array) -> Readout:
    """``readout`` whose margin and noise are in whole steps of the scores."""
    margin = math.ceil(readout.margin / step[0]) if readout.margin else 0
    noise = tuple(int(value) for value in whole(np.array(readout.noise, np.float64) / step[0]))
    return replace(readout, margin=margin, noise=noise)


def _start(population: Population, threshold: Array, step: Array) -> Array:
    """Initial membranes in integers: a share of the threshold, rounded down, up to the threshold.

    Rounding down keeps half a threshold what it is in shifts; others go to the nearest integer.
    """
    real = population.v_init
    if real.ndim == 3:
        threshold, step = threshold.reshape(-1, 1, 1), step.reshape(-1, 1, 1)
        share = real / population.threshold.reshape(-1, 1, 1)
    else:
        share = real / population.threshold
    part = np.floor(share * threshold * (1 + 1e-9)).astype(np.int64)
    return np.where((share >= 0) & (share <= 1 + 1e-9), part, whole(real / step))


def whole(values: Array) -> Array:
    """``values`` rounded to int64, halves to even."""
    return np.rint(values).astype(np.int64)
