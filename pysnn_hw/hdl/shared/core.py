# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Shared core: several populations in turn, with the projections that end in them."""

from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.hdl.delay import delayed
from pysnn_hw.hdl.events import EventKind, coordinate_shape, event_layout, value_shape
from pysnn_hw.hdl.fire import FirePipeline, ThresholdPort
from pysnn_hw.hdl.lanes import Lanes
from pysnn_hw.hdl.membrane import MembraneBank
from pysnn_hw.hdl.rom import LogicRom
from pysnn_hw.hdl.serializer import Serializer
from pysnn_hw.hdl.shared.charge import Charge
from pysnn_hw.hdl.shared.collector import Collector
from pysnn_hw.hdl.shared.layouts import constant_layout, constant_words, spike_bits, turns
from pysnn_hw.hdl.shared.reader import SpikeReader
from pysnn_hw.hdl.shared.scan import LayerScan
from pysnn_hw.hdl.shared.sequencer import LayerSequencer
from pysnn_hw.hdl.shared.turn import WeightTurner
from pysnn_hw.hdl.shared.walker import LayerWalker
from pysnn_hw.hdl.shared.weights import DeepWeightMemory
from pysnn_hw.hdl.shared.word_queue import WordQueue
from pysnn_hw.hdl.skid import SkidBuffer
from pysnn_hw.ir.widths import signed_bits
from pysnn_hw.plan.latency import membrane_hazard, membrane_lead, shared_scan_depth
from pysnn_hw.plan.layers import COPIES, LayerProgram
from pysnn_hw.plan.memory import Family
from pysnn_hw.plan.schedule import LaneKind

__all__ = ["SharedCore", "shared_probe_signature"]


def shared_probe_signature(program: LayerProgram) -> wiring.Signature:
    """What a verification bench sees of a shared core.

    ``valid`` for one cycle per word of layer ``number``: ``index`` in firing order (rows, columns,
    channel groups), ``spikes``, ``membranes`` after the reset, ``final`` in the last timestep.
    ``issued``: an accumulate step starts in this cycle. ``holding``: a pass is being accumulated.
    """
    low, high = program.spike_range
    words = max(
        lay.population.channels // program.lanes * lay.population.shape[1] * lay.population.shape[2]
        for lay in program.layers
    )
    return wiring.Signature(
        {
            "valid": Out(1),
            "number": Out(coordinate_shape(len(program.layers))),
            "index": Out(coordinate_shape(words)),
            "final": Out(1),
            "spikes": Out(data.ArrayLayout(value_shape((low, high)), program.lanes)),
            "membranes": Out(data.ArrayLayout(signed(program.bits), program.lanes)),
            "issued": Out(1),
            "holding": Out(1),
        }
    )


