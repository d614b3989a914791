# SPDX-License-Identifier: BSD-2-Clause
"""Takes the results of an image as fast as they come, so that a slow link delays nothing."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.link.parameters import LinkParameters

__all__ = ["ResultBuffer"]


class ResultBuffer(wiring.Component):
    """Takes all scores of an image, one per cycle, then passes them on.

    With it between accelerator and link, a `CycleCounter` beside the accelerator is exact: the
    accelerator is never held up. The scores of the next image wait until these have been passed
    on. The first is offered ``latency`` cycles after the last was taken.

    Parameters
    ----------
    parameters
        See `LinkParameters`; no image may have more scores than ``classes``.

    Members
    -------
    i : In(stream.Signature(parameters.result_layout))
    o : Out(stream.Signature(parameters.result_layout))
        ``winner`` and ``error`` are valid with ``last``.
    """

    latency = 2

    def __init__(self, parameters: LinkParameters) -> None:
        self.parameters = parameters
        layout = parameters.result_layout
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(layout))})

    def elaborate(self, platform):
        m = Module()
        classes = self.parameters.classes
        m.submodules.scores = scores = memory.Memory(
            shape=signed(self.parameters.score_bits), depth=max(2, classes), init=[]
        )
        write, read = scores.write_port(), scores.read_port()
        count, pointer = Signal(range(classes + 1)), Signal(range(classes + 1))
        next_pointer = Signal.like(pointer)
        m.d.comb += [
            write.addr.eq(count),
            write.data.eq(self.i.p.score),
            read.addr.eq(next_pointer),
            self.o.p.score.eq(read.data),
        ]
        m.d.sync += pointer.eq(next_pointer)

        with m.FSM():
            with m.State("TAKE"):
                m.d.comb += [self.i.ready.eq(1), write.en.eq(self.i.valid)]
                with m.If(self.i.valid):
                    m.d.sync += [
                        self.o.p.winner.eq(self.i.p.winner),
                        self.o.p.error.eq(self.i.p.error),
                    ]
                    with m.If(self.i.p.last):
                        m.next = "SETTLE"
                    with m.Else():
                        m.d.sync += count.eq(count + 1)
            with m.State("SETTLE"):  # the score just written may be the first one read
                m.next = "PASS"
            with m.State("PASS"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.p.last.eq(pointer == count),
                    next_pointer.eq(pointer + self.o.ready),
                ]
                with m.If(self.o.ready & self.o.p.last):
                    m.d.comb += next_pointer.eq(0)
                    m.d.sync += count.eq(0)
                    m.next = "TAKE"
        return m
