# SPDX-License-Identifier: BSD-2-Clause
"""Tap walker: turns one event into the membrane words and weights it touches."""

from amaranth.hdl import Array, C, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import EventKind, event_layout
from pysnn_hw.plan.geometry import ProjectionGeometry, ScanGeometry

__all__ = ["TapWalker", "step_layout"]


def _bits(largest: int) -> int:
    return max(1, int(largest).bit_length())


def step_layout(geometry: ProjectionGeometry, scan: ScanGeometry, value_shape) -> data.StructLayout:
    """One accumulate cycle: address and mask per membrane bank, a weight address, a value."""
    banks = geometry.y.banks * geometry.x.banks
    return data.StructLayout(
        {
            "address": data.ArrayLayout(unsigned(_bits(scan.bank_words() - 1)), banks),
            "mask": unsigned(banks),
            "weight": unsigned(_bits(geometry.weight_depth - 1)),
            "value": value_shape,
        }
    )


class TapWalker(wiring.Component):
    """Walks the outputs that each event touches: rows, columns, then channel groups.

    An event at (y, x) takes ``geometry.steps()[y, x]`` cycles, one transfer on ``o`` each, without
    a bubble between events as long as the queue holds one; taps outside the map cost nothing. An
    event that touches nothing takes one cycle. A marker waits, after the last transfer of the
    events before it, with ``marker`` showing its kind until ``resume`` is high for a cycle.

    All tables are small ROMs indexed by coordinate; there is no multiplication. Stages: *lookup*
    (tables), *sum* (base addresses), *walk* (counters).

    Parameters
    ----------
    geometry, scan
        Tables of the projection and of the target's membrane memory.
    value_range
        Range of the values in the events.

    Members
    -------
    i : In(stream.Signature(event_layout))
    o : Out(stream.Signature(step_layout))
    marker : Out(EventKind)
        ``SPIKE`` while events are being walked; else the marker reached.
    resume : In(1)
    """

    latency = 3
    """Cycles from the transfer on ``i`` until its first step is offered on ``o``."""

    def __init__(
        self,
        geometry: ProjectionGeometry,
        scan: ScanGeometry,
        *,
        value_range: tuple[int, int],
    ):
        if scan.banks != (geometry.y.banks, geometry.x.banks) or scan.lanes != geometry.lanes:
            raise ValueError(
                f"geometry has {geometry.lanes} lanes and {geometry.y.banks}x{geometry.x.banks} "
                f"banks, the membranes {scan.lanes} and {scan.banks}"
            )
        self.geometry, self.scan, self.value_range = geometry, scan, value_range
        self.event = event_layout(geometry.source_shape, value_range)
        self.step = step_layout(geometry, scan, self.event["value"].shape)
        super().__init__(
            {
                "i": In(stream.Signature(self.event)),
                "o": Out(stream.Signature(self.step)),
                "marker": Out(EventKind),
                "resume": In(1),
            }
        )

    def _y_table(self):
        """Rows along y: row address per bank, mask per bank, weight offset, steps left."""
        g, scan = self.geometry, self.scan
        row_words = g.x.tiles * scan.groups
        plane = len(g.x.phases) * g.conv.in_shape[0] * g.groups_per_event
        return [
            ([t * row_words for t in row.tiles], row.valid, row.weight * plane, row.steps)
            for row in g.y.rows
        ], (row_words, -g.y.stride * plane)

    def _x_table(self):
        g, scan = self.geometry, self.scan
        plane = g.conv.in_shape[0] * g.groups_per_event
        return [
            ([t * scan.groups for t in row.tiles], row.valid, row.weight * plane, row.steps)
            for row in g.x.rows
        ], (scan.groups, -g.x.stride * plane)

    def elaborate(self, platform):
        m = Module()
        g, scan = self.geometry, self.scan
        by, bx = scan.banks
        y_rows, (y_jump, y_weight_jump) = self._y_table()
        x_rows, (x_jump, x_weight_jump) = self._x_table()
        address_shape = unsigned(_bits(scan.bank_words() - 1))
        weight_shape = unsigned(_bits(g.weight_depth - 1))
        y_steps, x_steps = _bits(max(r[3] for r in y_rows)), _bits(max(r[3] for r in x_rows))
        groups = g.groups_per_event
        channel_weights = [c * groups for c in range(g.conv.in_shape[0])]
        channel_words = [g.first_group(c) for c in range(g.conv.in_shape[0])]

        def axis_layout(banks, steps):
            return data.StructLayout(
                {
                    "address": data.ArrayLayout(address_shape, banks),
                    "mask": unsigned(banks),
                    "weight": weight_shape,
                    "steps": unsigned(steps),
                }
            )

        def rom(rows, layout, index):
            words = [
                layout.const(
                    {
                        "address": addresses,
                        "mask": sum(int(v) << b for b, v in enumerate(valid)),
                        "weight": weight,
                        "steps": steps,
                    }
                ).as_bits()
                for addresses, valid, weight, steps in rows
            ]
            return _lookup(m, words, layout.size, index)

        y_layout, x_layout = axis_layout(by, y_steps), axis_layout(bx, x_steps)

        def register(shape, name):
            return Signal(shape, name=name, reset_less=True)

        # Stage "lookup": one table row per axis, and the channel's offsets.
        lookup_valid, sum_valid = Signal(), Signal()
        lookup_ready, sum_ready, walk_load = Signal(), Signal(), Signal()
        kind1 = register(EventKind, "kind1")
        value1 = register(self.event["value"].shape, "value1")
        y1, x1 = register(y_layout, "y1"), register(x_layout, "x1")
        channel1 = register(weight_shape, "channel1")
        group1 = register(address_shape, "group1")
        event = self.i.payload
        m.d.comb += self.i.ready.eq(~lookup_valid | lookup_ready)
        with m.If(self.i.ready):
            m.d.sync += [
                lookup_valid.eq(self.i.valid),
                kind1.eq(event.kind),
                value1.eq(event.value),
                y1.as_value().eq(rom(y_rows, y_layout, event.y)),
                x1.as_value().eq(rom(x_rows, x_layout, event.x)),
                channel1.eq(_lookup(m, channel_weights, weight_shape.width, event.c)),
                group1.eq(_lookup(m, channel_words, address_shape.width, event.c)),
            ]

        # Stage "sum": base addresses; events that touch nothing end here.
        nothing = Signal()
        kind2, value2 = register(EventKind, "kind2"), register(value1.shape(), "value2")
        address2 = register(data.ArrayLayout(address_shape, by * bx), "address2")
        mask2, weight2 = register(by * bx, "mask2"), register(weight_shape, "weight2")
        y_left2, x_left2 = register(y_steps, "y_left2"), register(x_steps, "x_left2")
        m.d.comb += [
            nothing.eq((kind1 == EventKind.SPIKE) & ((y1.steps == 0) | (x1.steps == 0))),
            sum_ready.eq(~sum_valid | walk_load),
            lookup_ready.eq(sum_ready | nothing),
        ]
        with m.If(sum_ready):
            m.d.sync += [
                sum_valid.eq(lookup_valid & ~nothing),
                kind2.eq(kind1),
                value2.eq(value1),
                weight2.eq(y1.weight + x1.weight + channel1),
                y_left2.eq(y1.steps - 1),
                x_left2.eq(x1.steps - 1),
            ]
            for j in range(by):
                for i in range(bx):
                    m.d.sync += [
                        address2[j * bx + i].eq(y1.address[j] + x1.address[i] + group1),
                        mask2[j * bx + i].eq(y1.mask[j] & x1.mask[i]),
                    ]

        # Stage "walk": the step on offer, and what is left of the event.
        busy, mark = Signal(), Signal()
        step = Signal.like(self.o.payload, reset_less=True)
        m.d.comb += self.o.payload.eq(step)
        y_left = register(y_steps, "y_left")
        x_left, x_reload = (register(x_steps, name) for name in ("x_left", "x_reload"))
        group_left = register(range(max(groups, 2)), "group_left")
        row_address = register(step.address.shape(), "row_address")
        row_weight = register(weight_shape, "row_weight")
        # Registers beside the counters: readiness starts here, and must not start late.
        ends = ("last_group", "last_column", "last_row")
        last_group, last_column, last_row = (Signal(name=name) for name in ends)

        def count_down(left, last):
            return [left.eq(left - 1), last.eq(left == 1)]

        def reload(left, last, value):
            return [left.eq(value), last.eq(value == 0)]

        m.d.comb += [
            self.o.valid.eq(busy),
            walk_load.eq(
                sum_valid
                & Mux(
                    mark, self.resume, ~busy | (self.o.ready & last_group & last_column & last_row)
                )
            ),
        ]
        kind = register(EventKind, "kind")
        m.d.comb += self.marker.eq(Mux(mark, kind, EventKind.SPIKE))
        with m.If(self.o.ready & busy):
            with m.If(~last_group):
                m.d.sync += [
                    *count_down(group_left, last_group),
                    step.weight.eq(step.weight + 1),
                ]
                m.d.sync += [step.address[b].eq(step.address[b] + 1) for b in range(by * bx)]
            with m.Elif(~last_column):
                jump = x_jump - (groups - 1)
                weight_jump = x_weight_jump - (groups - 1)
                m.d.sync += [
                    *reload(group_left, last_group, groups - 1),
                    *count_down(x_left, last_column),
                    step.weight.eq(step.weight + _constant(weight_jump, weight_shape)),
                ]
                m.d.sync += [
                    step.address[b].eq(step.address[b] + _constant(jump, address_shape))
                    for b in range(by * bx)
                ]
            with m.Elif(~last_row):
                m.d.sync += [
                    *reload(group_left, last_group, groups - 1),
                    *reload(x_left, last_column, x_reload),
                    *count_down(y_left, last_row),
                    step.weight.eq(row_weight + _constant(y_weight_jump, weight_shape)),
                    row_weight.eq(row_weight + _constant(y_weight_jump, weight_shape)),
                ]
                for b in range(by * bx):
                    next_row = row_address[b] + _constant(y_jump, address_shape)
                    m.d.sync += [step.address[b].eq(next_row), row_address[b].eq(next_row)]
            with m.Else():
                m.d.sync += busy.eq(0)
        with m.If(self.resume):
            m.d.sync += mark.eq(0)
        with m.If(walk_load):
            m.d.sync += [
                busy.eq(kind2 == EventKind.SPIKE),
                mark.eq(kind2 != EventKind.SPIKE),
                kind.eq(kind2),
                step.mask.eq(mask2),
                step.weight.eq(weight2),
                step.value.eq(value2),
                *reload(y_left, last_row, y_left2),
                *reload(x_left, last_column, x_left2),
                x_reload.eq(x_left2),
                *reload(group_left, last_group, groups - 1),
                row_weight.eq(weight2),
            ]
            for b in range(by * bx):
                m.d.sync += [step.address[b].eq(address2[b]), row_address[b].eq(address2[b])]
        return m


def _constant(value, shape):
    """``value`` modulo the register's width: adding it steps backwards when it is negative."""
    return C(value % (1 << shape.width), shape)


def _lookup(m, words, width, index):
    """A ROM in logic: ``words[index]``; a table of one word needs no index."""
    if len(set(words)) == 1:
        return C(words[0], width)
    return Array(C(word, width) for word in words)[index]
