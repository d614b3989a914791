# SPDX-License-Identifier: BSD-2-Clause
"""How long the accelerator took."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CycleCounter"]


class CycleCounter(wiring.Component):
    """Counts the clock cycles from the first integer of an image to the last result.

    Cycles in which a result waits for the link are not counted, so the count is that of the
    accelerator alone. In the cycle in which the last result is offered ``cycles`` is its distance
    from the first transfer of the image; it stays so until the result is taken.

    Members
    -------
    image_moves : In(1)
        An integer of the image is transferred.
    result_waits : In(1)
        A result is offered but not taken.
    result_ends : In(1)
        The last result is transferred; the next image starts from zero.
    cycles : Out(32)
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
            m.d.sync += [running.eq(0), self.cycles.eq(0)]
        with m.Elif((running | self.image_moves) & ~self.result_waits):
            m.d.sync += [running.eq(1), self.cycles.eq(self.cycles + 1)]
        return m
