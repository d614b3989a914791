# SPDX-License-Identifier: BSD-2-Clause
"""Scan: visits every word of a membrane memory once, in firing order."""

import numpy as np
from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import coordinate_shape
from pysnn_hw.hdl.fire import select
from pysnn_hw.plan.geometry import ScanGeometry

__all__ = ["Scan", "scan_layout"]


def scan_layout(geometry: ScanGeometry) -> data.StructLayout:
    """One visited word, or the end of the scan.

    ``y``, ``x`` are coordinates on the map that is sent (the pooling window's); ``first`` and
    ``last`` delimit a window; ``keep`` is low in a window that leaves the map. ``bank`` and
    ``address`` locate the word, ``index`` counts. In the ``end`` entry nothing else matters.
    """
    _, h, w = geometry.out_shape
    return data.StructLayout(
        {
            "end": 1,
            "y": coordinate_shape(max(h, 1)),
            "x": coordinate_shape(max(w, 1)),
            "group": coordinate_shape(geometry.groups),
            "first": 1,
            "last": 1,
            "keep": 1,
            "bank": coordinate_shape(geometry.banks[0] * geometry.banks[1]),
            "address": coordinate_shape(geometry.bank_words()),
            "index": coordinate_shape(geometry.words),
        }
    )


class Scan(wiring.Component):
    """Walks windows, channel groups and positions (see `ScanGeometry`), then says ``end``.

    ``start`` (one cycle, while idle) begins a scan; from then on one entry per advance,
    `latency` advances after it was counted. The end entry directly follows the last word. Stages:
    *count*, *locate* (tables), *sum* (address). ``ahead`` is the ``index`` of the entry that
    follows `latency` advances later.

    Members
    -------
    start : In(1)
    advance : In(1)
    valid : Out(1)
    entry : Out(scan_layout)
    ahead : Out(unsigned)
    """

    latency = 2

    def __init__(self, geometry: ScanGeometry):
        self.geometry = geometry
        self.layout = scan_layout(geometry)
        super().__init__(
            {
                "start": In(1),
                "advance": In(1),
                "valid": Out(1),
                "entry": Out(self.layout),
                "ahead": Out(self.layout["index"].shape),
            }
        )

    def _axis(self, axis: int):
        """Per coordinate: bank, tile address, window, whether it ends / begins the window."""
        g = self.geometry
        size, window, banks = g.shape[1 + axis], g.window[axis], g.banks[axis]
        words = g.groups if axis == 1 else -(-g.shape[2] // g.banks[1]) * g.groups
        factor = 1 if axis == 1 else g.banks[1]
        index = np.arange(size)
        return {
            "bank": index % banks * factor,
            "address": index // banks * words,
            "window": index // window,
            "complete": (index // window < size // window).astype(int),
        }

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        height, width = g.shape[1:]
        window_y, window_x = g.window

        # Stage "count": position (y, x) = window origin + offset; group between window and offset.
        running, ending = Signal(), Signal()
        y, x = Signal(range(max(2, height))), Signal(range(max(2, width)))
        y0, x0 = Signal.like(y), Signal.like(x)
        group = Signal(range(max(2, g.groups)))
        index = Signal(coordinate_shape(g.words))
        dx_last, dy_last = Signal(), Signal()
        row_end, column_end, group_end = Signal(), Signal(), Signal()
        m.d.comb += [
            self.ahead.eq(index),
            dx_last.eq((x == width - 1) | (x == x0 + window_x - 1)),
            dy_last.eq((y == height - 1) | (y == y0 + window_y - 1)),
            group_end.eq(group == g.groups - 1),
            column_end.eq(x == width - 1),
            row_end.eq(y == height - 1),
        ]
        with m.If(self.start):
            m.d.sync += running.eq(1)
        with m.If(self.advance):
            m.d.sync += ending.eq(0)
            with m.If(running):
                m.d.sync += index.eq(index + 1)
                with m.If(~dx_last):
                    m.d.sync += x.eq(x + 1)
                with m.Elif(~dy_last):
                    m.d.sync += [x.eq(x0), y.eq(y + 1)]
                with m.Elif(~group_end):
                    m.d.sync += [x.eq(x0), y.eq(y0), group.eq(group + 1)]
                with m.Elif(~column_end):
                    m.d.sync += [x.eq(x + 1), x0.eq(x + 1), y.eq(y0), group.eq(0)]
                with m.Elif(~row_end):
                    m.d.sync += [x.eq(0), x0.eq(0), y.eq(y + 1), y0.eq(y + 1), group.eq(0)]
                with m.Else():
                    m.d.sync += [x.eq(0), x0.eq(0), y.eq(0), y0.eq(0), group.eq(0), index.eq(0)]
                    m.d.sync += [running.eq(0), ending.eq(1)]

        # Stage "locate": tables by coordinate.
        rows, columns = self._axis(0), self._axis(1)
        located = Signal()
        y_address, x_address = Signal(self.layout["address"].shape), Signal.like(self.entry.address)
        y_bank, x_bank = Signal(self.layout["bank"].shape), Signal.like(self.entry.bank)
        entry1 = Signal(self.layout)
        with m.If(self.advance):
            m.d.sync += [
                located.eq(running | ending),
                y_address.eq(select(rows["address"], y, unsigned(len(y_address)))),
                x_address.eq(select(columns["address"], x, unsigned(len(x_address)))),
                y_bank.eq(select(rows["bank"], y, unsigned(len(y_bank)))),
                x_bank.eq(select(columns["bank"], x, unsigned(len(x_bank)))),
                entry1.end.eq(ending),
                entry1.y.eq(select(rows["window"], y, unsigned(len(entry1.y)))),
                entry1.x.eq(select(columns["window"], x, unsigned(len(entry1.x)))),
                entry1.keep.eq(
                    select(rows["complete"], y, unsigned(1))
                    & select(columns["complete"], x, unsigned(1))
                ),
                entry1.group.eq(group),
                entry1.first.eq((x == x0) & (y == y0)),
                entry1.last.eq(dx_last & dy_last),
                entry1.index.eq(index),
            ]

        # Stage "sum": where the word lies.
        with m.If(self.advance):
            m.d.sync += [
                self.valid.eq(located),
                self.entry.eq(entry1),
                self.entry.bank.eq(y_bank + x_bank),
                self.entry.address.eq(y_address + x_address + entry1.group),
            ]
        return m
