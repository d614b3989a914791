# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Integrate-and-fire core: one population and the projections that end there."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Out

from pysnn_hw.hdl.accumulate import Accumulate
from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.hdl.events import event_layout
from pysnn_hw.hdl.fire import FirePipeline
from pysnn_hw.hdl.phases import Phases
from pysnn_hw.hdl.restore import Restore
from pysnn_hw.hdl.scan import Scan, scan_layout
from pysnn_hw.hdl.scan_memory import ScanMemory
from pysnn_hw.hdl.sender import Sender
from pysnn_hw.hdl.spec import CoreSpec
from pysnn_hw.hdl.verdict import Verdict
from pysnn_hw.ir.widths import longest_run

__all__ = ["FireCore", "probe_signature"]


def probe_signature(spec: CoreSpec) -> wiring.Signature:
    """What a verification bench sees of a core: every word that fires, and two counters' inputs.

    ``valid`` for one cycle per word: ``index`` in scan order, ``spikes`` before pooling,
    ``membranes`` after reset and clamp, ``final`` in the last timestep. ``issued``: an accumulate
    step starts in this cycle. ``holding``: the core accumulates and a queue holds an event.
    """
    lanes = spec.plan.lanes
    return wiring.Signature(
        {
            "valid": Out(1),
            "index": Out(scan_layout(spec.scan)["index"].shape),
            "final": Out(1),
            "spikes": Out(data.ArrayLayout(spec.spike_shape, lanes)),
            "membranes": Out(data.ArrayLayout(signed(spec.bits), lanes)),
            "issued": Out(1),
            "holding": Out(1),
        }
    )


