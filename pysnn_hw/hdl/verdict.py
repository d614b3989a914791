# SPDX-License-Identifier: BSD-2-Clause
"""What a probe run leaves behind in each neuron: it stays silent, or starts elsewhere."""

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import coordinate_shape
from pysnn_hw.hdl.fire import select
from pysnn_hw.ir.snn import Array

__all__ = ["Verdict"]


class Verdict(wiring.Component):
    """One flag per neuron, which a `ScanMemory` keeps, and what follows from it.

    ``mask``: the flag says that the neuron is to stay silent. It counts from the probe's last step,
    where the membrane ends at zero or below. ``shift``: the flag says that the neuron has fired in
    the probe. In the last step, a neuron that has and ends below zero gets ``-theta``, one that
    ends at theta or above gets ``theta`` to ``adjust`` its start by.

    Stands at the end of the fire pipeline: takes a word there, and answers one advance later.

    Parameters
    ----------
    rule
        ``mask`` or ``shift``.
    thresholds
        int64 (groups, lanes).
    bits
        Width of the membranes.
    spike_shape
        Shape of one spike.

    Members
    -------
    advance : In(1)
    deciding : In(1)
        This is the last step of the probe.
    group, flags, spikes, residue
        Of the word that leaves the fire pipeline.
    kept : Out(lanes)
        Its flags from now on; with ``mask`` they are meant only in the last step of the probe.
    adjust : Out(ArrayLayout(signed, lanes))
        What to add to its start values; zero except in the last step of the probe. Only ``shift``.
    """

    def __init__(self, rule: str, thresholds: Array, *, bits: int, spike_shape: Shape):
        if rule not in ("mask", "shift"):
            raise ValueError(f"rule must be 'mask' or 'shift', not {rule!r}")
        self.rule, self.thresholds = rule, thresholds
        groups, self.lanes = thresholds.shape
        self.theta_shape = signed(int(thresholds.max()).bit_length() + 1)
        members = {
            "advance": In(1),
            "deciding": In(1),
            "group": In(coordinate_shape(groups)),
            "flags": In(self.lanes),
            "spikes": In(data.ArrayLayout(spike_shape, self.lanes)),
            "residue": In(data.ArrayLayout(signed(bits), self.lanes)),
            "kept": Out(self.lanes),
        }
        if rule == "shift":
            members["adjust"] = Out(data.ArrayLayout(self.theta_shape, self.lanes))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        lanes = range(self.lanes)
        if self.rule == "mask":
            with m.If(self.advance):
                m.d.sync += self.kept.eq(Cat(self.residue[p] <= 0 for p in lanes))
            return m
        fired = Signal(self.lanes)
        m.d.comb += fired.eq(self.flags | Cat(self.spikes[p] != 0 for p in lanes))
        with m.If(self.advance):
            m.d.sync += [self.kept.eq(fired), self.adjust.as_value().eq(0)]
            with m.If(self.deciding):
                for p in lanes:
                    theta = select(self.thresholds[:, p], self.group, self.theta_shape)
                    with m.If(self.residue[p] < 0):
                        m.d.sync += self.adjust[p].eq(Mux(fired[p], -theta, 0))
                    with m.Elif(self.residue[p] >= theta):
                        m.d.sync += self.adjust[p].eq(theta)
        return m
