# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""The way out of a fire core: pooling, then one event at a time."""

from amaranth.hdl import Module, Mux, Shape
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import EventKind, event_layout
from pysnn_hw.hdl.pool import make_pool
from pysnn_hw.hdl.scan import scan_layout
from pysnn_hw.hdl.serializer import Serializer
from pysnn_hw.hdl.skid import SkidBuffer
from pysnn_hw.hdl.window_reader import WindowReader
from pysnn_hw.ir.snn import Pool
from pysnn_hw.ir.snn import Shape as MapShape
from pysnn_hw.plan.geometry import ScanGeometry

__all__ = ["Sender"]


class Sender(wiring.Component):
    """Scanned words of spikes in, events and markers out, in line.

    Parameters
    ----------
    scan
        Firing order of the words.
    pool
        Pooling of the spikes, if this core does it. If its windows do not tile the map, words are
        read again in the order of the windows (`WindowReader`).
    out_shape
        (channels, height, width) of the map that is sent.
    spikes
        Smallest and largest spike.
    spike_shape
        Shape of one spike.
    out_range
        Smallest and largest value of an event.
    timesteps
        Steps over which pooling may have to remember.
    family
        Device family that block RAM is cut for.

    Members
    -------
    valid : In(1), ready : Out(1)
        A word or the end of a timestep is on offer; it goes in.
    entry : In(scan_layout), spikes : In(ArrayLayout)
    ending : In(EventKind), fresh : In(1)
        The marker that the timestep ends with; whether it is the first after a start.
    o : Out(stream.Signature(event_layout))
    """

    def __init__(
        self,
        scan: ScanGeometry,
        pool: Pool | None,
        *,
        out_shape: MapShape,
        spikes: tuple[int, int],
        spike_shape: Shape,
        out_range: tuple[int, int],
        timesteps: int,
        family: str = "ecp5",
    ):
        self.lanes, self.pooling = scan.lanes, pool is not None
        self.serializer = Serializer(out_shape, scan.lanes, out_range)
        self.reader, self.pool = None, None
        if pool is not None:
            words = scan.words
            if not pool.tiles:
                self.reader = WindowReader(pool, scan.shape, scan.lanes, spikes, family=family)
                words = self.reader.reread
            self.pool = make_pool(
                pool, out_shape, scan.lanes, spikes, timesteps=timesteps, words=words
            )
        super().__init__(
            {
                "valid": In(1),
                "ready": Out(1),
                "entry": In(scan_layout(scan)),
                "spikes": In(data.ArrayLayout(spike_shape, scan.lanes)),
                "ending": In(EventKind),
                "fresh": In(1),
                "o": Out(stream.Signature(event_layout(out_shape, out_range))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.serializer = serializer = self.serializer
        wiring.connect(m, serializer.o, wiring.flipped(self.o))
        target = serializer.i
        if self.pool is not None:
            m.submodules.pool = self.pool
            wiring.connect(m, self.pool.o, serializer.i)
            target = self.pool.i
        if self.reader is not None:
            m.submodules.reader = self.reader
            wiring.connect(m, self.reader.o, target)
            target = self.reader.i
        m.submodules.skid = skid = SkidBuffer(target.payload.shape())
        wiring.connect(m, skid.o, target)
        word, entry = skid.i.payload, self.entry
        m.d.comb += [
            skid.i.valid.eq(self.valid),
            self.ready.eq(skid.i.ready),
            word.kind.eq(Mux(entry.end, self.ending, EventKind.SPIKE)),
        ]
        with m.If(~entry.end):
            m.d.comb += [word.y.eq(entry.y), word.x.eq(entry.x), word.group.eq(entry.group)]
            m.d.comb += [word["values"][p].eq(self.spikes[p]) for p in range(self.lanes)]
            if self.pooling:
                m.d.comb += [
                    word.first.eq(entry.first),
                    word.last.eq(entry.last),
                    word.keep.eq(entry.keep),
                    word.fresh.eq(self.fresh),
                ]
        return m
