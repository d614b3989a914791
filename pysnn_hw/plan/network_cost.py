# SPDX-License-Identifier: BSD-2-Clause
"""What a whole accelerator costs."""

from __future__ import annotations

import math

from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.ir.widths import population_widths, signed_bits
from pysnn_hw.plan.core_cost import core_cost
from pysnn_hw.plan.cost import Cost, cells, memory_cost
from pysnn_hw.plan.layers import layer_program
from pysnn_hw.plan.memory import Family
from pysnn_hw.plan.schedule import CorePlan, Schedule, reads_each_step
from pysnn_hw.plan.shared_cost import shared_core_cost


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


def unit_cost(net: FixedNetwork, schedule: Schedule, core: CorePlan) -> Cost:
    """Predicted cost of a core, whether of one population or shared."""
    if core.shared:
        return shared_core_cost(layer_program(net, core), core.lane_kind, schedule.family)
    return core_cost(net, schedule, core, schedule.family)


def outer_cost(net: FixedNetwork, family: Family) -> Cost:
    """What stands before and behind the cores: encoder, judge, argmax."""
    return cells(input_cost(net, family) + judge_cost(net, family), family) + Cost(lut=100, ff=60)


def network_cost(net: FixedNetwork, schedule: Schedule, family: Family) -> Cost:
    """Predicted cost of the accelerator, without link, clock and boot."""
    total = outer_cost(net, family)
    for core in schedule.cores:
        total = total + unit_cost(net, schedule, core)
    return total
