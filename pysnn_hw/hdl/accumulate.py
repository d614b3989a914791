# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Accumulate datapath of a core: from events to membranes."""

from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.delay import delayed
from pysnn_hw.hdl.events import EventKind, event_layout, value_shape
from pysnn_hw.hdl.lanes import Lanes
from pysnn_hw.hdl.membrane import MembraneBank
from pysnn_hw.hdl.queue import EventQueue
from pysnn_hw.hdl.scan import scan_layout
from pysnn_hw.hdl.split import BitSplitter
from pysnn_hw.hdl.walker import TapWalker
from pysnn_hw.hdl.weights import WeightMemory
from pysnn_hw.ir.widths import signed_bits
from pysnn_hw.plan.geometry import ProjectionGeometry, ScanGeometry
from pysnn_hw.plan.latency import lane_latency, membrane_hazard, membrane_lead
from pysnn_hw.plan.memory import Family
from pysnn_hw.plan.schedule import CorePlan

__all__ = ["Accumulate", "Synapses"]


@dataclass(frozen=True)
class Synapses:
    """One projection as hardware: its tables, the range of its events, queue and memory."""

    name: str
    geometry: ProjectionGeometry
    value_range: tuple[int, int]
    queue_depth: int
    weight_memory: str

    @property
    def weight_bits(self) -> int:
        """Width of its weights as they are."""
        weight = self.geometry.conv.weight
        return max(2, signed_bits(int(weight.min()), int(weight.max())))


