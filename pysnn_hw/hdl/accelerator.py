# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""The whole network: encoder, one core per population chained by streams, readout."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.address_events import AddressEvents
from pysnn_hw.hdl.bernoulli import BernoulliEncoder
from pysnn_hw.hdl.core import FireCore, probe_signature
from pysnn_hw.hdl.early_exit import EarlyExit
from pysnn_hw.hdl.encode import PixelEncoder
from pysnn_hw.hdl.fork import Fork
from pysnn_hw.hdl.gate import StreamGate
from pysnn_hw.hdl.load import LoadDecoder, contents, load_layout, place
from pysnn_hw.hdl.readout import Readout
from pysnn_hw.hdl.readout_core import ReadoutCore
from pysnn_hw.hdl.sampler import Sampler
from pysnn_hw.hdl.shared.core import SharedCore
from pysnn_hw.hdl.spec import CoreSpec
from pysnn_hw.hdl.weights import boot_words
from pysnn_hw.ir.snn import INPUT, FixedNetwork
from pysnn_hw.plan.layers import layer_program
from pysnn_hw.plan.schedule import CorePlan, Schedule

__all__ = ["Accelerator"]


class Accelerator(wiring.Component):
    """Images in, scores out; pipelined over layers and over images.

    Cores run side by side: image i + 1 enters while image i is still inside. Queues between them
    absorb differences in pace, and back-pressure anywhere loses nothing.

    Parameters
    ----------
    net
        The network.
    schedule
        Cores of one population each, or shared by several.
    probes
        Whether the members for verification exist.

    Members
    -------
    i : In(stream.Signature({value, last}))
        Raw input integers, H, W, C order; ``last`` on the final one of an image. For an input of
        events In(stream.Signature(event_layout)), see `AddressEvents`.
    o : Out(stream.Signature({score: signed(32), winner, error, last}))
        One transfer per class; ``winner`` (ties to the lowest index) and ``error`` (misplaced
        ``last``, malformed events) are valid with ``last``.
    boot : In(stream.Signature({address, data: 8}))
        Fills the memories without initial contents. Only if there are such.
    loaded : Out(1)
        They are filled. Only if there is ``boot``.
    probe_<k> : Out(probe_signature)
        With probes, for each fire population k.
    readout_issued, readout_holding : Out(1)
        With probes.
    readout_exit : Out(1), readout_steps : Out(unsigned)
        With probes and early exit, see `EarlyExit`.
    pause : In(streams inside)
        With probes: bit k holds up stream k between encoder, cores and readout (`StreamGate`).
    """

    def __init__(self, net: FixedNetwork, schedule: Schedule, *, probes: bool = False):
        self.net, self.schedule, self.probes = net, schedule, probes
        self.specs = [CoreSpec(net, schedule, schedule.core_of(p.name)) for p in net.populations]
        self.encoder = _encoder(net, schedule)
        self.units = [self._unit(core) for core in schedule.cores]
        self.streams = schedule.streams(net)
        last = self.specs[-1]
        self.judge = _judge(last)
        lanes, score_bits = last.plan.lanes, last.bits
        if self.judge is not None:
            lanes, score_bits = 1, self.judge.store.score_bits
        self.readout = Readout(last.population.channels, lanes=lanes, score_bits=score_bits)
        members = {
            "i": self.encoder.signature.members["i"],
            "o": self.readout.signature.members["o"],
        }
        self.booted = {
            f"{core.population}.{k}": (unit, k, mem)
            for core, unit in zip(schedule.cores, self.units, strict=True)
            if not isinstance(unit, SharedCore)
            for k, mem in enumerate(unit.accumulate.memories)
            if mem.kind == "spram"
        }
        if self.booted:
            shapes = [(name, mem.depth, mem.parts) for name, (_, _, mem) in self.booted.items()]
            self.load_decoder = LoadDecoder(place(shapes))
            members["boot"] = In(stream.Signature(load_layout(self.load_decoder.address_width)))
            members["loaded"] = Out(1)
        if probes:
            for k, spec in enumerate(self.specs[:-1]):
                members[f"probe_{k}"] = Out(probe_signature(spec))
            members["readout_issued"] = Out(1)
            members["readout_holding"] = Out(1)
            if isinstance(self.judge, EarlyExit):
                members["readout_exit"] = Out(1)
                members["readout_steps"] = self.judge.signature.members["steps"]
            members["pause"] = In(len(self.streams) + 1)
        super().__init__(members)

    def _unit(self, core: CorePlan) -> FireCore | ReadoutCore | SharedCore:
        """What runs the populations of ``core``."""
        if core.shared:
            program = layer_program(self.net, core)
            return SharedCore(program, lane_kind=core.lane_kind, family=self.schedule.family)
        spec = next(s for s in self.specs if s.population.name == core.population)
        return FireCore(spec) if spec.population.kind == "fire" else ReadoutCore(spec)

    def boot_contents(self) -> bytes:
        """The bytes for ``boot``, from address 0; none if there is no such member."""
        if not self.booted:
            return b""
        words = {
            name: boot_words(mem.words, mem.weight_bits)
            for name, (_, _, mem) in self.booted.items()
        }
        return contents(self.load_decoder.regions, words)

    def elaborate(self, platform):
        m = Module()
        m.submodules.encoder = self.encoder
        wiring.connect(m, wiring.flipped(self.i), self.encoder.i)
        for core, unit in zip(self.schedule.cores, self.units, strict=True):
            m.submodules[f"core_{core.population}"] = unit
        m.submodules.readout = self.readout

        gates = self._gates(m)
        self._distribute(m, INPUT, self.encoder.o, gates)
        for spec in self.specs[:-1]:
            name = spec.population.name
            if any(stream.source == name for stream in self.streams):
                self._distribute(m, name, self._outlet(name), gates)
        last = self.units[self.schedule.index_of(self.specs[-1].population.name)]
        if self.judge is None:
            self._join(m, last.o, self.readout.i, gates)
        else:
            m.submodules.judge = self.judge
            self._join(m, last.o, self.judge.i, gates)
            wiring.connect(m, self.judge.o, self.readout.i)
        wiring.connect(m, self.encoder.status, self.readout.status)
        wiring.connect(m, self.readout.o, wiring.flipped(self.o))

        if self.booted:
            m.submodules.load_decoder = decoder = self.load_decoder
            wiring.connect(m, wiring.flipped(self.boot), decoder.i)
            m.d.comb += self.loaded.eq(decoder.loaded)
            for index, region in enumerate(decoder.regions):
                core, k, _ = self.booted[region.name]
                wiring.connect(m, getattr(decoder, f"write_{index}"), getattr(core, f"boot_{k}"))

        if self.probes:
            for k, spec in enumerate(self.specs[:-1]):
                self._show(m, spec.population.name, getattr(self, f"probe_{k}"))
            m.d.comb += [
                self.readout_issued.eq(last.issued),
                self.readout_holding.eq(last.holding),
            ]
            if isinstance(self.judge, EarlyExit):
                m.d.comb += [
                    self.readout_exit.eq(self.judge.exit),
                    self.readout_steps.eq(self.judge.steps),
                ]
        return m

    def _gates(self, m):
        """Makers of a gate for each stream inside, in the order of ``pause``; none without it."""
        for k in range(len(self.pause) if self.probes else 0):

            def gate(shape, k=k):
                m.submodules[f"gate_{k}"] = made = StreamGate(shape)
                m.d.comb += made.pause.eq(self.pause[k])
                return made

            yield gate

    def _join(self, m, producer, consumer, gates):
        """Connects two streams, through a gate if there are any."""
        make = next(gates, None)
        if make is None:
            wiring.connect(m, producer, consumer)
            return
        gate = make(producer.payload.shape())
        wiring.connect(m, producer, gate.i)
        wiring.connect(m, gate.o, consumer)

    def _distribute(self, m, source, events, gates):
        """Connects one population's events to every core that takes them."""
        consumers = [self._inlet(stream) for stream in self.streams if stream.source == source]
        if len(consumers) == 1:
            self._join(m, events, consumers[0], gates)
            return
        m.submodules[f"fork_{source}"] = fork = Fork(events.payload.shape(), count=len(consumers))
        wiring.connect(m, events, fork.i)
        for k, consumer in enumerate(consumers):
            self._join(m, getattr(fork, f"o_{k}"), consumer, gates)

    def _outlet(self, population):
        """Where a population's events come out."""
        index = self.schedule.index_of(population)
        unit = self.units[index]
        if not isinstance(unit, SharedCore):
            return unit.o
        return getattr(unit, f"o_{unit.sent.index(population)}")

    def _inlet(self, stream):
        """Where a stream goes in."""
        unit = self.units[stream.core]
        if isinstance(unit, SharedCore):
            taken = [region.population for region in unit.program.outside]
            return getattr(unit, f"i_{taken.index(stream.source)}")
        ports = [port.projection for port in self.schedule.cores[stream.core].inputs]
        return getattr(unit, f"i_{ports.index(stream.projection)}")

    def _show(self, m, population, probe):
        """What a probe sees of a population; of a shared core's, while it is their turn."""
        unit = self.units[self.schedule.index_of(population)]
        if not isinstance(unit, SharedCore):
            wiring.connect(m, unit.probe, wiring.flipped(probe))
            return
        names = [layer.population.name for layer in unit.program.layers]
        turn = unit.probe.number == names.index(population)
        for name in ("valid", "issued", "holding"):
            m.d.comb += getattr(probe, name).eq(getattr(unit.probe, name) & turn)
        m.d.comb += [probe.index.eq(unit.probe.index), probe.final.eq(unit.probe.final)]
        for p in range(unit.program.lanes):
            m.d.comb += [
                probe.spikes[p].eq(unit.probe.spikes[p]),
                probe.membranes[p].eq(unit.probe.membranes[p]),
            ]


def _encoder(
    net: FixedNetwork, schedule: Schedule
) -> PixelEncoder | BernoulliEncoder | AddressEvents:
    """What turns the input stream into events."""
    if net.input.encoding == "bernoulli":
        return BernoulliEncoder(net.input, net.timesteps, family=schedule.family)
    if net.input.encoding == "events":
        return AddressEvents(net.input, net.timesteps)
    return PixelEncoder(net.input)


def _judge(spec: CoreSpec) -> EarlyExit | Sampler | None:
    """What stands between the scores of every timestep and the readout of one image's."""
    readout, classes, family = spec.net.readout, spec.population.channels, spec.schedule.family
    if readout.mode == "sampled":
        return Sampler(
            classes,
            lanes=spec.plan.lanes,
            score_bits=spec.bits,
            noise=[int(n) for n in readout.noise],
            seed=readout.seed,
            timesteps=spec.net.timesteps,
            family=family,
        )
    if readout.margin:
        return EarlyExit(
            classes,
            lanes=spec.plan.lanes,
            score_bits=spec.bits,
            margin=int(readout.margin),
            timesteps=spec.net.timesteps,
            family=family,
        )
    return None
