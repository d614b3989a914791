# SPDX-License-Identifier: BSD-2-Clause
"""What a core of one population costs."""

from __future__ import annotations

from pysnn_hw.ir.snn import FixedNetwork, Population
from pysnn_hw.ir.widths import clamps, longest_run, population_widths, signed_bits
from pysnn_hw.plan.cost import (
    Cost,
    cells,
    fire_cost,
    lanes_cost,
    membrane_cost,
    memory_cost,
    port_cost,
)
from pysnn_hw.plan.geometry import ProjectionGeometry
from pysnn_hw.plan.latency import fire_latency
from pysnn_hw.plan.memory import Family
from pysnn_hw.plan.schedule import (
    CorePlan,
    Schedule,
    keeps_current,
    outgoing_pool,
    port_geometry,
    reread_words,
    scan_geometry,
)


def core_cost(net: FixedNetwork, schedule: Schedule, core: CorePlan, family: Family) -> Cost:
    """Predicted cost of one core."""
    population = net.population(core.population)
    width = population_widths(net, core.population)
    scan = scan_geometry(net, core)
    total = Cost(lut=170, ff=160)  # phases, scan counters
    value_bits, signed, weight_bits = operands(net, core)
    distance = 1
    if len(core.inputs) == 1:
        geometry = port_geometry(net, schedule, core.inputs[0].projection)
        distance = min(4, geometry.groups_per_event)
    for port in core.inputs:
        geometry = port_geometry(net, schedule, port.projection)
        event_bits = event_width(geometry, value_bits)
        total = total + port_cost(
            family, geometry, port.weight_memory, port.queue_depth, event_bits, weight_bits
        )
        if core.lane_kind == "shift":
            total = total + Cost(lut=event_bits + 2 * value_bits, ff=event_bits)  # splits values
    total = total + lanes_cost(
        family, core.lane_kind, core.total_lanes, weight_bits, value_bits, signed=signed
    )
    banks, kind = core.banks[0] * core.banks[1], core.membrane_memory
    total = total + membrane_cost(
        family, core.lanes, banks, kind, scan.bank_words(), width.bits, distance
    )
    if population.kind == "readout":
        scores = core.lanes * width.bits
        return cells(total + Cost(lut=150 + scores, ff=120 + scores), family)
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
    return cells(total + Cost(lut=serial, ff=core.lanes * stages * 3 + 60), family)


def operands(net: FixedNetwork, core: CorePlan) -> tuple[int, bool, int]:
    """Of what its lanes multiply: bits of a value, whether it is signed, bits of a weight."""
    value_bits, signed, weight_bits = 1, False, 2
    for port in core.inputs:
        projection = next(p for p in net.projections if p.name == port.projection)
        lo, hi = net.value_range(projection)
        value_bits = max(value_bits, signed_bits(lo, hi) if lo < 0 else hi.bit_length())
        signed = signed or lo < 0
        weight_bits = max(weight_bits, signed_bits(*projection.weight_range))
    return value_bits, signed, weight_bits


def event_width(geometry: ProjectionGeometry, value_bits: int) -> int:
    """Bits of an event on its way to a core."""
    return 2 + value_bits + sum((s - 1).bit_length() for s in geometry.source_shape)


def starts_differ(population: Population) -> bool:
    """Whether neurons of one channel start from different values, which takes a memory."""
    start = population.per_neuron("v_init")
    return bool((start != start[:, :1, :1]).any())
