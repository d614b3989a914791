# SPDX-License-Identifier: BSD-2-Clause
"""What parts of a core cost on a device: 4-input LUTs, flip-flops, memory blocks, multipliers.

The structure of each formula follows the component it describes (adders and multiplexers per bit
and lane); its few coefficients come from synthesis results, printed by ``scripts/bench_plan.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pysnn_hw.plan.geometry import ProjectionGeometry
from pysnn_hw.plan.memory import SPRAM_SHAPE, Family, block_count
from pysnn_hw.plan.multipliers import multipliers, two_share

ROM_ROW = 64
"""Words of a row of weights in logic, behind each of which is a register. For 144 words of 256
bits, trained weights, rows of 64 take as many look-up tables as a single row, rows of 16 twice as
many."""


@dataclass(frozen=True)
class Cost:
    """Resources; they add up."""

    lut: float = 0.0
    ff: float = 0.0
    bram: int = 0
    dsp: int = 0
    spram: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.lut + other.lut,
            self.ff + other.ff,
            self.bram + other.bram,
            self.dsp + other.dsp,
            self.spram + other.spram,
        )

    def __mul__(self, count: int) -> Cost:
        return Cost(
            self.lut * count,
            self.ff * count,
            self.bram * count,
            self.dsp * count,
            self.spram * count,
        )


def memory_cost(family: Family, kind: str, depth: int, width: int, *, rom: bool = False) -> Cost:
    """A memory with one read and one write port (or a ROM)."""
    if kind == "block":
        return Cost(bram=block_count(family, depth, width))
    if kind == "spram":
        return Cost(lut=24, spram=-(-depth // SPRAM_SHAPE[0]) * -(-width // SPRAM_SHAPE[1]))
    if rom:
        # A 4-input LUT per 16 bits, then a multiplexer tree; constants halve it on average.
        rows = -(-depth // ROM_ROW)
        return Cost(lut=0.5 * width * max(1.0, depth / 16 * 1.6), ff=width * (rows + 1))
    if family in ("gatemate", "ice40"):  # no memories in LUTs
        return Cost(lut=depth * width * 1.6, ff=depth * width)
    rows = -(-depth // 16)
    return Cost(lut=width * (rows + (rows - 1) * 0.6), ff=width)


def lanes_cost(
    family: Family, kind: str, lanes: int, weight_bits: int, value_bits: int, *, signed: bool
) -> Cost:
    """So many lanes: weight times value, registered."""
    product = weight_bits + value_bits
    if kind == "dsp":
        dsp = multipliers(family, lanes, weight_bits, value_bits, signed=signed)
        pairs = lanes // 2 if two_share(family, weight_bits, value_bits, signed=signed) else 0
        # Of two that share one, the lower product is what a subtraction leaves.
        apart = pairs * (value_bits + 1)
        in_logic = lanes - 2 * pairs - (dsp - pairs)
        logic = in_logic * (value_bits - 1) * (weight_bits + 2)
        return Cost(lut=apart + logic, ff=3 * product * lanes, dsp=dsp)
    if kind == "add" or value_bits == 1:
        one = Cost(lut=weight_bits, ff=weight_bits)
    elif kind == "shift":
        one = Cost(lut=product * value_bits / 3, ff=product)
    else:
        # A tree of value_bits - 1 adders over gated partial products.
        adders = value_bits - 1
        one = Cost(lut=adders * (weight_bits + 4) * 1.35, ff=adders * (weight_bits + 3))
    return one * lanes


def membrane_cost(
    family: Family,
    lanes: int,
    banks: int,
    kind: str,
    depth: int,
    bits: int,
    min_distance: int,
    *,
    far: bool = False,
) -> Cost:
    """Membrane banks of ``depth`` words with adders, bypass and the multiplexers of the scan."""
    word = lanes * bits
    per_bit = 1.15  # adder
    per_bit += 2.2 if min_distance <= 1 else 0.0  # newest sum instead of the operand
    per_bit += 2.0 if min_distance <= 3 else 0.0  # operand from memory or pipeline
    per_bit += 1.0  # write data: sum or restored
    per_bit += 1.0 if far else 0.0  # a sum more to choose from
    flip_flops = 2.0 + (1.0 if min_distance <= 3 else 0.0) + (3.0 if min_distance <= 1 else 0.0)
    flip_flops += 1.0 if far else 0.0
    memory = memory_cost(family, kind, depth, word)
    one = Cost(lut=word * per_bit + 40, ff=word * flip_flops + 40) + memory
    return one * banks + Cost(lut=word * (banks - 1) * 0.7, ff=word)


def fire_cost(lanes: int, groups: int, bits: int, stages: int, clamp: bool) -> Cost:
    """Compare-subtract stages: a subtraction and a multiplexer per bit, constants per group."""
    per_lane = stages * (bits * 2.3 + 6) + (2.5 * bits if clamp else 0)
    constants = stages * bits * 0.5 * (groups > 1)
    return Cost(
        lut=lanes * (per_lane + constants), ff=lanes * (stages + 1 + clamp) * (bits + stages)
    )


def weights_cost(family: Family, geometry: ProjectionGeometry, kind: str, weight_bits: int) -> Cost:
    """Weight memory of one projection."""
    width = weight_bits * geometry.lanes * geometry.y.banks * geometry.x.banks
    return memory_cost(family, kind, geometry.weight_depth, width, rom=True)


def queue_cost(family: Family, depth: int, event_bits: int) -> Cost:
    """Memory of an event queue; two of its places are registers."""
    in_lutram = family in ("ecp5", "nexus", "xilinx7") and depth <= 64
    return memory_cost(family, "lut" if in_lutram else "block", depth - 2, event_bits)


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
    weights = weights_cost(family, geometry, kind, weight_bits)
    queue = queue_cost(family, depth, event_bits)
    banks = geometry.y.banks * geometry.x.banks
    address = max(4, (geometry.weight_depth - 1).bit_length())
    walker = Cost(lut=130 + banks * 14 + address * 8, ff=110 + banks * 20 + address * 4)
    return weights + queue + walker + Cost(lut=60, ff=width + event_bits * 2 + 40)


_LUT_SHARE = {
    "ecp5": 1.0,
    "gatemate": 1.5,
    "gowin": 1.25,
    "ice40": 1.2,
    "nexus": 0.9,
    "xilinx7": 0.5,
}
"""LUTs of a family for one of an ECP5. A logic cell of Gowin, iCE40 or GateMate that holds a carry
or a lone flip-flop counts as a LUT, too; GateMate's LUTs are trees of three with two inputs; a LUT6
does what two LUT4 do in the design of docs/xilinx.md."""


def cells(cost: Cost, family: Family) -> Cost:
    """A cost in 4-input LUTs as one in LUTs of the family."""
    share = _LUT_SHARE[family]
    return cost if share == 1.0 else replace(cost, lut=cost.lut * share)
