# SPDX-License-Identifier: BSD-2-Clause
"""Reads the spikes of one projection's source, word by word, and what each word touches."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.hdl.read_hold import ReadHold
from pysnn_hw.hdl.shared.layouts import (
    pass_layout,
    spike_bits,
    table_words,
    touch_layout,
    x_layout,
    y_layout,
)
from pysnn_hw.plan.latency import SHARED_SPIKES
from pysnn_hw.plan.layers import LayerProgram

__all__ = ["SpikeReader", "touched_layout"]


def touched_layout(program: LayerProgram) -> data.StructLayout:
    """A word of spikes with what they touch, or the ``end`` of a pass."""
    return data.StructLayout(
        {
            "end": 1,
            "touch": touch_layout(program),
            "values": data.ArrayLayout(spike_bits(program), program.lanes),
        }
    )


class SpikeReader(wiring.Component):
    """Walks a map by rows, columns and channel groups; passes on the words that touch something.

    ``start`` (one cycle, while idle) begins a pass. A word a cycle is read; silent words and those
    whose spikes touch nothing are dropped, so a pass takes a cycle for each of them. ``end``
    follows the last word. Stages: *count*, *read* (memories), *fetch* (their registers), *bring*
    (on the way from blocks that lie far away), *sum* (addresses). Everything moves together, or
    waits for the consumer.

    Parameters
    ----------
    program
        The core's layers.
    family
        Device family that block RAM is cut for.

    Members
    -------
    start : In(1), descriptor : In(pass_layout), source : In(unsigned)
        The pass, and the address of its first word, which holds for this timestep and image.
    read_address : Out(unsigned), read_data : In, some : In(1)
        Port of the spike memory, whose words come `latency` cycles after their addresses (they
        wait here, see `ReadHold`), with a bit that is high if one of its spikes is not zero.
    o : Out(stream.Signature(touched_layout))
    """

    latency = SHARED_SPIKES

    def __init__(self, program: LayerProgram, *, family: str):
        self.program, self.family = program, family
        self.descriptor_layout = pass_layout(program)
        address = self.descriptor_layout["source"].shape
        super().__init__(
            {
                "start": In(1),
                "descriptor": In(self.descriptor_layout),
                "source": In(address),
                "read_address": Out(address),
                "read_data": In(spike_bits(program) * program.lanes),
                "some": In(1),
                "o": Out(stream.Signature(touched_layout(program))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        program, d = self.program, self.descriptor
        advance = Signal()

        # Stage "count".
        running, ending = (Signal(name=name) for name in ("running", "ending"))
        # What is left of each axis, and whether nothing is: a comparison would come too late.
        groups_left, columns_left = Signal.like(d.groups), Signal.like(d.columns)
        rows_left = Signal.like(d.rows)
        last_group, last_column, last_row = Signal(), Signal(), Signal()
        channel = Signal.like(self.o.p.touch.weight)
        offset = Signal.like(self.o.p.touch.address[0])
        y_row, x_row = Signal.like(d.y), Signal.like(d.x)
        address = Signal.like(self.source)

        def begin_groups():
            return [
                groups_left.eq(d.groups),
                last_group.eq(d.groups == 0),
                channel.eq(0),
                offset.eq(0),
            ]

        def begin_columns():
            return [columns_left.eq(d.columns), last_column.eq(d.columns == 0), x_row.eq(d.x)]

        with m.If(advance):
            m.d.sync += ending.eq(0)
            with m.If(running):
                m.d.sync += address.eq(address + 1)
                with m.If(~last_group):
                    m.d.sync += [
                        groups_left.eq(groups_left - 1),
                        last_group.eq(groups_left == 1),
                        channel.eq(channel + program.lanes),
                        offset.eq(offset + d.offset),
                    ]
                with m.Else():
                    m.d.sync += begin_groups()
                with m.If(last_group & ~last_column):
                    m.d.sync += [
                        columns_left.eq(columns_left - 1),
                        last_column.eq(columns_left == 1),
                        x_row.eq(x_row + 1),
                    ]
                with m.If(last_group & last_column):
                    m.d.sync += begin_columns()
                    m.d.sync += [
                        rows_left.eq(rows_left - 1),
                        last_row.eq(rows_left == 1),
                        y_row.eq(y_row + 1),
                    ]
                with m.If(last_group & last_column & last_row):
                    m.d.sync += [running.eq(0), ending.eq(1)]
        with m.If(self.start):
            m.d.sync += [
                running.eq(1),
                *begin_groups(),
                *begin_columns(),
                rows_left.eq(d.rows),
                last_row.eq(d.rows == 0),
                y_row.eq(d.y),
                address.eq(self.source),
            ]

        # Stage "read".
        m.d.comb += self.read_address.eq(address)
        m.submodules.hold = hold = ReadHold(len(self.read_data) + 1, latency=self.latency)
        m.d.comb += [hold.advance.eq(advance), hold.fetched.eq(Cat(self.read_data, self.some))]
        values, some = hold.word[:-1], hold.word[-1]
        y_data = self._table(m, "y", y_layout(program), y_row, advance)
        x_data = self._table(m, "x", x_layout(program), x_row, advance)
        carried = data.StructLayout(
            {"valid": 1, "end": 1, "channel": channel.shape(), "offset": offset.shape()}
        )
        read, fetch, bring = (Signal(carried, name=name) for name in ("read", "fetch", "bring"))
        with m.If(advance):
            m.d.sync += [
                read.valid.eq(running | ending),
                read.end.eq(ending),
                read.channel.eq(channel),
                read.offset.eq(offset),
                fetch.eq(read),
                bring.eq(fetch),
            ]

        # Stages "fetch" and "bring".
        fetched_y, y_entry = (
            Signal(y_layout(program), name=name, reset_less=True) for name in ("fetched_y", "y")
        )
        fetched_x, x_entry = (
            Signal(x_layout(program), name=name, reset_less=True) for name in ("fetched_x", "x")
        )
        with m.If(advance):
            m.d.sync += [
                Value.cast(fetched_y).eq(y_data),
                Value.cast(fetched_x).eq(x_data),
                y_entry.eq(fetched_y),
                x_entry.eq(fetched_x),
            ]

        # Stage "sum".
        touch = self.o.p.touch
        matters = some & (y_entry.steps != 0) & (x_entry.steps != 0)
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(bring.valid & (bring.end | matters)),
                self.o.p.end.eq(bring.end),
                Value.cast(self.o.p["values"]).eq(values),
                touch.y_valid.eq(y_entry.valid),
                touch.x_valid.eq(x_entry.valid),
                touch.turn.eq(y_entry.turn + x_entry.turn),
                touch.y_steps.eq(y_entry.steps),
                touch.x_steps.eq(x_entry.steps),
                touch.weight.eq(y_entry.weight + x_entry.weight + bring.channel),
            ]
            for b in range(program.banks):
                address = y_entry.address[b] + x_entry.address[b] + bring.offset
                m.d.sync += touch.address[b].eq(address)
        return m

    def _table(self, m, axis, layout, row, advance):
        words = [layout.const(w).as_bits() for w in table_words(self.program, axis)]
        m.submodules[f"{axis}_table"] = table = BlockMemory(
            len(words), layout.size, family=self.family, init=words
        )
        m.d.comb += [table.read_address.eq(row), table.read_enable.eq(advance)]
        return table.read_data
