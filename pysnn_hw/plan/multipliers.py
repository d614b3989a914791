# SPDX-License-Identifier: BSD-2-Clause
"""Hardware multipliers of each device family, and when two lanes share one."""

from __future__ import annotations

from pysnn_hw.plan.memory import Family

WIDEST: dict[Family, int] = {
    "ecp5": 18,
    "gatemate": 0,
    "gowin": 9,
    "ice40": 16,
    "nexus": 9,
    "xilinx7": 25,
}
"""Bits of the widest signed operand, 0 where there are no multipliers; wider ones of Gowin and
Nexus take the place of two."""

NARROWEST: dict[Family, int] = {
    "ecp5": 4,
    "gatemate": 1 << 30,
    "gowin": 8,
    "ice40": 11,
    "nexus": 9,
    "xilinx7": 9,
}
"""Narrower products than this are built of logic by yosys, whatever is asked for."""


def two_share(family: Family, weight_bits: int, value_bits: int, *, signed: bool) -> bool:
    """Whether one multiplier makes the products of two weights with the same value.

    The second weight stands above the product of the first, which must not be negative: hence
    only for unsigned values (``signed`` is theirs).
    """
    both = 2 * weight_bits + value_bits
    return (
        not signed
        and value_bits > 1
        and both <= WIDEST[family]
        and both + value_bits >= NARROWEST[family]
    )


def multipliers(
    family: Family, lanes: int, weight_bits: int, value_bits: int, *, signed: bool
) -> int:
    """Hardware multipliers that so many lanes of kind ``dsp`` take."""
    product = weight_bits + value_bits + (not signed)
    alone = int(product >= NARROWEST[family])
    if not two_share(family, weight_bits, value_bits, signed=signed):
        return lanes * alone
    return lanes // 2 + lanes % 2 * alone
