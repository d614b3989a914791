# SPDX-License-Identifier: BSD-2-Clause
"""Where the next integer of an image belongs."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import coordinate_shape
from pysnn_hw.ir.snn import Shape as MapShape

__all__ = ["Position"]


class Position(wiring.Component):
    """Counts through a map row by row, pixel by pixel, channels innermost; then starts over.

    The flags that end a count are kept in registers beside the counters, so that no comparison
    sits in the path of the carries.

    Parameters
    ----------
    shape
        (channels, height, width) of the map.

    Members
    -------
    step : In(1)
        Go on to the next place.
    restart : In(1)
        Go to the first place; overrules ``step``.
    c, y, x : Out
        The place.
    index : Out
        Its number.
    final : Out(1)
        It is the last one.
    """

    def __init__(self, shape: MapShape) -> None:
        self.shape = shape
        channels, height, width = shape
        super().__init__(
            {
                "step": In(1),
                "restart": In(1),
                "c": Out(coordinate_shape(channels)),
                "y": Out(coordinate_shape(height)),
                "x": Out(coordinate_shape(width)),
                "index": Out(coordinate_shape(channels * height * width)),
                "final": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        channels, height, width = self.shape
        carry, ends = self.step, []
        for size, counter in ((channels, self.c), (width, self.x), (height, self.y)):
            end = Signal(name=f"end_{size}", init=size == 1)
            ends.append(end)
            if size > 1:
                with m.If(carry):
                    m.d.sync += [
                        counter.eq(Mux(end, 0, counter + 1)),
                        end.eq(Mux(end, 0, counter == size - 2)),
                    ]
                with m.If(self.restart):
                    m.d.sync += [counter.eq(0), end.eq(0)]
            carry = carry & end
        m.d.comb += self.final.eq(ends[0] & ends[1] & ends[2])
        with m.If(self.step):
            m.d.sync += self.index.eq(Mux(self.final, 0, self.index + 1))
        with m.If(self.restart):
            m.d.sync += self.index.eq(0)
        return m
