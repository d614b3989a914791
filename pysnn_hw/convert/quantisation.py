# SPDX-License-Identifier: BSD-2-Clause
"""From real numbers to the integers of a ``.snn`` file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pysnn_hw.convert.steps import channel_steps, shared_step
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.check import check_fixed, check_network
from pysnn_hw.ir.snn import Array, FixedNetwork, Population, Projection, SnnNetwork
from pysnn_hw.ir.widths import post_fire_interval

MIN_BITS, MAX_BITS = 2, 8
IDENTITY_LIMIT = 127
"""Largest weight of an identity projection: the file's limit, whatever ``weight_bits``."""


def quantize(net: SnnNetwork, weight_bits: int = 8) -> FixedNetwork:
    """Round a float network to integers: symmetric weights, one step per output channel.

    Parameters
    ----------
    net
        As `convert` returns it.
    weight_bits
        2..8: weights of convolutions and linear layers become
        ``-(2**(bits - 1) - 1) .. 2**(bits - 1) - 1``.

    Returns
    -------
    FixedNetwork
        Bias, threshold and v_init are in units of the channel's step. Thresholds are exact; v_init
        is ``threshold // 2`` where it was half the threshold. Identity projections hold a single
        weight per channel, always of 8 bits, so that they do not coarsen the step that they share
        with the convolution beside them. ``v_min`` and ``v_max`` are the proven range of the
        membrane, so they never act. ``provenance["warnings"]`` names populations whose thresholds
        are so small an integer that rounded biases matter (methods.md, 1.5).

    Raises
    ------
    ModelError
        ``weight_bits`` is out of range.
    NetworkError
        ``net`` is malformed, or a membrane would need more bits than a file may hold.
    """
    if not MIN_BITS <= weight_bits <= MAX_BITS:
        raise ModelError("weight_bits", f"must be {MIN_BITS}..{MAX_BITS}, not {weight_bits}")
    check_network(net)
    steps = population_steps(net, weight_bits)
    fixed = assemble(net, steps, weight_bits)
    check_fixed(fixed)
    return fixed


def population_steps(net: SnnNetwork, weight_bits: int) -> dict[str, Array]:
    """Step of each population's channels, float64 (C,), or (1,) for the readout."""
    return {p.name: _steps(net, p, weight_bits) for p in net.populations}


def assemble(net: SnnNetwork, steps: Mapping[str, Array], weight_bits: int) -> FixedNetwork:
    """Round every parameter of ``net`` to whole ``steps`` and prove the membrane ranges."""
    fixed = FixedNetwork(
        net.timesteps,
        net.input,
        tuple(_population(p, steps[p.name]) for p in net.populations),
        tuple(_projection(p, steps[p.target], weight_bits) for p in net.projections),
        net.readout,
        {**net.provenance, "weight_bits": weight_bits},
    )
    return with_warnings(with_ranges(fixed))


def with_ranges(net: FixedNetwork) -> FixedNetwork:
    """``net`` whose clamps are the proven membrane ranges."""

    def ranged(population: Population) -> Population:
        if population.kind == "readout":
            return population
        low, high = post_fire_interval(net, population.name)
        return replace(population, v_min=int(low.min()), v_max=int(high.max()))

    return replace(net, populations=tuple(ranged(p) for p in net.populations))


def with_warnings(net: FixedNetwork) -> FixedNetwork:
    """``net`` with a sentence in its provenance for each population of too coarse a threshold."""
    needed = 4 * net.timesteps
    coarse = [
        f"{p.name}: smallest threshold {int(p.threshold.min())} is below 4 T = {needed}; rounded "
        "biases may cost accuracy, more weight bits or fewer timesteps help"
        for p in net.populations
        if p.kind == "fire" and p.threshold.min() < needed
    ]
    return replace(net, provenance={**net.provenance, "warnings": coarse})


def _steps(net: SnnNetwork, population: Population, weight_bits: int) -> Array:
    into = net.into(population.name)
    dense = [_rows(p.weight) for p in into if p.kind != "identity"]
    identities = [_rows(p.weight) for p in into if p.kind == "identity"]
    if population.kind == "readout":
        # An identity is a row of the full matrix here: its step must suit all classes.
        return shared_step(np.concatenate(dense + identities, axis=1), weight_bits)
    channels = population.channels
    weights = np.concatenate([np.empty((channels, 0)), *dense], axis=1)
    skips = np.concatenate([np.empty((channels, 0)), *identities], axis=1)
    least = np.abs(skips).max(axis=1, initial=0.0) / IDENTITY_LIMIT
    return channel_steps(weights, population.per_channel("threshold"), weight_bits, least)


def _rows(weight: Array) -> Array:
    return weight.reshape(len(weight), -1)


def _projection(projection: Projection, step: Array, weight_bits: int) -> Projection:
    limit = IDENTITY_LIMIT if projection.kind == "identity" else 2 ** (weight_bits - 1) - 1
    unit = step.reshape(-1, *(1,) * (projection.weight.ndim - 1))
    return replace(projection, weight=whole(np.clip(projection.weight / unit, -limit, limit)))


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
    half = np.isclose(2 * population.v_init, population.threshold, rtol=1e-9, atol=0)
    v_init = np.where(half, threshold // 2, whole(population.v_init / step))
    return replace(population, bias=bias, threshold=threshold, v_init=v_init)


def whole(values: Array) -> Array:
    """``values`` rounded to int64, halves to even."""
    return np.rint(values).astype(np.int64)
