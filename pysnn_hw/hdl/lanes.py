# SPDX-License-Identifier: BSD-2-Clause
"""Lanes: each multiplies its weight by the event's value, every cycle."""

from amaranth.hdl import C, Module, Mux, Shape, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.plan.latency import lane_latency

__all__ = ["Lanes", "product_bits"]

KINDS = ("add", "shift", "lut", "dsp")


def product_bits(weight_bits: int, value: Shape) -> int:
    """Width of a signed product of a weight and a value."""
    return weight_bits + value.width if not (value.width == 1 and not value.signed) else weight_bits


class Lanes(wiring.Component):
    """``count`` products of one value with as many weights, `latency` cycles later.

    Never stalls; a product for every cycle's operands.

    Parameters
    ----------
    count, weight_bits
        Lanes, and the two's complement width of each weight.
    value
        Shape of the event's value.
    kind
        ``add``: the value is 0 or 1. ``shift``: the value is zero or a power of two. ``lut``: a
        pipelined tree of adders, one partial product per value bit. ``dsp``: a hardware multiplier
        between registers, which it either contains or has beside it.

    Members
    -------
    weights : In(ArrayLayout(signed(weight_bits), count))
    value : In(value)
    products : Out(ArrayLayout(signed, count))
    """

    def __init__(self, count: int, *, weight_bits: int, value: Shape, kind: str):
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
        if kind == "add" and (value.width != 1 or value.signed):
            raise ValueError(f"lanes of kind 'add' take one-bit values, not {value!r}")
        if kind == "shift" and value.signed:
            raise ValueError("lanes of kind 'shift' take unsigned values")
        self.count, self.weight_bits, self.kind = count, weight_bits, kind
        self.value_shape = value
        self.product = signed(product_bits(weight_bits, value))
        super().__init__(
            {
                "weights": In(data.ArrayLayout(signed(weight_bits), count)),
                "value": In(value),
                "products": Out(data.ArrayLayout(self.product, count)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from operands to product."""
        return lane_latency(self.kind, self.value_shape.width)

    def elaborate(self, platform):
        m = Module()
        operands = self.weights, self.value
        if self.kind == "dsp":
            operands = tuple(
                Signal.like(port, name=f"{name}_operand", reset_less=True)
                for port, name in ((self.weights, "weight"), (self.value, "value"))
            )
            m.d.sync += [
                register.eq(port)
                for register, port in zip(operands, (self.weights, self.value), strict=True)
            ]
        for lane in range(self.count):
            # Without reset, as are the registers inside a multiplier.
            product = Signal(self.product, name=f"product_{lane}", reset_less=True)
            m.d.sync += product.eq(self._product(m, lane, operands))
            m.d.comb += self.products[lane].eq(product)
        return m

    def _product(self, m, lane, operands):
        """The product, registered `latency` - 1 times."""
        weights, value = operands
        weight, width = weights[lane], self.value_shape.width
        if self.kind == "dsp":
            return weight * value
        if self.kind == "shift":
            total = C(0, self.product)
            for bit in range(width):
                total = total | Mux(value[bit], weight << bit, 0)
            return total.as_signed()
        terms = [Mux(value[bit], weight, 0).as_signed() << bit for bit in range(width)]
        if self.value_shape.signed:
            terms[-1] = -terms[-1]
        level = 0
        while len(terms) > 2:
            level += 1
            sums = []
            for i in range(0, len(terms), 2):
                pair = terms[i : i + 2]
                total = Signal(self.product, name=f"sum_{lane}_{level}_{i // 2}")
                m.d.sync += total.eq(pair[0] + pair[1] if len(pair) == 2 else pair[0])
                sums.append(total)
            terms = sums
        return terms[0] + terms[1] if len(terms) == 2 else terms[0]
