# SPDX-License-Identifier: BSD-2-Clause
"""How long the accelerator took."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CycleCounter", "count_cycles"]


class CycleCounter(wiring.Component):
    """Counts the clock cycles from the first integer of an image to the last result.

    Cycles in which a result is held back are not counted. That is exact only if none is (see
    `ResultBuffer`): while one score waits, the accelerator may already work on the next, and the
    count falls short. It stands from the cycle after the last result until the next image; one
    image must be finished before the next begins.

    Members
    -------
    image_moves : In(1)
        An integer of the image is transferred.
    result_waits : In(1)
        A result is offered but not taken.
    result_ends : In(1)
        The last result is transferred.
    cycles : Out(32)
        Distance from the first transfer of the image to that of the last result.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "image_moves": In(1),
                "result_waits": In(1),
                "result_ends": In(1),
                "cycles": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        running = Signal()
        with m.If(self.result_ends):
            m.d.sync += running.eq(0)
        with m.Elif(running):
            with m.If(~self.result_waits):
                m.d.sync += self.cycles.eq(self.cycles + 1)
        with m.Elif(self.image_moves):
            m.d.sync += [running.eq(1), self.cycles.eq(1)]
        return m


def count_cycles(m: Module, accelerator: wiring.Component) -> Value:
    """Put a `CycleCounter` beside ``accelerator``, in its clock domain; return its count."""
    i, o = accelerator.i, accelerator.o
    m.submodules.cycle_counter = counter = CycleCounter()
    m.d.comb += [
        counter.image_moves.eq(i.valid & i.ready),
        counter.result_waits.eq(o.valid & ~o.ready),
        counter.result_ends.eq(o.valid & o.ready & o.p.last),
    ]
    return counter.cycles
