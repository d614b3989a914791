# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Integrate-and-fire core: one population and the projections that end there."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Out

from pysnn_hw.hdl.accumulate import Accumulate
from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.hdl.events import EventKind, event_layout
from pysnn_hw.hdl.fire import FirePipeline, select
from pysnn_hw.hdl.pool import make_pool
from pysnn_hw.hdl.scan import Scan, scan_layout
from pysnn_hw.hdl.serializer import Serializer
from pysnn_hw.hdl.skid import SkidBuffer
from pysnn_hw.hdl.spec import CoreSpec

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

    Phases: *init* (after reset: writes the initial membranes), *accumulate*, *fire*. Fired words go
    through pooling (if this core does it) to the serializer; a marker of the same kind as the
    incoming ones follows the last word. Back-pressure on ``o`` stalls the fire phase as a whole;
    events on the inputs wait in their queues. The membrane memory holds each potential with the
    coming step's bias already added, so a timestep needs no bias cycle.

    Signed neurons with memory keep in a memory of their own, in scan order, what they have emitted.

    A core whose input is the constant-encoded image computes the current once, keeps it, and fires
    T times by itself; its membranes then live in a second memory in scan order.

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
        family = spec.schedule.family
        self.accumulate = Accumulate(
            spec.synapses, spec.scan, spec.plan, bits=spec.bits, family=family
        )
        self.held = None
        if spec.repeats > 1:
            width = spec.held_bits * spec.scan.lanes
            self.held = BlockMemory(spec.scan.words, width, family=family)
        self.emitted = None
        if spec.emitted_bits:
            width = spec.emitted_bits * spec.scan.lanes
            self.emitted = BlockMemory(spec.scan.words, width, family=family)
        members = {
            name: member
            for name, member in self.accumulate.signature.members.items()
            if name.startswith(("i_", "boot_"))
        }
        members["o"] = Out(stream.Signature(event_layout(spec.scan.out_shape, spec.out_range)))
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
        initial = Signal()  # this scan writes the initial membranes and sends nothing
        fresh = Signal(init=1)  # first timestep of an image
        final = Signal()  # last timestep of an image
        finished = Signal()  # the end of the scan has left the pipeline
        m.d.comb += [
            scan.advance.eq(advance),
            acc.advance.eq(advance),
            acc.scan.eq(scan.entry),
        ]
        self._control(m, scan, finished, initial, fresh, final)

        u, passing = self._potential(m, scan, advance, fresh)
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
        some = passing.end | fire.spikes.as_value().any() if spec.pool is None else 1
        spikes, residue = Signal.like(fire.spikes), Signal.like(fire.residue)
        with m.If(advance):
            m.d.sync += [
                emit_valid.eq(passing.valid),
                sending.eq(passing.valid & ~initial & some),
                spikes.eq(fire.spikes),
                residue.eq(fire.residue),
            ]
        m.d.comb += [
            retire.start.eq(scan.start),
            # The first word waits at the exit.
            retire.advance.eq(~retire.valid | (emit_valid & advance)),
        ]
        if self.emitted is not None:
            self._remember(m, self.emitted, scan, retire, fire, advance, fresh, emit_valid)
        self._restore(m, emit, emit_valid, residue, initial, final)
        ready = self._send(m, emit, spikes, sending, fresh, final)
        # Registered: the way from a ready consumer to a resumed walker would be too long.
        m.d.sync += finished.eq(emit_valid & emit.end & advance)
        m.d.comb += [
            advance.eq(~sending | ready),
            self.probe.valid.eq(emit_valid & ~emit.end & ~initial & advance),
            self.probe.index.eq(emit.index),
            self.probe.final.eq(final),
            self.probe.spikes.eq(spikes),
            self.probe.membranes.eq(residue),
            self.probe.issued.eq(acc.issued),
            self.probe.holding.eq(acc.holding),
        ]
        return m

    def _control(self, m, scan, finished, initial, fresh, final):
        """Phases and, for a constant current, the timesteps."""
        acc, repeats = self.accumulate, self.spec.repeats
        step = Signal(range(max(2, repeats)))
        with m.FSM(name="phase"):
            with m.State("reset"):
                m.d.comb += scan.start.eq(1)
                m.d.sync += initial.eq(1)
                m.next = "init"
            with m.State("init"):
                m.d.comb += acc.scanning.eq(1)
                with m.If(finished):
                    m.d.sync += initial.eq(0)
                    m.next = "accumulate"
            with m.State("accumulate"):
                m.d.comb += acc.enable.eq(1)
                with m.If(acc.settled):
                    m.d.comb += scan.start.eq(1)
                    m.d.sync += step.eq(0)
                    last = acc.marker == EventKind.INFERENCE
                    m.d.sync += final.eq(last if repeats == 1 else 0)
                    m.next = "fire"
            with m.State("fire"):
                m.d.comb += acc.scanning.eq(1)
                with m.If(finished):
                    m.d.sync += fresh.eq(final)
                    with m.If(step == repeats - 1):
                        m.d.comb += acc.resume.eq(1)
                        m.next = "accumulate"
                    with m.Else():
                        m.d.comb += scan.start.eq(1)
                        m.d.sync += [
                            step.eq(step + 1),
                            final.eq(step == repeats - 2),
                        ]

    def _potential(self, m, scan, advance, fresh):
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
        fetched, held = Signal(layout), Signal(layout)
        index = Signal.like(scan.entry.index)
        with m.If(advance):
            m.d.sync += index.eq(scan.entry.index)
        m.d.comb += [
            mem.read_address.eq(index),
            mem.read_enable.eq(advance),
            fetched.as_value().eq(mem.read_data),
        ]
        early = _hold(m, advance, passing, acc.scan_latency - 1, "read")
        passing = _hold(m, advance, early, 1, "last_read")
        u = Signal.like(acc.word)
        with m.If(advance):
            for p in range(spec.scan.lanes):
                start = select(spec.v_init[:, p], early.group, signed(spec.held_bits))
                m.d.sync += [
                    held[p].eq(Mux(fresh, start, fetched[p])),
                    u[p].eq(acc.word[p] + held[p]),
                ]
        return u, _hold(m, advance, passing, 1, "hold")

    def _remember(self, m, mem, scan, retire, fire, advance, fresh, emit_valid):
        """What each neuron has emitted since the image began, read beside its membrane."""
        m.submodules.emitted = mem
        index = Signal.like(scan.entry.index, name="emitted_index")
        before = Signal.like(fire.emitted, name="emitted_before")
        after = Signal.like(fire.emitted_after)
        with m.If(advance):
            m.d.sync += [
                index.eq(scan.entry.index),
                before.as_value().eq(Mux(fresh, 0, mem.read_data)),
                after.eq(fire.emitted_after),
            ]
        if self.held is not None:  # its potential takes one stage more
            later = Signal.like(before, name="emitted_held")
            with m.If(advance):
                m.d.sync += later.eq(before)
            before = later
        m.d.comb += [
            mem.read_address.eq(index),
            mem.read_enable.eq(advance),
            fire.emitted.eq(before),
            mem.write_enable.eq(emit_valid & ~retire.entry.end),
            mem.write_address.eq(retire.entry.index),
            mem.write_data.eq(after.as_value()),
        ]

    def _restore(self, m, emit, emit_valid, residue, initial, final):
        """Writes membranes back: the start value after the last step, else residue + bias."""
        spec, acc = self.spec, self.accumulate
        m.d.comb += [
            acc.restore_to.eq(emit),
            acc.restore.eq(emit_valid & ~emit.end),
        ]
        for p in range(spec.scan.lanes):
            start = select(spec.start[:, p], emit.group, signed(spec.bits))
            value = start
            if spec.repeats == 1 and spec.net.timesteps > 1:
                bias = select(spec.bias[:, p], emit.group, signed(spec.bits))
                value = Mux(initial | final, start, self._leaked(residue[p]) + bias)
            m.d.comb += acc.restore_word[p].eq(value)
        if self.held is not None:
            # The current stays until the image is done; the membranes live in the second memory.
            m.d.comb += [
                acc.restore.eq(emit_valid & ~emit.end & (initial | final)),
                self.held.write_enable.eq(emit_valid & ~emit.end),
                self.held.write_address.eq(emit.index),
                self.held.write_data.eq(
                    Cat(self._leaked(residue[p])[: spec.held_bits] for p in range(spec.scan.lanes))
                ),
            ]

    def _leaked(self, membrane):
        """What the next step starts from."""
        shift = self.spec.population.neuron.leak
        return membrane - (membrane >> shift) if shift else membrane

    def _send(self, m, emit, spikes, sending, fresh, final):
        """Words (pooled if this core pools) through the serializer; markers in line.

        Returns whether the word on offer can leave.
        """
        spec = self.spec
        m.submodules.serializer = serializer = Serializer(
            spec.scan.out_shape, spec.plan.lanes, spec.out_range
        )
        wiring.connect(m, serializer.o, wiring.flipped(self.o))
        kind = Mux(final, EventKind.INFERENCE, EventKind.STEP)
        target = serializer.i
        if spec.pool is not None:
            m.submodules.pool = pool = make_pool(
                spec.pool,
                spec.scan.out_shape,
                spec.plan.lanes,
                (spec.population.spike_min, spec.spike_max),
                timesteps=spec.net.timesteps,
                words=spec.scan.words,
            )
            wiring.connect(m, pool.o, serializer.i)
            target = pool.i
        m.submodules.skid = skid = SkidBuffer(target.payload.shape())
        wiring.connect(m, skid.o, target)
        word = skid.i.payload
        m.d.comb += [
            skid.i.valid.eq(sending),
            word.kind.eq(Mux(emit.end, kind, EventKind.SPIKE)),
        ]
        with m.If(~emit.end):
            m.d.comb += [word.y.eq(emit.y), word.x.eq(emit.x), word.group.eq(emit.group)]
            m.d.comb += [word["values"][p].eq(spikes[p]) for p in range(spec.plan.lanes)]
        if spec.pool is not None:
            with m.If(~emit.end):
                m.d.comb += [
                    word.first.eq(emit.first),
                    word.last.eq(emit.last),
                    word.keep.eq(emit.keep),
                    word.fresh.eq(fresh),
                ]
        return skid.i.ready


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