class FireCore(wiring.Component):
    """Accumulates the events of one timestep, then fires every neuron once, in scan order.

    Phases (`Phases`): *init* (after reset: writes the initial membranes), *accumulate*, *fire*.
    Fired words go through pooling (if this core does it) to the serializer; a marker of the same
    kind as the incoming ones follows the last word. Back-pressure on ``o`` stalls the fire phase
    as a whole; events on the inputs wait in their queues. The membrane memory holds each potential
    with the coming step's bias already added, so a timestep needs no bias cycle.

    A core whose input is the constant-encoded image computes the current once, keeps it, and fires
    as often as there are timesteps by itself; its membranes then live in a second memory in scan
    order.

    Signed neurons with memory keep in a memory of their own, in scan order, what they have emitted.
    Where the network begins with a probe run, such a memory keeps a flag per neuron (`Verdict`),
    and membranes start again at its end. What the verdict silences goes on unseen: its spikes are
    dropped, its membrane does not matter (``probe`` shows the start value in its place).

    Pipeline of a scanned word: `Scan` (2), membrane read (`Accumulate.scan_latency`), *hold* (only
    for constant current), `FirePipeline`, *emit*, `SkidBuffer`.

    Parameters
    ----------
    spec
        The population, its projections and folding, as hardware.

    Members
    -------
    i_<k> : In(stream.Signature(event_layout)), one per projection
    o : Out(stream.Signature(event_layout))
    probe : Out(probe_signature(spec))
    boot_<k>
        See `Accumulate`.
    """

    def __init__(self, spec: CoreSpec):
        self.spec = spec
        family, words, lanes = spec.schedule.family, spec.scan.words, spec.scan.lanes
        self.accumulate = Accumulate(
            spec.synapses, spec.scan, spec.plan, bits=spec.bits, family=family
        )
        self.held = None
        if spec.repeats > 1:
            self.held = BlockMemory(words, spec.held_bits * lanes, family=family)
        self.restore = Restore(spec)
        members = {
            name: member
            for name, member in self.accumulate.signature.members.items()
            if name.startswith(("i_", "boot_"))
        }
        members["o"] = Out(stream.Signature(event_layout(spec.out_shape, spec.out_range)))
        members["probe"] = Out(probe_signature(spec))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        spec, acc = self.spec, self.accumulate
        m.submodules.accumulate = acc
        m.submodules.scan = scan = Scan(spec.scan)
        # Counts the same words again as they leave: cheaper than to carry them along.
        m.submodules.retire = retire = Scan(spec.scan)
        for name in acc.signature.members:
            if name.startswith(("i_", "boot_")):
                wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(acc, name))

        advance = Signal()  # the fire phase moves as a whole
        m.submodules.phases = phases = Phases(
            repeats=spec.repeats, probe=0 if spec.net.probe is None else spec.net.probe.steps
        )
        m.d.comb += [
            phases.settled.eq(acc.settled),
            phases.marker.eq(acc.marker),
            acc.enable.eq(phases.enable),
            acc.scanning.eq(phases.scanning),
            acc.resume.eq(phases.resume),
            scan.start.eq(phases.start),
            scan.advance.eq(advance),
            acc.advance.eq(advance),
            acc.scan.eq(scan.entry),
        ]

        u, passing = self._potential(m, scan, advance)
        m.submodules.fire = fire = FirePipeline(
            spec.thresholds,
            bits=spec.bits,
            spike_max=spec.spike_max,
            neuron=spec.population.neuron,
            clamp=spec.clamp,
            emitted_bits=spec.emitted_bits,
        )
        m.d.comb += [fire.advance.eq(advance), fire.group.eq(passing.group), fire.u.eq(u)]
        passing = _hold(m, advance, passing, fire.latency, "fired")

        # Stage "emit": the new membranes go back, the spikes go out.
        # Whether a word leaves is decided one stage ahead, so that ``advance`` comes early.
        emit, emit_valid, sending = retire.entry, Signal(), Signal()
        pipe = _Pipe(phases, scan, retire, fire, advance, keep=emit_valid & ~emit.end)
        fired, silent = fire.spikes, None
        if spec.net.probe is not None:
            fired, silent = self._judge(m, pipe, passing, spec.net.probe.rule)
        if spec.emitted_bits:
            self._remember(m, pipe)
        some = passing.end | fired.as_value().any() if spec.pool is None else 1
        spikes = Signal.like(fire.spikes, reset_less=True)
        residue = Signal.like(fire.residue, reset_less=True)
        with m.If(advance):
            m.d.sync += [
                emit_valid.eq(passing.valid),
                sending.eq(passing.valid & ~phases.initial & some),
                spikes.eq(fired),
                residue.eq(fire.residue),
            ]
        m.d.comb += [
            retire.start.eq(scan.start),
            # The first word waits at the exit.
            retire.advance.eq(~retire.valid | (emit_valid & advance)),
        ]
        self._restore(m, pipe, residue)

        m.submodules.sender = sender = Sender(
            spec.scan,
            spec.pool,
            out_shape=spec.out_shape,
            spikes=(spec.population.spike_min, spec.spike_max),
            spike_shape=spec.spike_shape,
            out_range=spec.out_range,
            timesteps=longest_run(spec.net),
            family=spec.schedule.family,
        )
        wiring.connect(m, sender.o, wiring.flipped(self.o))
        # Registered: the way from a ready consumer to a resumed walker would be too long.
        m.d.sync += phases.finished.eq(emit_valid & emit.end & advance)
        m.d.comb += [
            sender.valid.eq(sending),
            sender.entry.eq(emit),
            sender.spikes.eq(spikes),
            sender.ending.eq(phases.ending),
            sender.fresh.eq(phases.fresh),
            advance.eq(~sending | sender.ready),
            self.probe.valid.eq(pipe.keep & ~phases.initial & advance),
            self.probe.index.eq(emit.index),
            self.probe.final.eq(phases.final),
            self.probe.spikes.eq(spikes),
            self.probe.membranes.eq(residue),
            self.probe.issued.eq(acc.issued),
            self.probe.holding.eq(acc.holding),
        ]
        if silent is not None:
            for p in range(spec.scan.lanes):
                with m.If(silent[p]):
                    m.d.comb += self.probe.membranes[p].eq(self.restore.first[p])
        return m

    def _potential(self, m, scan, advance):
        """``u`` of each scanned word, and what its stages must know of it."""
        spec, acc = self.spec, self.accumulate
        passing = Signal(_passing_layout(scan.layout))
        m.d.comb += [
            passing.valid.eq(scan.valid),
            passing.end.eq(scan.entry.end),
            passing.group.eq(scan.entry.group),
        ]
        if self.held is None:
            return acc.word, _hold(m, advance, passing, acc.scan_latency, "read")

        layout = data.ArrayLayout(signed(spec.held_bits), spec.scan.lanes)
        m.submodules.held = mem = self.held
        held, u = Signal(layout, reset_less=True), Signal.like(acc.word, reset_less=True)
        index = Signal.like(scan.entry.index)
        m.d.comb += [mem.read_address.eq(index), mem.read_enable.eq(advance)]
        with m.If(advance):
            m.d.sync += [index.eq(scan.entry.index), held.as_value().eq(mem.read_data)]
            m.d.sync += [u[p].eq(acc.word[p] + held[p]) for p in range(spec.scan.lanes)]
        return u, _hold(m, advance, passing, acc.scan_latency + 1, "read")

    def _recall(self, m, pipe, name, width):
        """A `ScanMemory` that the end of the pipeline writes, and its word as ``u`` comes."""
        spec = self.spec
        memory = ScanMemory(spec.scan.words, width, family=spec.schedule.family)
        m.submodules[name] = memory
        m.d.comb += [
            memory.advance.eq(pipe.advance),
            memory.index.eq(pipe.scan.entry.index),
            memory.keep.eq(pipe.keep),
            memory.keep_index.eq(pipe.retire.entry.index),
        ]
        later = 0 if self.held is None else 1  # its potential takes one stage more
        return memory, _hold(m, pipe.advance, memory.word, later, f"{name}_held")

    def _remember(self, m, pipe):
        """What each neuron has emitted since the image began."""
        fire = pipe.fire
        after = Signal.like(fire.emitted_after, reset_less=True)
        memory, before = self._recall(m, pipe, "emitted", len(after.as_value()))
        with m.If(pipe.advance):
            m.d.sync += after.eq(fire.emitted_after)
        m.d.comb += [
            memory.forget.eq(pipe.phases.fresh),
            memory.keep_word.eq(after),
            fire.emitted.eq(before),
        ]

    def _judge(self, m, pipe, passing, rule):
        """The verdict of a probe run.

        Returns the spikes that go on, and which lanes are silent in stage "emit" (None for none).
        """
        spec, fire, phases = self.spec, pipe.fire, pipe.phases
        memory, flags = self._recall(m, pipe, "flags", spec.scan.lanes)
        flags = _hold(m, pipe.advance, flags, fire.latency, "flags_fired")
        m.submodules.verdict = verdict = Verdict(
            rule, spec.thresholds, bits=spec.bits, spike_shape=spec.spike_shape
        )
        m.d.comb += [
            memory.keep_word.eq(verdict.kept),
            verdict.advance.eq(pipe.advance),
            verdict.deciding.eq(phases.deciding),
            verdict.group.eq(passing.group),
            verdict.flags.eq(flags),
            verdict.spikes.eq(fire.spikes),
            verdict.residue.eq(fire.residue),
        ]
        if rule == "shift":
            m.d.comb += [memory.forget.eq(phases.fresh), self.restore.adjust.eq(verdict.adjust)]
            return fire.spikes, None
        m.d.comb += [
            memory.forget.eq(phases.probing),
            memory.keep.eq(pipe.keep & phases.deciding),
        ]
        fired = Signal.like(fire.spikes)
        for p in range(spec.scan.lanes):
            m.d.comb += fired[p].eq(Mux(flags[p], 0, fire.spikes[p]))
        return fired, _hold(m, pipe.advance, flags, 1, "silent")

    def _restore(self, m, pipe, residue):
        """Writes membranes back."""
        acc, phases, emit = self.accumulate, pipe.phases, pipe.retire.entry
        m.submodules.restore = restore = self.restore
        restart = phases.initial | phases.final
        if self.spec.net.probe is not None:
            restart = restart | phases.deciding
        m.d.comb += [
            restore.advance.eq(pipe.retire.advance),
            restore.ahead.eq(pipe.retire.ahead),
            restore.group.eq(emit.group),
            restore.restart.eq(restart),
            restore.residue.eq(residue),
            acc.restore_to.eq(emit),
        ]
        if self.held is None:
            m.d.comb += [acc.restore.eq(pipe.keep), acc.restore_word.eq(restore.membranes)]
            return
        # The current stays until the image is done; the membranes live in the second memory.
        bits = self.spec.held_bits
        m.d.comb += [
            acc.restore.eq(pipe.keep & (phases.initial | phases.final)),
            acc.restore_word.eq(restore.bias),
            self.held.write_enable.eq(pipe.keep),
            self.held.write_address.eq(emit.index),
            self.held.write_data.eq(Cat(membrane[:bits] for membrane in restore.membranes)),
        ]


@dataclass(frozen=True)
class _Pipe:
    """The parts of a core that the stages around its fire pipeline share.

    ``keep``: a word is in stage "emit", and what it leaves behind may be written.
    """

    phases: Phases
    scan: Scan
    retire: Scan
    fire: FirePipeline
    advance: Signal
    keep: Value


def _passing_layout(scan):
    """What travels with a scanned word."""
    return data.StructLayout({"valid": 1, "end": 1, "group": scan["group"].shape})


def _hold(m, advance, passing, cycles, name):
    """``passing`` of so many advances ago."""
    for number in range(cycles):
        later = Signal.like(passing, name=f"{name}_{number}")
        with m.If(advance):
            m.d.sync += later.eq(passing)
        passing = later
    return passing
