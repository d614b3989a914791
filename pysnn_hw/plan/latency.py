# SPDX-License-Identifier: BSD-2-Clause
"""Pipeline depths that hardware and timing model must agree on."""

from __future__ import annotations

from dataclasses import replace

from pysnn_hw.ir.snn import FixedNetwork, Neuron, Population, Projection
from pysnn_hw.plan.layers import LayerProgram
from pysnn_hw.plan.schedule import CorePlan, Schedule, port_geometry


def value_bits(value_range: tuple[int, int]) -> int:
    """Width of an event's value: unsigned if the range has no negative value, else signed."""
    lo, hi = value_range
    if lo < 0:
        return max((-lo - 1).bit_length(), max(hi, 0).bit_length()) + 1
    return max(1, hi.bit_length())


def lane_latency(kind: str, bits: int) -> int:
    """Cycles from operands to product for values of so many bits.

    A multiplier of adders sums the partial products pairwise, one level a cycle; a hardware
    multiplier has a register on either side, and one more where its products are taken apart.
    """
    if kind == "dsp":
        return 3
    return max(1, (bits - 1).bit_length()) if kind == "lut" else 1


def membrane_lead(*, far: bool = False) -> int:
    """Cycles from a step's address to its addends, see `MembraneBank`."""
    return 2 + far


def membrane_hazard(*, far: bool = False) -> int:
    """Cycles from a step's address until its sum is certainly read, see `MembraneBank`."""
    return membrane_lead(far=far) + 2


def fire_latency(population: Population, *, clamp: bool) -> int:
    """Stages from a charged membrane to its spike.

    One per bit of the largest spike. Signed and strict neurons need one before that, to make the
    comparison a positive ``>=``, and with hard reset one after it, to undo that or to reset.
    """
    folds = neuron_folds(population.neuron)
    unfolds = folds or population.neuron.reset == "hard"
    return population.spike_max.bit_length() + folds + unfolds + clamp


def neuron_folds(neuron: Neuron) -> bool:
    """Whether a neuron compares something else than its membrane: magnitudes, or one less."""
    return neuron.polarity != "positive" or neuron.strict


def port_value_range(
    net: FixedNetwork, schedule: Schedule, projection: Projection
) -> tuple[int, int]:
    """Range of the values in the events of a projection (one spike each if re-addressed)."""
    lo, hi = net.value_range(projection)
    geometry = port_geometry(net, schedule, projection.name)
    if geometry.readdressed and projection.pool is not None:
        window = projection.pool.kernel[0] * projection.pool.kernel[1]
        lo, hi = lo // window, hi // window
    return lo, hi


def core_value_range(net: FixedNetwork, schedule: Schedule, core: CorePlan) -> tuple[int, int]:
    """Range of the values that the lanes of a core see."""
    incoming = [next(p for p in net.projections if p.name == i.projection) for i in core.inputs]
    ranges = [port_value_range(net, schedule, p) for p in incoming]
    return min(lo for lo, _ in ranges), max(hi for _, hi in ranges)


SHARED_WEIGHTS = 5
"""Cycles from an address to its weights in a shared core, see `DeepWeightMemory`."""

SHARED_SPIKES = 3
"""Cycles from an address to its word of spikes in a shared core, see `SpikeReader`."""


def shared_scan_depth(program: LayerProgram) -> int:
    """Cycles from letting a word in to having fired it: `LayerScan` to *emit* of `SharedCore`."""
    population = program.layers[0].population
    adds = any(run.residual is not None for run in program.layers)
    product = lane_latency("lut", value_bits(program.spike_range)) if adds else 1
    top = max((run.population for run in program.layers), key=lambda p: p.spike_max)
    fire = fire_latency(replace(population, spike_max=top.spike_max), clamp=False)
    return 1 + 1 + 2 + product + 2 + fire + 1


QUEUED_WORDS = 32
"""Words that may wait between the fire pipeline of a shared core and its serializer."""


def scanned_below(program: LayerProgram) -> int:
    """Words waiting to be sent below which a shared core lets another one into its pipeline.

    The last scanned words are still on their way; see `WordQueue`.
    """
    return QUEUED_WORDS - 2 - (shared_scan_depth(program) + 1)
