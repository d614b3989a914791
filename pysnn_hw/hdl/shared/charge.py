# SPDX-License-Identifier: BSD-2-Clause
"""What is added to a membrane as its neuron fires: bias, start value, residual sum."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.delay import delayed
from pysnn_hw.hdl.events import value_shape
from pysnn_hw.hdl.shared.layouts import constant_layout
from pysnn_hw.plan.latency import lane_latency
from pysnn_hw.plan.layers import LayerProgram

__all__ = ["Charge"]


class Charge(wiring.Component):
    """``u = membrane + constant + factor * spike``, one word per cycle.

    Constants and spikes come one cycle before their membranes; `latency` cycles after the
    constants follow ``u`` and its thresholds. Stages: *product* (a tree of adders, one partial
    product per bit of the spike), *base* (with the constant), *charge*.

    Parameters
    ----------
    program
        The core's layers.

    Members
    -------
    first : In(1)
        It is the first timestep: constants are start values with the bias, not the bias.
    constants : In(constant_layout), spikes : In(ArrayLayout)
    membranes : In(ArrayLayout(signed(bits), lanes))
    u : Out(ArrayLayout(signed(bits), lanes)), theta : Out(ArrayLayout(unsigned, lanes))
    """

    def __init__(self, program: LayerProgram):
        self.program = program
        self.adds = any(layer.residual is not None for layer in program.layers)
        self.spike_shape = value_shape(program.spike_range)
        self.product_latency = lane_latency("lut", self.spike_shape.width) if self.adds else 1
        self.layout = constant_layout(program)
        word = data.ArrayLayout(signed(program.bits), program.lanes)
        super().__init__(
            {
                "first": In(1),
                "constants": In(self.layout),
                "spikes": In(data.ArrayLayout(self.spike_shape, program.lanes)),
                "membranes": In(word),
                "u": Out(word),
                "theta": Out(self.layout["theta"].shape),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from constants to ``u``."""
        return self.product_latency + 2

    def elaborate(self, platform):
        m = Module()
        wait = self.product_latency
        start = delayed(m, self.constants.start, wait, "start")
        bias = delayed(m, self.constants.bias, wait, "bias")
        # Membranes come a cycle after the constants.
        membranes = delayed(m, self.membranes, wait, "membranes")
        m.d.comb += self.theta.eq(delayed(m, self.constants.theta, self.latency, "theta"))
        for p in range(self.program.lanes):
            base, u = (
                Signal(signed(self.program.bits), name=f"{name}_{p}", reset_less=True)
                for name in ("base", "u")
            )
            constant = Mux(self.first, start[p], bias[p])
            if self.adds:
                constant = constant + self._product(m, p)
            m.d.sync += [base.eq(constant), u.eq(membranes[p] + base)]
            m.d.comb += self.u[p].eq(u)
        return m

    def _product(self, m, p):
        """``factor * spike`` of a lane, `product_latency` cycles later."""
        factor, spike = self.constants.factor[p], self.spikes[p]
        width = self.spike_shape.width
        shape = signed(len(factor) + width)
        terms = [
            Mux(
                spike.as_unsigned()[b] if self.spike_shape.signed else spike[b], factor, 0
            ).as_signed()
            << b
            for b in range(width)
        ]
        if self.spike_shape.signed:
            terms[-1] = -terms[-1]
        for level in range(self.product_latency):
            sums = []
            for i in range(0, len(terms), 2):
                total = Signal(shape, name=f"sum_{p}_{level}_{i // 2}", reset_less=True)
                m.d.sync += total.eq(sum(terms[i : i + 2]))
                sums.append(total)
            terms = sums
        return terms[0]
