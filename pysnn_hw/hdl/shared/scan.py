# SPDX-License-Identifier: BSD-2-Clause
"""Visits every word of a layer's membranes once, in firing order."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import coordinate_shape
from pysnn_hw.hdl.shared.layouts import layer_layout
from pysnn_hw.plan.layers import LayerProgram

__all__ = ["LayerScan", "layer_scan_layout"]


def layer_scan_layout(program: LayerProgram) -> data.StructLayout:
    """One visited word, or the ``end`` of the scan, in which nothing else matters.

    ``bank`` and ``address`` locate its membranes, ``constant`` its constants, ``index`` counts.
    """
    layer = layer_layout(program)
    words = max(
        lay.population.channels // program.lanes * lay.population.shape[1] * lay.population.shape[2]
        for lay in program.layers
    )
    return data.StructLayout(
        {
            "end": 1,
            "y": layer["rows"].shape,
            "x": layer["columns"].shape,
            "group": layer["groups"].shape,
            "bank": coordinate_shape(program.banks),
            "address": coordinate_shape(program.bank_words),
            "constant": layer["constants"].shape,
            "index": coordinate_shape(words),
        }
    )


class LayerScan(wiring.Component):
    """Walks rows, columns and channel groups of a layer, then says ``end``.

    ``start`` (one cycle, while idle) begins. Each cycle with ``room`` after that an entry leaves,
    valid in the cycle after it; the end comes after the last word. Nothing is multiplied: bank and
    address are counted along.

    Parameters
    ----------
    program
        The core's layers.

    Members
    -------
    start : In(1), layer : In(layer_layout), room : In(1)
    valid : Out(1), entry : Out(layer_scan_layout)
    """

    def __init__(self, program: LayerProgram):
        self.program = program
        super().__init__(
            {
                "start": In(1),
                "layer": In(layer_layout(program)),
                "room": In(1),
                "valid": Out(1),
                "entry": Out(layer_scan_layout(program)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        d, entry = self.layer, self.entry
        running, ending = Signal(), Signal()
        y, x, group = Signal.like(entry.y), Signal.like(entry.x), Signal.like(entry.group)
        # Along each axis: which of its banks, the first bank of that; address of the row of tiles,
        # of the tile in the row, and of the word in the tile.
        y_bank, x_bank = Signal.like(d.y_banks), Signal.like(d.x_banks)
        group_bank = Signal.like(d.group_banks)
        y_base, group_base = Signal.like(entry.bank), Signal.like(entry.bank)
        row, tile, inner = (Signal.like(entry.address, name=n) for n in ("row", "tile", "inner"))
        constant, index = Signal.like(entry.constant), Signal.like(entry.index)
        # Whether this is the last along an axis: to find it out as the counters move is too late.
        last_group, last_column, last_row = Signal(), Signal(), Signal()

        def begin_groups():
            return [group.eq(0), last_group.eq(d.groups == 0), constant.eq(d.constants)]

        def begin_columns():
            return [x.eq(0), last_column.eq(d.columns == 0)]

        m.d.sync += self.valid.eq((running | ending) & self.room)
        with m.If(self.room):
            m.d.sync += [
                entry.end.eq(ending),
                entry.y.eq(y),
                entry.x.eq(x),
                entry.group.eq(group),
                entry.bank.eq(group_base + y_base + x_bank),
                entry.address.eq(row + tile + inner),
                entry.constant.eq(constant),
                entry.index.eq(index),
                ending.eq(0),
            ]
            with m.If(running):
                m.d.sync += index.eq(index + 1)
                with m.If(~last_group):
                    m.d.sync += [
                        group.eq(group + 1),
                        last_group.eq(group + 1 == d.groups),
                        constant.eq(constant + 1),
                    ]
                    with m.If(group_bank != d.group_banks):
                        m.d.sync += [
                            group_bank.eq(group_bank + 1),
                            group_base.eq(group_base + d.group_stride),
                        ]
                    with m.Else():
                        m.d.sync += [group_bank.eq(0), group_base.eq(0), inner.eq(inner + 1)]
                with m.Else():
                    m.d.sync += begin_groups()
                    m.d.sync += [group_bank.eq(0), group_base.eq(0), inner.eq(0)]
                    with m.If(~last_column):
                        m.d.sync += [x.eq(x + 1), last_column.eq(x + 1 == d.columns)]
                        with m.If(x_bank != d.x_banks):
                            m.d.sync += x_bank.eq(x_bank + 1)
                        with m.Else():
                            m.d.sync += [x_bank.eq(0), tile.eq(tile + d.tile)]
                    with m.Else():
                        m.d.sync += [*begin_columns(), x_bank.eq(0), tile.eq(0)]
                        with m.If(~last_row):
                            m.d.sync += [y.eq(y + 1), last_row.eq(y + 1 == d.rows)]
                            with m.If(y_bank != d.y_banks):
                                m.d.sync += [y_bank.eq(y_bank + 1), y_base.eq(y_base + d.y_stride)]
                            with m.Else():
                                m.d.sync += [y_bank.eq(0), y_base.eq(0), row.eq(row + d.row)]
                        with m.Else():
                            m.d.sync += [running.eq(0), ending.eq(1)]
        with m.If(self.start):
            m.d.sync += [
                running.eq(1),
                *begin_groups(),
                *begin_columns(),
                y.eq(0),
                last_row.eq(d.rows == 0),
                *(s.eq(0) for s in (index, row, tile, inner)),
                *(s.eq(0) for s in (y_bank, x_bank, group_bank, y_base, group_base)),
            ]
        return m