class Accumulate(wiring.Component):
    """Event queues, tap walkers, weight memories, lanes and membrane banks of one core.

    While ``enable`` is high, events of all projections are accumulated, a full-width step per cycle
    as long as a queue holds an event. When every projection has reached its marker and the last
    sum is written, ``settled`` rises and ``marker`` tells which; then the membranes may be scanned
    (see `MembraneBank`) until ``resume``, one cycle, lets the events go on.

    Stages of a step: *issue*, *weights* (2), *select* (only with several projections), *multiply*
    (`Lanes.latency`), *add*, *write*. Scanned words follow `scan_latency` advances after ``scan``.

    Parameters
    ----------
    synapses
        The projections that end here.
    scan, plan
        Membrane layout and folding.
    bits
        Width of the membranes.
    family
        Device family that block RAM is cut for.

    Members
    -------
    i_<k> : In(stream.Signature(event_layout)), one per projection
    enable, settled, marker, resume
        See above.
    advance : In(1), scanning : In(1), scan : In(scan_layout)
        The scan's clock enable, phase and current entry (its bank and address).
    word : Out(ArrayLayout(signed(bits), lanes))
    restore : In(1), restore_to : In(scan_layout), restore_word : In(ArrayLayout)
    issued, holding : Out(1)
        For measurements: a step was issued; a queue holds an event during the accumulate phase.
    boot_<k>
        Boot ports of the weight memories that need one.
    """

    scan_latency = 3

    def __init__(
        self,
        synapses: tuple[Synapses, ...],
        scan: ScanGeometry,
        plan: CorePlan,
        *,
        bits: int,
        family: Family,
    ):
        self.synapses, self.scan_geometry, self.plan, self.bits = synapses, scan, plan, bits
        self.family = family
        self.word_layout = data.ArrayLayout(signed(bits), scan.lanes)
        low = min(s.value_range[0] for s in synapses)
        high = max(s.value_range[1] for s in synapses)
        self.value_shape = value_shape((low, high))
        self.weight_bits = max(s.weight_bits for s in synapses)
        self.memories = [
            WeightMemory(
                s.geometry.weight_words().reshape(s.geometry.weight_depth, -1),
                weight_bits=self.weight_bits,
                kind=s.weight_memory,
                family=family,
            )
            for s in synapses
        ]
        layout = scan_layout(scan)
        members = {
            "enable": In(1),
            "settled": Out(1),
            "marker": Out(EventKind),
            "resume": In(1),
            "advance": In(1),
            "scanning": In(1),
            "scan": In(layout),
            "word": Out(self.word_layout),
            "restore": In(1),
            "restore_to": In(layout),
            "restore_word": In(self.word_layout),
            "issued": Out(1),
            "holding": Out(1),
        }
        for k, (s, mem) in enumerate(zip(synapses, self.memories, strict=True)):
            members[f"i_{k}"] = In(
                stream.Signature(event_layout(s.geometry.source_shape, s.value_range))
            )
            if s.weight_memory == "spram":
                members[f"boot_{k}"] = mem.signature.members["boot"]
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        step = self._issue(m)
        self._compute(m, step)
        return m

    def _issue(self, m):
        """Queues and walkers; one step per cycle from the first projection that has one."""
        walkers, waiting = [], []
        for k, s in enumerate(self.synapses):
            source = getattr(self, f"i_{k}")
            m.submodules[f"queue_{s.name}"] = queue = EventQueue(
                source.payload.shape(), depth=s.queue_depth
            )
            wiring.connect(m, wiring.flipped(source), queue.i)
            waiting.append(queue.o.valid)
            events = queue.o
            if self.plan.lane_kind == "shift":
                m.submodules[f"split_{s.name}"] = split = BitSplitter(
                    s.geometry.source_shape, s.value_range
                )
                wiring.connect(m, events, split.i)
                events = split.o
            m.submodules[f"walker_{s.name}"] = walker = TapWalker(
                s.geometry, self.scan_geometry, value_range=s.value_range
            )
            wiring.connect(m, events, walker.i)
            m.d.comb += walker.resume.eq(self.resume)
            walkers.append(walker)

        def register(shape, name):
            return Signal(shape, name=f"issue_{name}", reset_less=True)

        banks = len(walkers[0].o.p.address)
        step = {
            "valid": Signal(name="issue"),
            "source": register(range(max(2, len(walkers))), "source"),
            "weight": [register(w.o.p.weight.shape(), "weight") for w in walkers],
            "value": register(self.value_shape, "value"),
            "mask": register(banks, "mask"),
            "address": [
                register(walkers[0].o.p.address[b].shape(), f"address_{b}") for b in range(banks)
            ],
        }
        m.d.sync += step["valid"].eq(0)
        granted = self.enable
        for k, walker in enumerate(walkers):
            grant = Signal(name=f"grant_{k}")
            m.d.comb += [grant.eq(granted & walker.o.valid), walker.o.ready.eq(granted)]
            granted = granted & ~walker.o.valid
            m.d.sync += step["weight"][k].eq(walker.o.p.weight)
            with m.If(grant):
                m.d.sync += [
                    step["valid"].eq(1),
                    step["source"].eq(k),
                    step["value"].eq(walker.o.p.value),
                    step["mask"].eq(walker.o.p.mask),
                ]
                m.d.sync += [step["address"][b].eq(walker.o.p.address[b]) for b in range(banks)]

        arrived = Cat(w.marker != EventKind.SPIKE for w in walkers).all()
        self._settle(m, arrived, step["valid"])
        m.d.comb += [
            self.marker.eq(walkers[0].marker),
            self.issued.eq(step["valid"]),
            self.holding.eq(self.enable & ~arrived & Cat(waiting).any()),
        ]
        return step

    @property
    def _select_latency(self):
        return 1 if len(self.synapses) > 1 else 0

    def _settle(self, m, arrived, issuing):
        """``settled`` once the pipeline has certainly written its last sum."""
        product = lane_latency(self.plan.lane_kind, self.value_shape.width)
        depth = WeightMemory.latency + self._select_latency + product + membrane_hazard()
        left = Signal(range(depth + 1), init=depth)
        with m.If(~arrived | issuing):
            m.d.sync += left.eq(depth)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        m.d.comb += self.settled.eq(arrived & (left == 0))

    def _lanes(self):
        return Lanes(
            self.plan.total_lanes,
            weight_bits=self.weight_bits,
            value=self.value_shape,
            kind=self.plan.lane_kind,
            family=self.family,
        )

    def _compute(self, m, step):
        """Weights, lanes and banks: never stalls."""
        for k, (s, mem) in enumerate(zip(self.synapses, self.memories, strict=True)):
            m.submodules[f"weights_{s.name}"] = mem
            m.d.comb += mem.address.eq(step["weight"][k])
            if s.weight_memory == "spram":
                wiring.connect(m, wiring.flipped(getattr(self, f"boot_{k}")), mem.boot)

        m.submodules.lanes = lanes = self._lanes()
        value = delayed(m, step["value"], WeightMemory.latency, "value")
        if len(self.memories) == 1:
            m.d.comb += [lanes.weights.eq(self.memories[0].weights), lanes.value.eq(value)]
        else:
            source = delayed(m, step["source"], WeightMemory.latency, "source")
            chosen = Array(mem.weights.as_value() for mem in self.memories)[source]
            weights = Signal.like(lanes.weights, reset_less=True)
            value_selected = Signal.like(lanes.value, reset_less=True)
            m.d.sync += [weights.as_value().eq(chosen), value_selected.eq(value)]
            m.d.comb += [lanes.weights.eq(weights), lanes.value.eq(value_selected)]

        # The addend meets its membrane in stage "add".
        lead = WeightMemory.latency + self._select_latency + lanes.latency - membrane_lead()
        valid = delayed(m, step["valid"], lead, "step_valid", flag=True)
        mask = delayed(m, step["mask"], lead, "step_mask")
        selected = []
        p = self.scan_geometry.lanes
        min_distance = 1
        if len(self.synapses) == 1:
            min_distance = self.synapses[0].geometry.groups_per_event
        bank_of_word = self.scan.bank
        for _ in range(self.scan_latency - 1):
            held = Signal.like(bank_of_word, name="scan_bank", reset_less=True)
            with m.If(self.advance):
                m.d.sync += held.eq(bank_of_word)
            bank_of_word = held
        for b, address in enumerate(step["address"]):
            m.submodules[f"bank_{b}"] = bank = MembraneBank(
                depth=self.scan_geometry.bank_words(),
                lanes=p,
                bits=self.bits,
                addend_bits=lanes.product.width,
                min_distance=min_distance,
                kind=self.plan.membrane_memory,
                family=self.family,
            )
            m.d.comb += [
                bank.step.eq(valid & mask[b]),
                bank.step_address.eq(delayed(m, address, lead, f"step_address_{b}")),
                bank.scanning.eq(self.scanning),
                bank.advance.eq(self.advance),
                bank.scan_address.eq(self.scan.address),
                bank.restore.eq(self.restore & (self.restore_to.bank == b)),
                bank.restore_address.eq(self.restore_to.address),
                bank.restore_data.eq(self.restore_word),
            ]
            m.d.comb += [bank.addends[i].eq(lanes.products[b * p + i]) for i in range(p)]
            selected.append(bank.scan_data.as_value())
        word = Signal.like(self.word, reset_less=True)
        m.d.comb += self.word.eq(word)
        with m.If(self.advance):
            m.d.sync += word.as_value().eq(
                Array(selected)[bank_of_word] if len(selected) > 1 else selected[0]
            )
