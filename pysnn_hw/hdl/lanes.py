# SPDX-License-Identifier: BSD-2-Clause
"""Lanes: each multiplies its weight by the event's value, every cycle."""

from amaranth.hdl import C, Cat, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.plan.latency import lane_latency
from pysnn_hw.plan.memory import Family
from pysnn_hw.plan.multipliers import two_share

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
        pipelined tree of adders, one partial product per value bit. ``dsp``: hardware multipliers
        between registers; stages *operand*, *multiply*, *part* (two lanes share a multiplier where
        `two_share` says so).
    family
        Device family that multipliers are shared for.

    Members
    -------
    weights : In(ArrayLayout(signed(weight_bits), count))
    value : In(value)
    products : Out(ArrayLayout(signed, count))
    """

    def __init__(
        self, count: int, *, weight_bits: int, value: Shape, kind: str, family: Family = "ecp5"
    ):
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
        if kind == "add" and (value.width != 1 or value.signed):
            raise ValueError(f"lanes of kind 'add' take one-bit values, not {value!r}")
        if kind == "shift" and value.signed:
            raise ValueError("lanes of kind 'shift' take unsigned values")
        self.count, self.weight_bits, self.kind = count, weight_bits, kind
        self.value_shape, self.family = value, family
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
        values = self._multiplied(m) if self.kind == "dsp" else self._summed(m)
        for lane, value in enumerate(values):
            product = Signal(self.product, name=f"product_{lane}", reset_less=True)
            m.d.sync += product.eq(value)
            m.d.comb += self.products[lane].eq(product)
        return m

    def _multiplied(self, m):
        """Products by hardware multipliers, registered `latency` - 1 times."""
        bits, width = self.weight_bits, self.value_shape.width
        shared = two_share(self.family, bits, width, signed=self.value_shape.signed)

        def register(value, name):
            # Without reset, as are the registers inside a multiplier.
            held = Signal(value.shape(), name=name, reset_less=True)
            m.d.sync += held.eq(value)
            return held

        value = register(self.value, "value_operand")
        value_later = register(value, "value_multiplied")
        products: list[Value] = []
        while shared and len(products) + 2 <= self.count:
            number = len(products)
            low, high = self.weights[number], self.weights[number + 1]
            # The lower weight counts from the smallest one, so that its product is not negative
            # and leaves the upper one alone. What is too much of it is taken off behind.
            raised = Cat(low[:-1], ~low[-1])
            both = Cat(raised, C(0, width), high).as_signed()
            operand = register(both, f"operand_{number}")
            result = register(operand * value, f"result_{number}")
            lower, upper = result[: bits + width], result[bits + width : 2 * (bits + width)]
            products += [lower - (value_later << (bits - 1)), upper.as_signed()]
        for number in range(len(products), self.count):
            operand = register(self.weights[number], f"operand_{number}")
            products.append(register(operand * value, f"result_{number}"))
        return products

    def _summed(self, m):
        """Products made of logic, registered `latency` - 1 times."""
        return (self._sum(m, lane) for lane in range(self.count))

    def _sum(self, m, lane):
        weight, value = self.weights[lane], self.value
        width = self.value_shape.width
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
                name = f"sum_{lane}_{level}_{i // 2}"
                total = Signal(self.product, name=name, reset_less=True)
                m.d.sync += total.eq(pair[0] + pair[1] if len(pair) == 2 else pair[0])
                sums.append(total)
            terms = sums
        return terms[0] + terms[1] if len(terms) == 2 else terms[0]
