# SPDX-License-Identifier: BSD-2-Clause
"""From real numbers to the integers of a ``.snn`` file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pysnn_hw.convert.steps import channel_steps, shared_step
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.snn import Array, FixedNetwork, Population, Projection, SnnNetwork
from pysnn_hw.ir.widths import post_fire_interval

MIN_BITS, MAX_BITS = 2, 8


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
        is ``threshold // 2`` where it was half the threshold. Identity projections have a single
        weight per channel, which must match the step that the convolution beside them chose: it
        may need more bits than ``weight_bits``. ``v_min`` and ``v_max`` are the proven range of the
        membrane, so they never act. ``provenance["warnings"]`` names populations whose thresholds
        are so small an integer that rounded biases matter (methods.md, 1.5).

    Raises
    ------
    ModelError
        ``weight_bits`` is out of range or a parameter is not a number.
    """
    if not MIN_BITS <= weight_bits <= MAX_BITS:
        raise ModelError("weight_bits", f"must be {MIN_BITS}..{MAX_BITS}, not {weight_bits}")
    check_finite(net)
    steps = population_steps(net, weight_bits)
    return assemble(net, steps, weight_bits)


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


def check_finite(net: SnnNetwork) -> None:
    """Raise ModelError if any parameter of ``net`` is NaN or infinite, or a threshold not > 0."""
    arrays = [(p.name, "weight", p.weight) for p in net.projections]
    for p in net.populations:
        arrays += [(p.name, "bias", p.bias), (p.name, "v_init", p.v_init)]
        arrays += [(p.name, "threshold", p.threshold)]
        if not (p.threshold > 0).all():
            raise ModelError(p.name, "a threshold is not positive")
    for name, field, values in arrays:
        if not np.isfinite(values).all():
            raise ModelError(name, f"{field} holds NaN or infinity")


def _steps(net: SnnNetwork, population: Population, weight_bits: int) -> Array:
    rows = [_rows(p) for p in net.into(population.name) if p.kind != "identity"]
    if not rows:
        rows = [_rows(p) for p in net.into(population.name)]
    weights = np.concatenate(rows, axis=1)
    if population.kind == "readout":
        return shared_step(weights, weight_bits)
    return channel_steps(weights, population.per_channel("threshold"), weight_bits)


def _rows(projection: Projection) -> Array:
    return projection.weight.reshape(len(projection.weight), -1)


def _projection(projection: Projection, step: Array, weight_bits: int) -> Projection:
    limit = np.inf if projection.kind == "identity" else 2 ** (weight_bits - 1) - 1
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
