# SPDX-License-Identifier: BSD-2-Clause
"""A stream from one clock domain to another, for transfers that are rare."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import cdc, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["StreamCrossing"]


class StreamCrossing(wiring.Component):  # type: ignore[misc]
    """Hands one transfer at a time from domain ``source`` to domain ``sink``.

    A register holds the payload; a request and an acknowledgement, each a level that changes once
    per transfer, cross through two-stage synchronisers. The payload crosses without any: it has
    stood still for at least one cycle of ``sink`` when the request arrives. A transfer takes up to
    three cycles of each domain, and a few logic cells beside the register, where an asynchronous
    FIFO needs a register for each of its places.

    Parameters
    ----------
    shape
        Payload.
    source, sink
        Domains of ``i`` and ``o``.

    Members
    -------
    i : In(stream.Signature(shape))
    o : Out(stream.Signature(shape))
    """

    def __init__(self, shape: Any, *, source: str, sink: str) -> None:
        if source == sink:
            raise ValueError(f"source and sink must be two domains, not both {source!r}")
        self.shape, self.source, self.sink = shape, source, sink
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: Any) -> Module:
        """Connects the two sides."""
        m = Module()
        request, requested = Signal(), Signal()
        taken, acknowledged = Signal(), Signal()
        m.submodules.request = cdc.FFSynchronizer(request, requested, o_domain=self.sink)
        m.submodules.acknowledge = cdc.FFSynchronizer(taken, acknowledged, o_domain=self.source)
        payload = Signal(self.shape)
        m.d.comb += [
            self.i.ready.eq(request == acknowledged),
            self.o.valid.eq(requested != taken),
            self.o.payload.eq(payload),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d[self.source] += [request.eq(~request), payload.eq(self.i.payload)]
        with m.If(self.o.valid & self.o.ready):
            m.d[self.sink] += taken.eq(requested)
        return m
