# SPDX-License-Identifier: BSD-2-Clause
"""Fork: one stream to several consumers."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Fork"]


class Fork(wiring.Component):
    """Every consumer gets every transfer, each at its own pace within one transfer.

    A transfer on ``i`` completes when the last consumer has taken it; combinational.

    Parameters
    ----------
    shape
        Payload.
    count
        Number of consumers.

    Members
    -------
    i : In(stream.Signature(shape))
    o_<k> : Out(stream.Signature(shape)), ``count`` of them
    """

    def __init__(self, shape, *, count: int):
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count!r}")
        self.count = count
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                **{f"o_{k}": Out(stream.Signature(shape)) for k in range(count)},
            }
        )

    def elaborate(self, platform):
        m = Module()
        taken = Signal(self.count)
        done = Signal(self.count)
        for k in range(self.count):
            out = getattr(self, f"o_{k}")
            m.d.comb += [
                out.payload.eq(self.i.payload),
                out.valid.eq(self.i.valid & ~taken[k]),
                done[k].eq(taken[k] | out.ready),
            ]
        m.d.comb += self.i.ready.eq(done.all())
        with m.If(self.i.valid):
            m.d.sync += taken.eq(Cat(done[k] & ~done.all() for k in range(self.count)))
        return m
