# SPDX-License-Identifier: BSD-2-Clause
"""Networks whose numbers are whole multiples of a power of two: integers without rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pysnn_hw.convert.quantisation import IDENTITY_LIMIT, MAX_BITS, with_ranges
from pysnn_hw.ir.check import PARAMETER_RANGE, check_fixed, check_network
from pysnn_hw.ir.snn import Array, FixedNetwork, Population, SnnNetwork

COARSEST, FINEST = -8, 20
"""Binary places that are tried."""


def as_integers(net: SnnNetwork, weight_bits: int = MAX_BITS) -> FixedNetwork | None:
    """``net`` in integers that compute exactly the same spikes, or None if rounding is needed.

    All that flows into a channel (into all channels of a readout, whose scores are compared) is
    multiplied by the smallest power of two that makes it whole. Leaking membranes never stay
    whole, so a network with a leak is none of these.

    Raises
    ------
    NetworkError
        ``net`` is malformed, or a membrane would need more bits than a file may hold.
    """
    check_network(net)
    if any(p.neuron.leak for p in net.populations):
        return None
    units = {p.name: _units(net, p, weight_bits) for p in net.populations}
    found = {name: unit for name, unit in units.items() if unit is not None}
    if len(found) < len(units):
        return None
    fixed = FixedNetwork(
        net.timesteps,
        net.input,
        tuple(_scaled(p, found[p.name]) for p in net.populations),
        tuple(replace(p, weight=_whole(p.weight, found[p.target])) for p in net.projections),
        net.readout,
        {**net.provenance, "weight_bits": weight_bits, "rounded": False},
        net.probe,
    )
    fixed = with_ranges(fixed)
    check_fixed(fixed)
    return fixed


def _units(net: SnnNetwork, population: Population, weight_bits: int) -> Array | None:
    """What each channel is multiplied by, (C,)."""
    into = net.into(population.name)
    count = population.channels
    parameters = _rows([population.bias, population.threshold, population.v_init], count)
    dense = _rows([p.weight for p in into if p.kind != "identity"], count)
    skips = _rows([p.weight for p in into if p.kind == "identity"], count)
    if population.kind == "readout":
        parameters, dense, skips = (rows.reshape(1, -1) for rows in (parameters, dense, skips))
    rows = np.concatenate([parameters, dense, skips], axis=1)
    powers = 2.0 ** np.arange(COARSEST, FINEST + 1)
    whole = np.array([(rows * power % 1 == 0).all(axis=1) for power in powers])
    if not whole.any(axis=0).all():
        return None
    unit = powers[whole.argmax(axis=0)]
    limits = (
        (parameters, PARAMETER_RANGE[1]),
        (dense, 2 ** (weight_bits - 1) - 1),
        (skips, IDENTITY_LIMIT),
    )
    if any((np.abs(values) * unit[:, None] > limit).any() for values, limit in limits):
        return None
    return np.broadcast_to(unit, (count,))


def _rows(arrays: Sequence[Array], channels: int) -> Array:
    """The values of each channel, (C, K)."""
    spread = [np.broadcast_to(a, (channels,)) if a.shape == (1,) else a for a in arrays if a.size]
    parts = [values.reshape(channels, -1) for values in spread]
    return np.concatenate([np.empty((channels, 0)), *parts], axis=1)


def _scaled(population: Population, unit: Array) -> Population:
    arrays: dict[str, Any] = {"threshold": np.zeros(0, np.int64)}
    for name in ("bias", "v_init") + (("threshold",) if population.kind == "fire" else ()):
        values: Array = getattr(population, name)
        spread = values if values.ndim == 3 else np.broadcast_to(values, unit.shape)
        arrays[name] = _whole(spread, unit)
    return replace(population, **arrays)


def _whole(values: Array, unit: Array) -> Array:
    column = unit.reshape(-1, *[1] * (values.ndim - 1))
    return (values * column).astype(np.int64)
