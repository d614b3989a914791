# SPDX-License-Identifier: BSD-2-Clause
"""Turns words of spikes into accumulate steps."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import value_shape
from pysnn_hw.hdl.shared.layouts import pass_layout, spike_bits, touch_layout
from pysnn_hw.hdl.shared.reader import touched_layout
from pysnn_hw.hdl.skid import SkidBuffer
from pysnn_hw.hdl.splitter import WordSplitter
from pysnn_hw.plan.layers import LayerProgram

__all__ = ["LayerWalker", "layer_step_layout"]


def layer_step_layout(program: LayerProgram) -> data.StructLayout:
    """One accumulate cycle: address and mask per bank, a weight word, how to turn it, a value."""
    touch = touch_layout(program)
    return data.StructLayout(
        {
            "address": touch["address"].shape,
            "mask": program.banks,
            "weight": touch["weight"].shape,
            "turn": touch["turn"].shape,
            "value": value_shape(program.spike_range),
        }
    )


class LayerWalker(wiring.Component):
    """Takes the spikes of each word one by one, and walks what each touches.

    A spike takes its number of steps along y times those along x times target groups, one cycle
    each, and the next follows without a bubble. ``done`` is high for a cycle when ``end`` has come
    through: every step of the pass was offered before. Stages: a skid buffer, `WordSplitter`,
    another skid buffer, *event*, *walk*.

    Parameters
    ----------
    program
        The core's layers.

    Members
    -------
    descriptor : In(pass_layout)
    i : In(stream.Signature(touched_layout))
    valid : Out(1), step : Out(layer_step_layout)
        A step to do in this cycle; nothing can hold it up.
    done : Out(1)
    """

    def __init__(self, program: LayerProgram):
        self.program = program
        super().__init__(
            {
                "descriptor": In(pass_layout(program)),
                "i": In(stream.Signature(touched_layout(program))),
                "valid": Out(1),
                "step": Out(layer_step_layout(program)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        program, d = self.program, self.descriptor
        touch = touch_layout(program)
        m.submodules.splitter = splitter = WordSplitter(
            program.lanes, spike_bits(program), touch, buffered=True
        )
        # Readiness goes through registers on either side of the splitter, and inside: it is a long
        # way from the last step of a spike to the reader of the next word.
        m.submodules.words = words = SkidBuffer(self.i.p.shape())
        wiring.connect(m, wiring.flipped(self.i), words.i)
        m.d.comb += [
            splitter.i.valid.eq(words.o.valid),
            words.o.ready.eq(splitter.i.ready),
            splitter.i.p.tag.eq(words.o.p.touch),
            splitter.i.p.marker.eq(words.o.p.end),
            splitter.i.p["items"].eq(words.o.p["values"]),
        ]

        # Stage "event": one spike and where its weights are.
        names = ("event_valid", "event_end", "load")
        event_valid, event_end, load = (Signal(name=name) for name in names)
        event = Signal(touch, reset_less=True)
        value = Signal.like(self.step.value, reset_less=True)
        m.submodules.spikes = spikes = SkidBuffer(splitter.o.p.shape())
        wiring.connect(m, splitter.o, spikes.i)
        single = spikes.o.p
        free = ~event_valid | load
        m.d.comb += spikes.o.ready.eq(free)
        with m.If(free):
            m.d.sync += [
                event_valid.eq(spikes.o.valid),
                event_end.eq(single.marker),
                event.eq(single.tag),
                event.weight.eq(single.tag.weight + single.index),
                Value.cast(value).eq(single["item"]),
            ]

        # Stage "walk": the step on offer, and what is left of the spike.
        busy = Signal()
        step = {
            name: Signal(self.step[name].shape(), name=name, reset_less=True)
            for name in ("weight", "turn", "value", "address")
        }
        weight, address = step["weight"], step["address"]
        m.d.comb += [self.step[name].eq(register) for name, register in step.items()]

        def register(like, name):
            return Signal.like(like, name=name, reset_less=True)

        y_left, x_left = register(event.y_steps, "y_left"), register(event.x_steps, "x_left")
        x_again, x_valid_again = (
            register(x_left, "x_again"),
            register(event.x_valid, "x_valid_again"),
        )
        group_left = register(d.out_groups, "group_left")
        y_valid, x_valid = register(event.y_valid, "y_valid"), register(event.x_valid, "x_valid")
        row_address, row_weight = register(address, "row_address"), register(weight, "row_weight")
        last_group, last_column, last_row = Signal(), Signal(), Signal()
        addresses = range(program.banks)
        last = Signal()  # all three, known a cycle ahead: it decides what moves up to the reader
        m.d.comb += [
            load.eq(event_valid & (~busy | last)),
            self.valid.eq(busy),
            self.done.eq(event_valid & event_end & load),
        ]
        m.d.comb += self.step.mask.eq(y_valid[0] & x_valid[0])
        with m.If(last_group):
            m.d.comb += self.step.mask.eq(y_valid[0] & x_valid[0] & d.filled)
        with m.If(busy):
            with m.If(~last_group):
                m.d.sync += [
                    group_left.eq(group_left - 1),
                    last_group.eq(group_left == 1),
                    weight.eq(weight + d.weight),
                ]
                m.d.sync += last.eq((group_left == 1) & last_column & last_row)
                m.d.sync += [address[b].eq(address[b] + 1) for b in addresses]
            with m.Elif(~last_column):
                m.d.sync += [
                    group_left.eq(d.out_groups),
                    last_group.eq(d.out_groups == 0),
                    x_left.eq(x_left - 1),
                    last_column.eq(x_left == 2),
                    last.eq((d.out_groups == 0) & (x_left == 2) & last_row),
                    x_valid.eq(_shifted(x_valid)),
                    weight.eq(weight + d.weight),
                ]
                m.d.sync += [address[b].eq(address[b] + d.column) for b in addresses]
            with m.Elif(~last_row):
                m.d.sync += [
                    group_left.eq(d.out_groups),
                    last_group.eq(d.out_groups == 0),
                    x_left.eq(x_again),
                    last_column.eq(x_again == 1),
                    x_valid.eq(x_valid_again),
                    y_left.eq(y_left - 1),
                    last_row.eq(y_left == 2),
                    last.eq((d.out_groups == 0) & (x_again == 1) & (y_left == 2)),
                    y_valid.eq(_shifted(y_valid)),
                    weight.eq(row_weight + d.weight_row),
                    row_weight.eq(row_weight + d.weight_row),
                ]
                for b in addresses:
                    following = row_address[b] + d.row
                    m.d.sync += [
                        address[b].eq(following),
                        row_address[b].eq(following),
                    ]
            with m.Else():
                m.d.sync += busy.eq(0)
        with m.If(load):
            m.d.sync += [
                busy.eq(~event_end),
                weight.eq(event.weight),
                step["value"].eq(value),
                step["turn"].eq(event.turn),
                address.eq(event.address),
                row_address.eq(event.address),
                row_weight.eq(event.weight),
                group_left.eq(d.out_groups),
                last_group.eq(d.out_groups == 0),
                x_left.eq(event.x_steps),
                x_again.eq(event.x_steps),
                last_column.eq(event.x_steps == 1),
                y_left.eq(event.y_steps),
                last_row.eq(event.y_steps == 1),
                last.eq((d.out_groups == 0) & (event.x_steps == 1) & (event.y_steps == 1)),
                x_valid.eq(event.x_valid),
                x_valid_again.eq(event.x_valid),
                y_valid.eq(event.y_valid),
            ]
        return m


def _shifted(valid):
    """Validity of the steps that follow."""
    return Value.cast(valid) >> len(valid[0])
