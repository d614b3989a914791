# SPDX-License-Identifier: BSD-2-Clause
"""An accelerator with a UART: two pins, and nothing else but clock and reset."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.link.cycle_counter import count_cycles
from pysnn_hw.hdl.link.link_top import LinkTop
from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.hdl.link.result_buffer import ResultBuffer

__all__ = ["UartTop"]


class UartTop(wiring.Component):
    """Joins a `LinkTop` to an accelerator.

    Parameters
    ----------
    accelerator
        A component with the streams ``i`` ({value, last}) and ``o`` ({score, winner, error,
        last}) of docs/architecture.md. With ``parameters.address_width`` also with a stream
        ``boot`` ({address, data}) and an output ``loaded``.
    parameters
        See `LinkParameters`; they must describe this accelerator.

    Members
    -------
    rx : In(1, init=1)
        UART pin from the host; not synchronous.
    tx : Out(1, init=1)
        UART pin to the host.
    """

    def __init__(self, accelerator: wiring.Component, parameters: LinkParameters) -> None:
        have = accelerator.i.p.value.shape()
        want = parameters.value_shape
        if (have.width, have.signed) != (want.width, want.signed):
            raise ValueError(f"accelerator takes integers of {have!r}, the link sends {want!r}")
        self.accelerator, self.parameters = accelerator, parameters
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator = accelerator = self.accelerator
        m.submodules.link = link = LinkTop(self.parameters)
        m.d.comb += [link.rx.eq(self.rx), self.tx.eq(link.tx)]
        m.d.comb += link.cycles.eq(count_cycles(m, accelerator))
        m.submodules.results = results = ResultBuffer(self.parameters)
        pairs = [(link.image, accelerator.i), (accelerator.o, results.i), (results.o, link.result)]
        if self.parameters.address_width:
            pairs.append((link.boot, accelerator.boot))
            m.d.comb += link.loaded.eq(accelerator.loaded)
        # Field by field: the layouts agree in names, not always in the order of the fields.
        for source, sink in pairs:
            m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
            m.d.comb += [sink.p[name].eq(source.p[name]) for name, _ in sink.p.shape()]
        return m
