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
from pysnn_hw.hdl.spec import CoreSpec
from pysnn_hw.hdl.weights import boot_words
from pysnn_hw.ir.snn import INPUT, FixedNetwork
from pysnn_hw.plan.schedule import Schedule

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
        One dedicated core per population.
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
        self.cores = {
            s.population.name: (FireCore(s) if s.population.kind == "fire" else ReadoutCore(s))
            for s in self.specs
        }
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
            f"{name}.{k}": (core, k, mem)
            for name, core in self.cores.items()
            for k, mem in enumerate(core.accumulate.memories)
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
            members["pause"] = In(len(net.projections) + 1)
        super().__init__(members)

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
        for spec in self.specs:
            m.submodules[f"core_{spec.population.name}"] = self.cores[spec.population.name]
        m.submodules.readout = self.readout

        gates = self._gates(m)
        self._distribute(m, INPUT, self.encoder.o, gates)
        for spec in self.specs[:-1]:
            name = spec.population.name
            self._distribute(m, name, self.cores[name].o, gates)
        last = self.cores[self.specs[-1].population.name]
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
                core = self.cores[spec.population.name]
                wiring.connect(m, core.probe, wiring.flipped(getattr(self, f"probe_{k}")))
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
        """Connects one population's events to every projection that starts there."""
        consumers = []
        for projection in self.net.out_of(source):
            core = self.schedule.core_of(projection.target)
            names = [port.projection for port in core.inputs]
            target = self.cores[projection.target]
            consumers.append(getattr(target, f"i_{names.index(projection.name)}"))
        if len(consumers) == 1:
            self._join(m, events, consumers[0], gates)
            return
        m.submodules[f"fork_{source}"] = fork = Fork(events.payload.shape(), count=len(consumers))
        wiring.connect(m, events, fork.i)
        for k, consumer in enumerate(consumers):
            self._join(m, getattr(fork, f"o_{k}"), consumer, gates)


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
