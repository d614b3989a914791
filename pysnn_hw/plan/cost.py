# SPDX-License-Identifier: BSD-2-Clause
"""What a core costs on a device: 4-input LUTs, flip-flops, memory blocks, multipliers.

The structure of each formula follows the component it describes (adders and multiplexers per bit
and lane); its few coefficients come from synthesis results, printed by ``scripts/bench_plan.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from pysnn_hw.ir.snn import FixedNetwork, Population
from pysnn_hw.ir.widths import clamps, longest_run, population_widths, signed_bits
from pysnn_hw.plan.geometry import ProjectionGeometry
from pysnn_hw.plan.latency import fire_latency
from pysnn_hw.plan.memory import SPRAM_SHAPE, Family, block_count
from pysnn_hw.plan.schedule import (
    CorePlan,
    Schedule,
    keeps_current,
    outgoing_pool,
    port_geometry,
    reads_each_step,
    reread_words,
    scan_geometry,
)


@dataclass(frozen=True)
class Cost:
    """Resources; they add up."""

    lut: float = 0.0
    ff: float = 0.0
    bram: int = 0
    dsp: int = 0
    spram: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def memory_cost(family: Family, kind: str, depth: int, width: int, *, rom: bool = False) -> Cost:
    """A memory with one read and one write port (or a ROM)."""
    if kind == "block":
        return Cost(bram=block_count(family, depth, width))
    if kind == "spram":
        return Cost(lut=24, spram=-(-depth // SPRAM_SHAPE[0]) * -(-width // SPRAM_SHAPE[1]))
    if rom:
        # A 4-input LUT per 16 bits, then a multiplexer tree; constants halve it on average.
        return Cost(lut=0.5 * width * max(1.0, depth / 16 * 1.6), ff=width)
    if family == "ice40":
        return Cost(lut=depth * width * 1.6, ff=depth * width)
    rows = -(-depth // 16)
    return Cost(lut=width * (rows + (rows - 1) * 0.6), ff=width)


_DSP_PRODUCT = {"ecp5": 9, "ice40": 11}
"""Narrower products than this are built of logic by yosys, whatever is asked for."""


def lane_cost(family: Family, kind: str, weight_bits: int, value_bits: int, signed: bool) -> Cost:
    """One lane: weight times value, registered."""
    product = weight_bits + value_bits
    if kind == "dsp":
        if product + (not signed) >= _DSP_PRODUCT[family]:
            return Cost(ff=2 * product, dsp=1)
        return Cost(lut=(value_bits - 1) * (weight_bits + 2), ff=2 * product)
    if kind == "add" or value_bits == 1:
        return Cost(lut=weight_bits, ff=weight_bits)
    if kind == "shift":
        return Cost(lut=product * value_bits / 3, ff=product)
    # A tree of value_bits - 1 adders over gated partial products.
    adders = value_bits - 1
    return Cost(lut=adders * (weight_bits + 4) * 1.35, ff=adders * (weight_bits + 3))


def membrane_cost(family: Family, plan: CorePlan, depth: int, bits: int, min_distance: int) -> Cost:
    """Membrane banks with adders, bypass and the multiplexers of the scan."""
    word = plan.lanes * bits
    banks = plan.banks[0] * plan.banks[1]
    per_bit = 1.15  # adder
    per_bit += 1.0 if min_distance <= 1 else 0.0  # newest sum instead of the operand
    per_bit += 2.0 if min_distance <= 3 else 0.0  # operand from memory or pipeline
    per_bit += 1.0  # write data: sum or restored
    flip_flops = 2.0 + (1.0 if min_distance <= 3 else 0.0)
    memory = memory_cost(family, plan.membrane_memory, depth, word)
    one = Cost(lut=word * per_bit + 40, ff=word * flip_flops + 40) + memory
    total = Cost()
    for _ in range(banks):
        total = total + one
    return total + Cost(lut=word * (banks - 1) * 0.7, ff=word)


def fire_cost(lanes: int, groups: int, bits: int, stages: int, clamp: bool) -> Cost:
    """Compare-subtract stages: a subtraction and a multiplexer per bit, constants per group."""
    per_lane = stages * (bits * 2.3 + 6) + (2.5 * bits if clamp else 0)
    constants = stages * bits * 0.5 * (groups > 1)
    return Cost(
        lut=lanes * (per_lane + constants), ff=lanes * (stages + 1 + clamp) * (bits + stages)
    )


def port_cost(
    family: Family,
    geometry: ProjectionGeometry,
    kind: str,
    depth: int,
    event_bits: int,
    weight_bits: int,
) -> Cost:
    """Queue, walker and weight memory of one projection."""
    width = weight_bits * geometry.lanes * geometry.y.banks * geometry.x.banks
    weights = memory_cost(family, kind, geometry.weight_depth, width, rom=True)
    in_lutram = family == "ecp5" and depth <= 64
    queue = memory_cost(family, "lut" if in_lutram else "block", depth, event_bits)
    banks = geometry.y.banks * geometry.x.banks
    address = max(4, (geometry.weight_depth - 1).bit_length())
    walker = Cost(lut=130 + banks * 14 + address * 8, ff=110 + banks * 20 + address * 4)
    return weights + queue + walker + Cost(lut=60, ff=width + event_bits * 2 + 40)


def core_cost(net: FixedNetwork, schedule: Schedule, core: CorePlan, family: Family) -> Cost:
    """Predicted cost of one core."""
    population = net.population(core.population)
    width = population_widths(net, core.population)
    scan = scan_geometry(net, core)
    total = Cost(lut=170, ff=160)  # phases, scan counters
    value_bits, signed, weight_bits, distance = 1, False, 2, 4
    for port in core.inputs:
        projection = next(p for p in net.projections if p.name == port.projection)
        geometry = port_geometry(net, schedule, port.projection)
        lo, hi = net.value_range(projection)
        value_bits = max(value_bits, signed_bits(lo, hi) if lo < 0 else hi.bit_length())
        signed = signed or lo < 0
        weight_bits = max(
            weight_bits, signed_bits(int(projection.weight.min()), int(projection.weight.max()))
        )
        distance = min(distance, geometry.groups_per_event)
    if len(core.inputs) > 1:
        distance = 1
    for port in core.inputs:
        geometry = port_geometry(net, schedule, port.projection)
        source = geometry.source_shape
        event_bits = 2 + value_bits + sum((s - 1).bit_length() for s in source)
        total = total + port_cost(
            family, geometry, port.weight_memory, port.queue_depth, event_bits, weight_bits
        )
        if core.lane_kind == "shift":
            total = total + Cost(lut=event_bits + 2 * value_bits, ff=event_bits)  # splits values
    lane = lane_cost(family, core.lane_kind, weight_bits, value_bits, signed)
    for _ in range(core.total_lanes):
        total = total + lane
    total = total + membrane_cost(family, core, scan.bank_words(), width.bits, distance)
    if population.kind == "readout":
        scores = core.lanes * width.bits
        return _cells(total + Cost(lut=150 + scores, ff=120 + scores), family)
    stages = population.spike_max.bit_length()
    clamp = clamps(net, core.population)
    # Folding and unfolding a membrane are an addition each, like a compare stage.
    latency = fire_latency(population, clamp=False)
    total = total + fire_cost(core.lanes, scan.groups, width.bits, latency, clamp)
    if population.neuron.polarity == "memory":
        emitted = core.lanes * (net.timesteps * population.spike_max).bit_length()
        total = total + memory_cost(family, "block", scan.words, emitted)
        total = total + Cost(lut=emitted * stages, ff=emitted * (latency + 2))
    holds = keeps_current(net, core.population) and net.total_steps > 1
    if holds:
        held = core.lanes * width.after_bits
        total = total + memory_cost(family, "block", scan.words, held)
        total = total + Cost(lut=core.lanes * width.bits * 2, ff=2 * held)
    if starts_differ(population):
        start = core.lanes * (width.after_bits if holds else width.bits)
        total = total + memory_cost(family, "block", scan.words, start) + Cost(ff=start)
    if net.probe is not None:
        total = total + memory_cost(family, "block", scan.words, core.lanes)
        total = total + Cost(lut=core.lanes * 4, ff=core.lanes * (latency + 5))
        if net.probe.rule == "shift":
            total = total + Cost(lut=core.lanes * width.bits * 3, ff=core.lanes * width.bits)
    pool = outgoing_pool(net, core)
    serial = core.lanes * (stages * 2.2 + 4) + 60
    if pool is not None:
        serial += core.lanes * stages * 4
        reread = reread_words(net, core)
        if reread:
            word = core.lanes * (stages + (population.spike_min < 0))
            total = total + memory_cost(family, "block", scan.words, word) + Cost(lut=150, ff=110)
        if pool.mode != "sum" and longest_run(net) > 1:
            total_bits = core.lanes * (longest_run(net) * population.spike_max).bit_length()
            total = total + memory_cost(family, "block", reread or scan.words, total_bits)
            serial += total_bits * 3
    return _cells(total + Cost(lut=serial, ff=core.lanes * stages * 3 + 60), family)


def starts_differ(population: Population) -> bool:
    """Whether neurons of one channel start from different values, which takes a memory."""
    start = population.per_neuron("v_init")
    return bool((start != start[:, :1, :1]).any())


def input_cost(net: FixedNetwork, family: Family) -> Cost:
    """What turns the input stream into events."""
    if net.input.encoding == "events":
        return Cost(lut=70, ff=90)
    if net.input.encoding == "constant":
        return Cost(lut=80, ff=90)
    raw_bits = signed_bits(net.input.minimum, net.input.maximum)
    total = Cost(lut=150 + 5 * raw_bits, ff=150 + 8 * raw_bits)  # generator, comparison
    if net.timesteps > 1:  # the image is kept
        total = total + memory_cost(family, "block", math.prod(net.input.shape), raw_bits)
    return total


def judge_cost(net: FixedNetwork, family: Family) -> Cost:
    """What the scores of every timestep pass before the readout, if they do."""
    if not reads_each_step(net):
        return Cost()
    last = net.populations[-1]
    bits, small = population_widths(net, last.name).bits, last.channels <= 64
    if net.readout.mode != "sampled":
        store = memory_cost(family, "lut" if small else "block", last.channels, bits)
        return store + Cost(lut=60 + 6 * bits, ff=60 + 5 * bits)
    noise = [int(n) for n in net.readout.noise]
    noise_bits = signed_bits(min(noise), max(noise))
    vote_bits = net.timesteps.bit_length() + 1
    store = memory_cost(family, "lut" if small else "block", last.channels, vote_bits)
    table = memory_cost(family, "block", len(noise), noise_bits)
    return store + table + Cost(lut=110 + 4 * bits, ff=110 + 6 * bits + noise_bits)


def network_cost(net: FixedNetwork, schedule: Schedule, family: Family) -> Cost:
    """Predicted cost of the accelerator, without link, clock and boot."""
    total = _cells(input_cost(net, family) + judge_cost(net, family), family)
    total = total + Cost(lut=100, ff=60)  # argmax
    for core in schedule.cores:
        total = total + core_cost(net, schedule, core, family)
    return total


def _cells(cost: Cost, family: Family) -> Cost:
    """An iCE40 logic cell that holds a carry or a lone flip-flop counts as a LUT, too."""
    return replace(cost, lut=cost.lut * 1.2) if family == "ice40" else cost
