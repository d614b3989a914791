# SPDX-License-Identifier: BSD-2-Clause
"""Where the memory blocks of a design are: which core has them, and what for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.ir.widths import population_widths
from pysnn_hw.plan.budget import surroundings_cost
from pysnn_hw.plan.core_cost import event_width, operands
from pysnn_hw.plan.cost import memory_cost, queue_cost, weights_cost
from pysnn_hw.plan.latency import value_bits
from pysnn_hw.plan.layers import layer_program
from pysnn_hw.plan.network_cost import outer_cost, unit_cost
from pysnn_hw.plan.schedule import CorePlan, Schedule, port_geometry, scan_geometry
from pysnn_hw.plan.shared_cost import shared_weights_cost

Purpose = Literal["weights", "membranes", "spikes", "tables"]
"""``spikes``: event queues, and between the layers of a shared core. ``tables``: addresses,
constants, start values, and all else; of the design as a whole, buffers of the host link."""


@dataclass(frozen=True)
class BlockUse:
    """Memory blocks of one core for one purpose; an empty name is the design around the cores."""

    core: str
    purpose: Purpose
    blocks: int


def block_uses(net: FixedNetwork, schedule: Schedule) -> tuple[BlockUse, ...]:
    """All memory blocks of a design, as the cost model counts them; purposes without any left out.

    They add up to what `budget.total_cost` says.
    """
    found = []
    for core in schedule.cores:
        parts = _shared(net, schedule, core) if core.shared else _dedicated(net, schedule, core)
        rest = unit_cost(net, schedule, core).bram - sum(parts.values())
        found += [BlockUse(core.name, purpose, count) for purpose, count in parts.items()]
        found.append(BlockUse(core.name, "tables", rest))
    around = outer_cost(net, schedule.family).bram + surroundings_cost(net, schedule).bram
    found.append(BlockUse("", "tables", around))
    return tuple(use for use in found if use.blocks)


def _dedicated(net: FixedNetwork, schedule: Schedule, core: CorePlan) -> dict[Purpose, int]:
    family = schedule.family
    values, _, weight_bits = operands(net, core)
    weights = queues = 0
    for port in core.inputs:
        geometry = port_geometry(net, schedule, port.projection)
        weights += weights_cost(family, geometry, port.weight_memory, weight_bits).bram
        queues += queue_cost(family, port.queue_depth, event_width(geometry, values)).bram
    word = core.lanes * population_widths(net, core.population).bits
    depth = scan_geometry(net, core).bank_words()
    bank = memory_cost(family, core.membrane_memory, depth, word).bram
    banks = core.banks[0] * core.banks[1]
    return {"weights": weights, "membranes": banks * bank, "spikes": queues}


def _shared(net: FixedNetwork, schedule: Schedule, core: CorePlan) -> dict[Purpose, int]:
    family, program = schedule.family, layer_program(net, core)
    width = program.lanes * value_bits(program.spike_range) + 1
    bank = memory_cost(family, "block", program.bank_words, program.lanes * program.bits).bram
    return {
        "weights": shared_weights_cost(program, family).bram,
        "membranes": program.banks * bank,
        "spikes": memory_cost(family, "block", program.spikes.words, width).bram,
    }
