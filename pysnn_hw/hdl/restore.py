# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""What goes back into the membranes as a word leaves the fire pipeline."""

from amaranth.hdl import Module, Mux, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import coordinate_shape
from pysnn_hw.hdl.fire import select
from pysnn_hw.hdl.spec import CoreSpec
from pysnn_hw.hdl.start import StartWords

__all__ = ["Restore"]


class Restore(wiring.Component):
    """The membranes that the next timestep begins with: start values, or residue and bias.

    Where a constant current is kept, the bias is part of that.

    Parameters
    ----------
    spec
        The population as hardware.

    Members
    -------
    advance, ahead, group
        See `StartWords`.
    restart : In(1)
        A start follows this timestep.
    residue : In(ArrayLayout(signed(bits), lanes))
    adjust : In(ArrayLayout(signed, lanes))
        What to add to start values. Only if a probe shifts them.
    membranes : Out(ArrayLayout(signed(bits), lanes))
    bias : Out(ArrayLayout(signed(bits), lanes))
    first : Out(ArrayLayout(signed(bits), lanes))
        What an image begins with.
    """

    def __init__(self, spec: CoreSpec):
        self.spec = spec
        self.shifts = spec.net.probe is not None and spec.net.probe.rule == "shift"
        word = data.ArrayLayout(signed(spec.bits), spec.scan.lanes)
        members = {
            "advance": In(1),
            "ahead": In(coordinate_shape(spec.scan.words)),
            "group": In(coordinate_shape(spec.scan.groups)),
            "restart": In(1),
            "residue": In(word),
            "membranes": Out(word),
            "bias": Out(word),
            "first": Out(word),
        }
        if self.shifts:
            theta = signed(int(spec.thresholds.max()).bit_length() + 1)
            members["adjust"] = In(data.ArrayLayout(theta, spec.scan.lanes))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        spec, holds = self.spec, self.spec.repeats > 1
        m.submodules.start = start = StartWords(
            spec.start,
            groups=spec.scan.groups,
            words=spec.scan.words,
            bits=spec.held_bits if holds else spec.bits,
            family=spec.schedule.family,
        )
        m.d.comb += [
            start.advance.eq(self.advance),
            start.ahead.eq(self.ahead),
            start.group.eq(self.group),
        ]
        for p in range(spec.scan.lanes):
            bias = select(spec.bias[:, p], self.group, signed(spec.bits))
            added = 0 if holds else bias
            if spec.net.total_steps == 1:
                value = start.word[p]
            elif self.shifts:  # one adder for both
                base = Mux(self.restart, start.word[p], self.residue[p])
                value = base + Mux(self.restart, self.adjust[p], added)
            else:
                value = Mux(self.restart, start.word[p], self._leaked(self.residue[p]) + added)
            m.d.comb += [
                self.membranes[p].eq(value),
                self.bias[p].eq(bias),
                self.first[p].eq(start.word[p] - added),
            ]
        return m

    def _leaked(self, membrane):
        """What the next step starts from."""
        shift = self.spec.population.neuron.leak
        return membrane - (membrane >> shift) if shift else membrane
