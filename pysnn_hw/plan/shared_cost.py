# SPDX-License-Identifier: BSD-2-Clause
"""What a core that runs several layers in turn costs."""

from __future__ import annotations

from pysnn_hw.ir.widths import signed_bits
from pysnn_hw.plan.cost import Cost, cells, fire_cost, lanes_cost, membrane_cost, memory_cost
from pysnn_hw.plan.latency import fire_latency, value_bits
from pysnn_hw.plan.layers import LayerProgram
from pysnn_hw.plan.memory import Family, tiling
from pysnn_hw.plan.schedule import LaneKind


def shared_core_cost(program: LayerProgram, lane_kind: LaneKind, family: Family) -> Cost:
    """Predicted cost of the core of ``program``."""
    lanes, banks = program.lanes, program.banks
    value = value_bits(program.spike_range)
    signed = program.spike_range[0] < 0
    total = shared_weights_cost(program, family)
    total = total + lanes_cost(
        family, lane_kind, lanes * banks, _weight_bits(program), value, signed=signed
    )
    total = total + membrane_cost(
        family, lanes, banks, "block", program.bank_words, program.bits, 1, far=True
    )
    word = lanes * value + 1
    total = total + memory_cost(family, "block", program.spikes.words, word)
    total = total + Cost(lut=3 * word, ff=5 * word)  # words that wait behind it
    total = total + _walk(program, family, value) + _fire(program, value)
    for layer in program.layers:
        if layer.sends:
            total = total + Cost(lut=lanes * (value * 2.2 + 4) + 60, ff=lanes * value * 3 + 60)
    for _ in program.outside:
        total = total + Cost(lut=lanes * value + 80, ff=lanes * value * 2 + 60)  # collector
    return cells(total, family)


def _weight_bits(program: LayerProgram) -> int:
    found = [p.projection.weight_range for p in program.passes]
    return max(2, signed_bits(min(low for low, _ in found), max(high for _, high in found)))


def shared_weights_cost(program: LayerProgram, family: Family) -> Cost:
    """Memory, choice between its rows, rotation to the banks."""
    depth = sum(p.geometry.weight_depth for p in program.passes)
    width = program.lanes * program.banks * _weight_bits(program)
    rows, row_depth = tiling(family, depth, width)
    blocks = sum(
        memory_cost(family, "block", min(row_depth, depth - row_depth * k), width).bram
        for k in range(rows)
    )
    choose = (rows - 1) * width
    turn = (program.banks - 1) * width
    return Cost(lut=choose + turn, ff=(2 * rows + 2) * width, bram=blocks)


def _walk(program: LayerProgram, family: Family, value: int) -> Cost:
    """Descriptors, tables, reader, walker."""
    address = (program.bank_words - 1).bit_length()
    depth = sum(p.geometry.weight_depth for p in program.passes)
    weight, banks, lanes = (depth - 1).bit_length(), program.banks, program.lanes
    row = banks * address + banks * 2 + weight + 8
    tables = Cost()
    for rows in (program.y_rows, program.x_rows):
        tables = tables + memory_cost(family, "block", len(rows), row)
    descriptors = 4 * len(program.passes) + 4 * len(program.layers)
    logic = Cost(
        lut=500 + descriptors + banks * address * 5 + weight * 8 + lanes * (value * 2 + 5),
        ff=500 + banks * (address * 6 + 8) + weight * 8 + lanes * value * 4,
    )
    return tables + logic


def _fire(program: LayerProgram, value: int) -> Cost:
    """Constants, what is added at firing, the pipeline."""
    lanes, bits = program.lanes, program.bits
    neuron = max((run.population for run in program.layers), key=lambda p: p.spike_max)
    stages = fire_latency(neuron, clamp=False)
    theta = program.constant_range("threshold")[1].bit_length()
    start, bias = (signed_bits(*program.constant_range(n)) for n in ("start", "bias"))
    words, width = program.constant_words, lanes * (theta + start + bias)
    total = memory_cost("ecp5", "lut", words, width, rom=True)
    total = total + fire_cost(lanes, 2, bits, stages, False)
    total = total + Cost(lut=lanes * bits * 3, ff=lanes * (bits * 4 + theta * (3 + stages)))
    factors = [run.residual.factors for run in program.layers if run.residual is not None]
    if factors:
        factor = max(signed_bits(int(f.min()), int(f.max())) for f in factors)
        signed = program.spike_range[0] < 0
        product = lanes_cost("ecp5", "lut", lanes, factor, value, signed=signed)
        table = memory_cost("ecp5", "lut", words, lanes * factor, rom=True)
        total = total + table + product
    return total
