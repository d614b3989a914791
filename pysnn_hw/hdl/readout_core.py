# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Readout core: the last population, which integrates and never fires."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Out

from pysnn_hw.hdl.accumulate import Accumulate
from pysnn_hw.hdl.events import EventKind
from pysnn_hw.hdl.fire import select
from pysnn_hw.hdl.scan import Scan
from pysnn_hw.hdl.score_shifter import score_word_layout
from pysnn_hw.hdl.spec import CoreSpec

__all__ = ["ReadoutCore", "score_layout"]


def score_layout(spec: CoreSpec) -> data.StructLayout:
    """One word of membranes, ``last`` on the last of all; ``final`` in an image's last timestep."""
    flags = ("final",) if spec.reads_each_step else ()
    return score_word_layout(spec.population.channels, spec.plan.lanes, spec.bits, flags)


class ReadoutCore(wiring.Component):
    """Accumulates all timesteps of an image, then sends its membranes, word by word.

    The membranes start with the biases of all timesteps, so a ``STEP`` marker costs nothing but its
    own cycles. After ``INFERENCE`` one word per advance leaves in scan order while the start values
    are written back. After the marker of a probe run they are only written back.

    If the readout looks at every timestep, the membranes leave after ``STEP`` as well (not in a
    probe run); then each timestep's bias is added as the one before is read.

    Members
    -------
    i_<k> : In(stream.Signature(event_layout)), one per projection
    o : Out(stream.Signature(score_layout(spec)))
    issued, holding : Out(1)
        See `probe_signature`.
    boot_<k>
        See `Accumulate`.
    """

    def __init__(self, spec: CoreSpec):
        self.spec = spec
        self.accumulate = Accumulate(
            spec.synapses, spec.scan, spec.plan, bits=spec.bits, family=spec.schedule.family
        )
        members = {
            name: member
            for name, member in self.accumulate.signature.members.items()
            if name.startswith(("i_", "boot_"))
        }
        members["o"] = Out(stream.Signature(score_layout(spec)))
        members["issued"] = Out(1)
        members["holding"] = Out(1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        spec, acc = self.spec, self.accumulate
        m.submodules.accumulate = acc
        m.submodules.scan = scan = Scan(spec.scan)
        for name in acc.signature.members:
            if name.startswith(("i_", "boot_")):
                wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(acc, name))

        advance, initial, finished = Signal(), Signal(), Signal()
        final = Signal()  # what is sent is of an image's last timestep
        probing = Signal(init=spec.net.probe is not None)
        entry, valid = scan.entry, scan.valid
        for number in range(acc.scan_latency):
            later = Signal(entry.shape(), name=f"read_{number}")
            later_valid = Signal(name=f"read_valid_{number}")
            with m.If(advance):
                m.d.sync += [later.eq(entry), later_valid.eq(valid)]
            entry, valid = later, later_valid

        score = self.o.payload
        m.d.comb += [
            scan.advance.eq(advance),
            acc.advance.eq(advance),
            acc.scan.eq(scan.entry),
            self.o.valid.eq(valid & ~entry.end & ~initial),
            advance.eq(~self.o.valid | self.o.ready),
            score["values"].eq(acc.word),
            score.group.eq(entry.group),
            score.last.eq(entry.index == spec.scan.words - 1),
            *([score.final.eq(final)] if spec.reads_each_step else []),
            acc.restore.eq(valid & ~entry.end),
            acc.restore_to.eq(entry),
            self.issued.eq(acc.issued),
            self.holding.eq(acc.holding),
        ]
        m.d.sync += finished.eq(valid & entry.end & advance)
        for p in range(spec.plan.lanes):
            start = select(spec.start[:, p], entry.group, signed(spec.bits))
            following = start
            if spec.reads_each_step:
                bias = select(spec.bias[:, p], entry.group, signed(spec.bits))
                following = Mux(initial | final, start, acc.word[p] + bias)
            m.d.comb += acc.restore_word[p].eq(following)

        with m.FSM(name="phase"):
            with m.State("reset"):
                m.d.comb += scan.start.eq(1)
                m.d.sync += initial.eq(1)
                m.next = "init"
            with m.State("init"):
                m.d.comb += acc.scanning.eq(1)
                with m.If(finished):
                    m.d.sync += initial.eq(0)
                    if spec.net.probe is not None:  # its marker may wait
                        m.d.comb += acc.resume.eq(1)
                    m.next = "accumulate"
            with m.State("accumulate"):
                m.d.comb += acc.enable.eq(1)
                with m.If(acc.settled):
                    step = acc.marker == EventKind.STEP
                    with m.If(step & probing if spec.reads_each_step else step):
                        m.next = "resume"
                    if spec.net.probe is not None:
                        with m.Elif(acc.marker == EventKind.PROBE):
                            m.d.comb += scan.start.eq(1)
                            m.d.sync += [initial.eq(1), probing.eq(0)]
                            m.next = "init"
                    with m.Else():
                        m.d.comb += scan.start.eq(1)
                        m.d.sync += final.eq(~step)
                        m.next = "send"
            with m.State("resume"):  # a cycle of its own: the way back to the queues is long
                m.d.comb += acc.resume.eq(1)
                m.next = "accumulate"
            with m.State("send"):
                m.d.comb += acc.scanning.eq(1)
                with m.If(finished):
                    m.d.comb += acc.resume.eq(1)
                    if spec.net.probe is not None:
                        m.d.sync += probing.eq(final)
                    m.next = "accumulate"
        return m
