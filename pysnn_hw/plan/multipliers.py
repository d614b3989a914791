# SPDX-License-Identifier: BSD-2-Clause
"""Hardware multipliers of each device family, and when two lanes share one."""

from __future__ import annotations

from dataclasses import dataclass

from pysnn_hw.plan.memory import Family


@dataclass(frozen=True)
class Multiplier:
    """What one hardware multiplier takes, and what yosys gives to it.

    Attributes
    ----------
    widest
        Bits of the widest signed operand, 0 where there are no multipliers. A wider one takes the
        place of two.
    operand, product
        A product of a narrower operand, or with fewer bits, is built of logic by yosys, whatever is
        asked for.
    """

    widest: int
    operand: int = 2
    product: int = 0

    def takes(self, weight_bits: int, value_bits: int, *, signed: bool) -> bool:
        """Whether yosys maps the product of a weight and a value to it."""
        narrowest = min(weight_bits, value_bits + (not signed))
        return (
            self.widest > 0
            and narrowest >= self.operand
            and weight_bits + value_bits >= self.product
        )


MULTIPLIERS: dict[Family, Multiplier] = {
    "ecp5": Multiplier(18),
    "gatemate": Multiplier(0),
    "gowin": Multiplier(9, operand=4),
    "ice40": Multiplier(16, product=11),
    "nexus": Multiplier(18),
    "xilinx7": Multiplier(25, product=9),
}


def two_share(family: Family, weight_bits: int, value_bits: int, *, signed: bool) -> bool:
    """Whether one multiplier makes the products of two weights with the same value.

    The second weight stands above the product of the first, which must not be negative: hence
    only for unsigned values (``signed`` is theirs).
    """
    both, device = 2 * weight_bits + value_bits, MULTIPLIERS[family]
    return (
        not signed
        and value_bits > 1
        and both <= device.widest
        and device.takes(both, value_bits, signed=signed)
    )


def multipliers(
    family: Family, lanes: int, weight_bits: int, value_bits: int, *, signed: bool
) -> int:
    """Hardware multipliers that so many lanes of kind ``dsp`` take."""
    alone = int(MULTIPLIERS[family].takes(weight_bits, value_bits, signed=signed))
    if not two_share(family, weight_bits, value_bits, signed=signed):
        return lanes * alone
    return lanes // 2 + lanes % 2 * alone
