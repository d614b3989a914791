# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Words of a whole map, read window by window."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.hdl.events import EventKind, coordinate_shape
from pysnn_hw.hdl.pool import POOL_FLAGS
from pysnn_hw.hdl.serializer import word_layout
from pysnn_hw.ir.snn import Pool
from pysnn_hw.ir.snn import Shape as MapShape

__all__ = ["WindowReader"]


class WindowReader(wiring.Component):
    """Keeps the words of a timestep and reads them again as pooling wants them.

    Pooling takes the words of one window after the other. Where windows overlap, a word belongs to
    several of them and is read as often; where they leave gaps, not every word is read.

    Words are taken while a timestep fires. At its marker they are read, one per cycle, windows row
    by row, in each all channel groups, in each of these the window row by row; then the marker
    goes.

    Parameters
    ----------
    pool
        The windows.
    shape
        (channels, height, width) of the map before pooling.
    lanes
        Values per word; divides the channels.
    spikes
        Smallest and largest spike.
    family
        Device family that block RAM is cut for.

    Members
    -------
    i : In(stream.Signature(word_layout(shape, lanes, spikes, POOL_FLAGS)))
        Words in rows, columns, groups order and markers. Of the words only values and ``fresh``
        matter.
    o : Out(stream.Signature(word_layout(pooled shape, lanes, spikes, POOL_FLAGS)))
        Words with the coordinates of their windows, ``latency`` cycles after they are read.
    """

    latency = 2

    def __init__(
        self,
        pool: Pool,
        shape: MapShape,
        lanes: int,
        spikes: tuple[int, int],
        *,
        family: str = "ecp5",
    ) -> None:
        self.pool, self.shape, self.lanes = pool, shape, lanes
        self.i_layout = word_layout(shape, lanes, spikes, POOL_FLAGS)
        self.o_layout = word_layout(pool.out_shape(shape), lanes, spikes, POOL_FLAGS)
        words = shape[0] // lanes * shape[1] * shape[2]
        self.memory = BlockMemory(words, self.i_layout["values"].shape.size, family=family)
        super().__init__(
            {
                "i": In(stream.Signature(self.i_layout)),
                "o": Out(stream.Signature(self.o_layout)),
            }
        )

    @property
    def reread(self) -> int:
        """Words read per timestep."""
        channels, height, width = self.pool.out_shape(self.shape)
        return channels // self.lanes * height * width * self.pool.kernel[0] * self.pool.kernel[1]

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = mem = self.memory
        advance, reading, marking, fresh = Signal(), Signal(), Signal(), Signal()
        spike = self.i.p.kind == EventKind.SPIKE
        index = Signal.like(mem.write_address)
        address, place, final = self._walk(m, advance & reading)
        m.d.comb += [
            advance.eq(self.o.ready | ~self.o.valid),
            mem.write_enable.eq(self.i.valid & self.i.ready & spike),
            mem.write_address.eq(index),
            mem.write_data.eq(self.i.p["values"].as_value()),
            mem.read_address.eq(address),
            mem.read_enable.eq(advance),
        ]
        with m.FSM(name="phase"):
            with m.State("fill"):
                m.d.comb += self.i.ready.eq(spike)
                with m.If(self.i.valid):
                    m.d.sync += [index.eq(Mux(spike, index + 1, 0))]
                    with m.If(spike):
                        m.d.sync += fresh.eq(self.i.p.fresh)
                    with m.Else():
                        m.next = "read"
            with m.State("read"):
                m.d.comb += reading.eq(1)
                with m.If(advance & final):
                    m.next = "mark"
            with m.State("mark"):
                m.d.comb += [marking.eq(1), self.i.ready.eq(advance)]
                with m.If(advance):
                    m.next = "fill"

        # Stage 1: the memory. Stage 2: a register behind it.
        s1, s1_valid = Signal(self.o_layout), Signal()
        with m.If(advance):
            m.d.sync += [
                s1_valid.eq(reading | marking),
                s1.as_value().eq(0),
                self.o.valid.eq(s1_valid),
                self.o.p.eq(s1),
            ]
            with m.If(marking):
                m.d.sync += s1.kind.eq(self.i.p.kind)
            with m.Else():
                m.d.sync += [s1[name].eq(field) for name, field in place.items()]
                m.d.sync += [s1.keep.eq(1), s1.fresh.eq(fresh)]
            with m.If(s1.kind == EventKind.SPIKE):
                m.d.sync += self.o.p["values"].as_value().eq(mem.read_data)
        return m

    def _walk(self, m, step):
        """Counters over windows, groups and members: address, fields of the word, the last one."""
        (kernel_y, kernel_x), (stride_y, stride_x) = self.pool.kernel, self.pool.stride
        channels, _, width = self.shape
        groups = channels // self.lanes
        _, rows, columns = self.pool.out_shape(self.shape)
        # From the innermost loop out: how often, and how far its next address is.
        loops = (
            (kernel_x, groups),
            (kernel_y, width * groups),
            (groups, 1),
            (columns, stride_x * groups),
            (rows, stride_y * width * groups),
        )
        names = ("x_in_window", "y_in_window", "group", "x", "y")
        sizes = [size for size, _ in loops]
        counters = [
            Signal(coordinate_shape(n), name=name) for n, name in zip(sizes, names, strict=True)
        ]
        starts = [Signal.like(self.memory.read_address, name=f"{name}_start") for name in names]
        ends = [c == n - 1 for c, n in zip(counters, sizes, strict=True)]
        inner_done = 1
        for k, (_, distance) in enumerate(loops):
            with m.If(step & inner_done & ~ends[k]):
                m.d.sync += counters[k].eq(counters[k] + 1)
                m.d.sync += [counters[j].eq(0) for j in range(k)]
                m.d.sync += [starts[j].eq(starts[k] + distance) for j in range(k + 1)]
            inner_done = inner_done & ends[k]
        with m.If(step & inner_done):
            m.d.sync += [signal.eq(0) for signal in (*counters, *starts)]
        place = {
            "y": counters[4],
            "x": counters[3],
            "group": counters[2],
            "first": (counters[0] == 0) & (counters[1] == 0),
            "last": ends[0] & ends[1],
        }
        return starts[0], place, inner_done