class SharedCore(wiring.Component):
    """Accumulates and fires one layer after the other, for all timesteps of each.

    Spikes from outside are collected in the spike memory, an image ahead. `LayerSequencer` runs
    the program; `SpikeReader` and `LayerWalker` turn spikes into a full-width step per cycle.
    A layer's membranes begin at zero: what it starts from, its bias and what comes from neuron to
    neuron are added as it fires, and after its last timestep zeros are written back.

    Stages of a step: *issue*, *weights* (`DeepWeightMemory`), *turn* (`WeightTurner`), *multiply*
    (`Lanes`), *add*, *write* (`MembraneBank`, ``far``). Stages of a scanned word: `LayerScan`,
    *select* (its address, instead of a step's), membrane read (3), *charge* (`Charge`),
    `FirePipeline`, *emit*, *send*. Nothing of this ever stalls: a word is scanned only when the
    `WordQueue` behind has room for it.

    Parameters
    ----------
    program
        The core's layers.
    lane_kind
        As of a core of one population, see `Lanes`.
    family
        Device family that block RAM is cut for.

    Members
    -------
    i_<k> : In(stream.Signature(event_layout)), one per population from outside
    o_<k> : Out(stream.Signature(event_layout)), one per layer that sends, in order
    probe : Out(shared_probe_signature)
    """

    def __init__(self, program: LayerProgram, *, lane_kind: LaneKind, family: Family):
        self.program, self.lane_kind, self.family = program, lane_kind, family
        self.senders = [k for k, layer in enumerate(program.layers) if layer.sends]
        self.sent = [program.layers[k].population.name for k in self.senders]
        self.neuron = program.layers[0].population.neuron
        self.spike_max = max(lay.population.spike_max for lay in program.layers)
        self.spike_shape = value_shape(program.spike_range)
        weights = program.weight_words().reshape(-1, program.lanes * self._banks)
        self.weight_bits = max(2, signed_bits(int(weights.min()), int(weights.max())))
        self.weights = DeepWeightMemory(weights, weight_bits=self.weight_bits, family=family)
        self.lanes = Lanes(
            program.lanes * self._banks,
            weight_bits=self.weight_bits,
            value=self.spike_shape,
            kind=lane_kind,
            family=family,
        )
        self.serializers = [
            Serializer(
                layer.population.shape,
                program.lanes,
                self._range(layer.population),
                buffered=True,
            )
            for layer in program.layers
            if layer.sends
        ]
        members = {}
        for k, region in enumerate(program.outside):
            source = program.net.population(region.population)
            events = event_layout(source.shape, self._range(source))
            members[f"i_{k}"] = In(stream.Signature(events))
        for k, serializer in enumerate(self.serializers):
            members[f"o_{k}"] = Out(stream.Signature(serializer.event_layout))
        members["probe"] = Out(shared_probe_signature(program))
        super().__init__(members)

    @property
    def _banks(self):
        return self.program.banks

    @staticmethod
    def _range(population):
        return population.spike_min, population.spike_max

    def elaborate(self, platform):
        m = Module()
        program = self.program
        m.submodules.sequencer = sequencer = LayerSequencer(program)
        # Each word with a bit that says whether it holds a spike: to find that out as it is read
        # would take half a cycle, from blocks that lie far from each other.
        m.submodules.spikes = spikes = BlockMemory(
            program.spikes.words,
            spike_bits(program) * program.lanes + 1,
            family=self.family,
            collides=False,  # what is read was complete before
        )
        m.submodules.reader = reader = SpikeReader(program, family=self.family)
        step = self._issue(m, sequencer, reader)
        m.submodules.scan = scan = LayerScan(program)
        m.d.comb += [
            scan.start.eq(sequencer.fire),
            scan.layer.eq(sequencer.layer),
        ]
        scanning = Signal()
        m.d.sync += scanning.eq(sequencer.scanning)
        word, banks = self._compute(m, scanning, scan, step)
        # Output registers of the blocks, then one on the way from where they lie.
        fetched = delayed(m, spikes.read_data, SpikeReader.latency - 1, "fetched")
        selected = _Word(Signal(name="selected"), Signal.like(scan.entry, reset_less=True))
        m.d.sync += [selected.valid.eq(scan.valid), selected.entry.eq(scan.entry)]
        emit, spikes_out, residue = self._fire(m, sequencer, selected, word, fetched[:-1])
        self._restore(m, sequencer, emit, residue, banks)

        # The spike memory: read by passes, then at firing, a cycle before a word is selected;
        # written at firing, else from outside.
        residual_address = Signal.like(sequencer.residual, reset_less=True)
        with m.If(sequencer.fire):
            m.d.sync += residual_address.eq(sequencer.residual)
        with m.Elif(scan.valid):
            m.d.sync += residual_address.eq(residual_address + 1)
        m.d.comb += [
            Cat(reader.read_data, reader.some).eq(fetched),
            spikes.read_address.eq(Mux(scanning, residual_address, reader.read_address)),
            spikes.read_enable.eq(1),
        ]
        target = Signal.like(sequencer.target, reset_less=True)
        with m.If(sequencer.fire):
            m.d.sync += target.eq(sequencer.target)
        with m.Elif(emit.kept):
            m.d.sync += target.eq(target + 1)
        # A cycle behind: no pass or scan begins that soon after the last word.
        address, word = Signal.like(spikes.write_address), Signal.like(spikes.write_data)
        m.d.comb += [address.eq(target), word.eq(Cat(Value.cast(spikes_out), emit.some))]
        arrived = self._collect(m, sequencer, address, word, emit.kept)
        m.d.sync += spikes.write_enable.eq(arrived | emit.kept)
        m.d.comb += [
            spikes.write_address.eq(delayed(m, address, 1, "kept_address")),
            spikes.write_data.eq(delayed(m, word, 1, "kept")),
        ]
        self._send(m, sequencer, scan, emit, spikes_out)
        m.d.sync += sequencer.fired.eq(emit.valid & emit.entry.end)
        m.d.comb += [
            self.probe.valid.eq(emit.keep),
            self.probe.number.eq(sequencer.number),
            self.probe.index.eq(emit.entry.index),
            self.probe.final.eq(sequencer.final),
            self.probe.spikes.eq(spikes_out),
            self.probe.membranes.eq(residue),
        ]
        return m

    def _issue(self, m, sequencer, reader):
        """Reader and walker of a pass; the step that is issued."""
        m.submodules.walker = walker = LayerWalker(self.program)
        wiring.connect(m, reader.o, walker.i)
        m.d.comb += [
            reader.start.eq(sequencer.read),
            reader.descriptor.eq(sequencer.current),
            reader.source.eq(sequencer.source),
            walker.descriptor.eq(sequencer.current),
        ]
        valid, step = Signal(), Signal.like(walker.step, reset_less=True)
        m.d.sync += [valid.eq(walker.valid), step.eq(walker.step)]
        # Accumulated once the pipeline has certainly written its last sum.
        depth = DeepWeightMemory.latency + self._turner.latency + self.lanes.latency
        depth += membrane_hazard(far=True) + 1
        left = Signal(range(depth + 1))
        draining, holding = (Signal(name=name) for name in ("draining", "holding"))
        with m.If(walker.done):
            m.d.sync += [draining.eq(1), left.eq(depth)]
        with m.Elif(draining):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 1):
                m.d.sync += draining.eq(0)
        with m.If(sequencer.read):
            m.d.sync += holding.eq(1)
        with m.Elif(sequencer.accumulated):
            m.d.sync += holding.eq(0)
        m.d.comb += [
            sequencer.accumulated.eq(draining & (left == 1)),
            self.probe.issued.eq(valid),
            self.probe.holding.eq(holding),
        ]
        return valid, step

    @property
    def _turner(self):
        return WeightTurner(turns(self.program)[0], self.weight_bits * self.program.lanes)

    def _compute(self, m, scanning, scan, issued):
        """Weights, lanes and banks: never stalls. Returns the scanned word, and the banks."""
        program, p = self.program, self.program.lanes
        valid, step = issued
        m.submodules.weights, m.submodules.lanes = self.weights, self.lanes
        m.submodules.turner = turner = self._turner
        lag = DeepWeightMemory.latency
        m.d.comb += [
            self.weights.address.eq(step.weight),
            turner.slots.eq(self.weights.weights.as_value()),
            turner.turn.eq(delayed(m, step.turn, lag, "turn")),
            self.lanes.weights.as_value().eq(Value.cast(turner.banked)),
            self.lanes.value.eq(delayed(m, step.value, lag + turner.latency, "value")),
        ]
        # The addend meets its membrane in stage "add".
        lead = lag + turner.latency + self.lanes.latency - membrane_lead(far=True)
        valid = delayed(m, valid, lead, "step_valid", flag=True)
        mask = delayed(m, step.mask, lead, "step_mask")
        banks = []
        for b in range(self._banks):
            m.submodules[f"bank_{b}"] = bank = MembraneBank(
                depth=program.bank_words,
                lanes=p,
                bits=program.bits,
                addend_bits=self.lanes.product.width,
                min_distance=1,
                kind="block",
                family=self.family,
                far=True,
            )
            # One register for both: memory blocks lie far from each other.
            ahead = delayed(m, step.address[b], lead - 1, f"step_address_{b}")
            address = Signal.like(bank.step_address, name=f"address_{b}", reset_less=True)
            m.d.sync += address.eq(Mux(scanning, scan.entry.address, ahead))
            m.d.comb += [
                bank.step.eq(valid & mask[b]),
                bank.step_address.eq(address),
                bank.scanning.eq(scanning),
                bank.advance.eq(1),
                bank.scan_address.eq(address),
            ]
            m.d.comb += [bank.addends[i].eq(self.lanes.products[b * p + i]) for i in range(p)]
            banks.append(bank)
        words = [bank.scan_data.as_value() for bank in banks]
        which = delayed(m, scan.entry.bank, 3, "scan_bank")
        word = Signal(data.ArrayLayout(signed(program.bits), p), reset_less=True)
        m.d.sync += word.as_value().eq(Array(words)[which] if len(words) > 1 else words[0])
        return word, banks

    def _restore(self, m, sequencer, emit, residue, banks):
        """Membranes are written back a cycle after they are emitted; after reset, cleared."""
        clearing, entry = sequencer.clearing, emit.entry
        address = Signal.like(entry.address, reset_less=True)
        word = Signal.like(residue, reset_less=True)
        m.d.sync += [
            address.eq(Mux(clearing, sequencer.clear_address, entry.address)),
            word.as_value().eq(Mux(clearing | sequencer.final, 0, residue.as_value())),
        ]
        for number, bank in enumerate(banks):
            restore = Signal(name=f"restore_{number}")
            m.d.sync += restore.eq(clearing | (emit.keep & (entry.bank == number)))
            m.d.comb += [
                bank.restore.eq(restore),
                bank.restore_address.eq(address),
                bank.restore_data.eq(word),
            ]

    def _fire(self, m, sequencer, selected, word, spike_data):
        """Constants and residual sums, then the fire pipeline; what is emitted."""
        program = self.program
        layout = constant_layout(program)
        words = [layout.const(w).as_bits() for w in constant_words(program)]
        m.submodules.constants = constants = LogicRom(words, layout.size, family=self.family)
        m.d.comb += constants.address.eq(selected.entry.constant)
        m.submodules.charge = charge = Charge(program)
        fetched, values = Signal(layout), Signal(data.ArrayLayout(self.spike_shape, program.lanes))
        m.d.comb += Value.cast(fetched).eq(constants.data)
        m.d.comb += Value.cast(values).eq(spike_data)
        # Constants and residual are fetched two cycles after the selection, membranes three.
        m.d.comb += [
            charge.first.eq(sequencer.first),
            charge.constants.eq(fetched),
            charge.spikes.eq(values),
            charge.membranes.eq(word),
        ]
        m.submodules.fire = fire = FirePipeline(
            ThresholdPort(program.lanes, int(program.constants("threshold").max())),
            bits=program.bits,
            spike_max=self.spike_max,
            neuron=self.neuron,
        )
        m.d.comb += [
            fire.advance.eq(1),
            fire.u.eq(charge.u),
            fire.theta.eq(charge.theta),
        ]
        later = 2 + charge.latency + fire.latency
        valid = delayed(m, selected.valid, later, "fired_valid", flag=True)
        entry = delayed(m, selected.entry, later, "fired_entry")
        keep = valid & ~entry.end
        fires = Cat(fire.spikes[p].any() for p in range(program.lanes))
        emit = _Emitted(
            delayed(m, valid, 1, "emit_valid", flag=True),
            delayed(m, entry, 1, "emit_entry"),
            delayed(m, fires, 1, "fires").any(),
            delayed(m, keep, 1, "emit_keep", flag=True),
            delayed(m, keep & sequencer.layer.keeps, 1, "emit_kept", flag=True),
        )
        spikes, residue = (delayed(m, x, 1, "emitted") for x in (fire.spikes, fire.residue))
        return emit, spikes, residue

    def _collect(self, m, sequencer, address, word, busy):
        """What comes from outside goes into the memory whenever nothing else is written.

        Returns whether ``address`` and ``word`` are such.
        """
        program = self.program
        available, writing = [], []
        for k, region in enumerate(program.outside):
            source = program.net.population(region.population)
            m.submodules[f"collector_{k}"] = collector = Collector(
                source.shape,
                self._range(source),
                lanes=program.lanes,
                bits=spike_bits(program),
                base=region.base,
                depth=program.spikes.words,
                timesteps=program.net.timesteps,
            )
            wiring.connect(m, wiring.flipped(getattr(self, f"i_{k}")), collector.i)
            images = Signal(range(COPIES + 1), name=f"images_{k}")
            m.d.sync += images.eq(images + collector.filled - sequencer.release)
            available.append(images != 0)
            m.d.comb += [collector.free.eq(images != COPIES), collector.write.ready.eq(~busy)]
            with m.If(collector.write.valid & ~busy):
                m.d.comb += [
                    address.eq(collector.write.p.address),
                    word.eq(Cat(Value.cast(collector.write.p.word), collector.write.p.some)),
                ]
            writing.append(collector.write.valid)
            busy = busy | collector.write.valid
        ready = available[0]
        for more in available[1:]:
            ready = ready & more
        m.d.comb += sequencer.available.eq(ready)
        return Cat(*writing).any()

    def _send(self, m, sequencer, scan, emit, spikes):
        """Spikes of layers that send leave as events."""
        entry = emit.entry
        room = []
        for k, (number, serializer) in enumerate(zip(self.senders, self.serializers, strict=True)):
            m.submodules[f"serializer_{k}"] = serializer
            m.submodules[f"queue_{k}"] = queue = WordQueue(
                serializer.i_layout, under_way=shared_scan_depth(self.program) + 1
            )
            # Readiness through registers: consumers, then parts and items of words.
            m.submodules[f"skid_{k}"] = skid = SkidBuffer(serializer.event_layout)
            wiring.connect(m, queue.o, serializer.i)
            wiring.connect(m, serializer.o, skid.i)
            wiring.connect(m, skid.o, wiring.flipped(getattr(self, f"o_{k}")))
            room.append(queue.room)
            valid = Signal(name=f"send_valid_{k}")
            word = Signal(serializer.i_layout, name=f"send_{k}", reset_less=True)
            m.d.sync += [
                valid.eq(emit.valid & (entry.end | emit.some) & (sequencer.number == number)),
                Value.cast(word).eq(0),
            ]
            with m.If(entry.end):
                m.d.sync += word.kind.eq(Mux(sequencer.final, EventKind.INFERENCE, EventKind.STEP))
            with m.Else():
                m.d.sync += [
                    word.kind.eq(EventKind.SPIKE),
                    word.y.eq(entry.y),
                    word.x.eq(entry.x),
                    word.group.eq(entry.group),
                ]
                m.d.sync += [word["values"][p].eq(spikes[p]) for p in range(self.program.lanes)]
            m.d.comb += [queue.valid.eq(valid), queue.word.eq(word)]
        m.d.comb += scan.room.eq(Cat(*room).all())


@dataclass(frozen=True)
class _Word:
    """A scanned word in some stage: whether there is one, and where it belongs."""

    valid: Value
    entry: data.View


@dataclass(frozen=True)
class _Emitted(_Word):
    """A word that has fired: whether one of its neurons did, and what becomes of it.

    ``keep``: it is a word, not the end of the scan. ``kept``: its spikes go into the memory.
    """

    some: Value
    keep: Value
    kept: Value
