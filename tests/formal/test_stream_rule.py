# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""The rule of streams on every component: an offer stands, unchanged, until it is taken.

All components whose source speaks of streams are found, so that a new one without a proof fails
here. Their input streams keep the rule, all other inputs are free but for what `Case.owes` says.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Cat, Signal, Value
from amaranth.lib import data, stream, wiring

import pysnn_hw.hdl
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.accumulate import Accumulate
from pysnn_hw.hdl.address_events import AddressEvents
from pysnn_hw.hdl.axi_core import AxiCore
from pysnn_hw.hdl.axi_stream import AxiStreamTop
from pysnn_hw.hdl.bernoulli import BernoulliEncoder
from pysnn_hw.hdl.boot import FlashBoot
from pysnn_hw.hdl.core import FireCore
from pysnn_hw.hdl.crossing import StreamCrossing
from pysnn_hw.hdl.early_exit import EarlyExit
from pysnn_hw.hdl.encode import PixelEncoder
from pysnn_hw.hdl.fork import Fork
from pysnn_hw.hdl.gate import StreamGate
from pysnn_hw.hdl.link.cobs_decoder import CobsDecoder
from pysnn_hw.hdl.link.cobs_encoder import CobsEncoder
from pysnn_hw.hdl.link.command_handler import CommandHandler
from pysnn_hw.hdl.link.frame_receiver import FrameReceiver
from pysnn_hw.hdl.link.frame_transmitter import FrameTransmitter
from pysnn_hw.hdl.link.link_top import LinkTop
from pysnn_hw.hdl.link.network import link_parameters
from pysnn_hw.hdl.link.reply_writer import ReplyWriter
from pysnn_hw.hdl.link.result_buffer import ResultBuffer
from pysnn_hw.hdl.link.uart_receiver import UartReceiver
from pysnn_hw.hdl.link.uart_top import UartTop
from pysnn_hw.hdl.link.uart_transmitter import UartTransmitter
from pysnn_hw.hdl.load import LoadArbiter, LoadDecoder
from pysnn_hw.hdl.pool import GatePool, RunningMaxPool, WindowPool
from pysnn_hw.hdl.queue import EventQueue
from pysnn_hw.hdl.readout import Readout
from pysnn_hw.hdl.readout_core import ReadoutCore
from pysnn_hw.hdl.sampler import NOISE_VALUES, Sampler
from pysnn_hw.hdl.score_shifter import ScoreShifter
from pysnn_hw.hdl.score_store import ScoreStore
from pysnn_hw.hdl.sender import Sender
from pysnn_hw.hdl.serializer import Serializer
from pysnn_hw.hdl.shared.collector import Collector
from pysnn_hw.hdl.shared.core import SharedCore
from pysnn_hw.hdl.shared.reader import SpikeReader
from pysnn_hw.hdl.shared.walker import LayerWalker
from pysnn_hw.hdl.shared.word_queue import WordQueue
from pysnn_hw.hdl.skid import SkidBuffer
from pysnn_hw.hdl.split import BitSplitter
from pysnn_hw.hdl.splitter import WordSplitter, _Stage
from pysnn_hw.hdl.walker import TapWalker
from pysnn_hw.hdl.window_reader import WindowReader
from tests.configurations import configuration
from tests.formal import test_crossing, test_receiver, test_streams
from tests.formal.harness import Harness, stands
from tests.formal.prove import mutant, run
from tests.formal.small import (
    EVENTS,
    LINK,
    MAP,
    POOL,
    RANDOM,
    SOURCE,
    SPIKES,
    WORD,
    layers,
    regions,
    spec,
    walked,
)
from tests.link_bench import SumAccelerator

pytestmark = pytest.mark.formal


@dataclass(frozen=True)
class Mutant:
    """A broken variant: ``old`` in the file of ``component`` reads ``new``.

    ``place`` names what it takes the place of in a component around it. ``depth`` is the number of
    cycles in which a counterexample is found; 0 if it is enough that the proof no longer closes,
    because the first offer comes late.
    """

    component: Any
    old: str
    new: str
    depth: int = 6
    place: str = ""


@dataclass(frozen=True)
class Case:
    """One component.

    ``build`` makes it of its class. ``depth``: cycles of induction. ``owes``: what else its
    surroundings must keep. ``lemmas``: about registers inside, proven too.
    """

    build: Callable[[Any], Any]
    mutant: Mutant
    depth: int = 2
    owes: Callable[[Harness], None] | None = None
    lemmas: Callable[[Harness], None] | None = None


def streams_of(component: Any) -> dict[str, str]:
    """Direction of each stream at a component's border."""
    return {
        name: member.flow.name
        for name, member in component.signature.members.items()
        if member.is_signature and isinstance(member.signature, stream.Signature)
    }


def _rule(case: Case, component: Any, **options: Any) -> Harness:
    h = Harness(case.build(component), **options)
    for name, flow in streams_of(h.dut).items():
        (h.assume if flow == "In" else h.claim)(stands(h, getattr(h.dut, name)))
    if case.owes is not None:
        case.owes(h)
    if case.lemmas is not None:
        case.lemmas(h)
    return h


def _steady(h: Harness, value: Any, name: str) -> Value:
    """It is what it was a cycle ago."""
    before = Signal.like(Value.cast(value), name=f"{name}_before")
    h.module.d.sync += before.eq(value)
    return Value.cast(value) == before


def _pending(h: Harness, offer: Any) -> Signal:
    """An offer was made a cycle ago and not taken."""
    pending = Signal(name="pending")
    h.module.d.sync += pending.eq(offer.valid & ~offer.ready)
    return pending


def _scanned_words(h: Harness) -> None:
    """A word on offer stays there as on a stream."""
    d = h.dut
    word = Cat(Value.cast(d.entry), Value.cast(d.spikes), d.ending, d.fresh)
    waiting = Signal()
    h.module.d.sync += waiting.eq(d.valid & ~d.ready)
    h.assume(~waiting | (d.valid & _steady(h, word, "word")))


def _prompt_consumer(h: Harness) -> None:
    """A received byte waits a cycle at most: `CobsDecoder` in front of `FrameReceiver` does so."""
    o, waited = h.dut.o, Signal()
    h.module.d.sync += waited.eq(o.valid & ~o.ready)
    h.assume(~waited | o.ready)


def _quiet_counters(h: Harness) -> None:
    """What a reply tells of cycles and memories does not change while a byte of it is on offer."""
    h.assume(~_pending(h, h.dut.o) | _steady(h, Cat(h.dut.cycles, h.dut.loaded), "told"))


def _flash_ends_between_bytes(h: Harness) -> None:
    """As `FlashBoot` does: no byte of the flash is on offer when it is done, and it stays so."""
    over, was_over = h.dut.flash_done | h.dut.flash_error, Signal()
    h.module.d.sync += was_over.eq(over)
    h.assume(~was_over | over)
    h.assume(~over | ~h.dut.flash.valid)


def _no_byte_left_over(h: Harness) -> None:
    over = h.dut.done | h.dut.error
    h.claim(~over | ~h.dut.o.valid)
    ended = Signal()
    h.module.d.sync += ended.eq(over)
    h.claim(~ended | over)
    data_state, checksum_state, end_state = 6, 8, 10
    state = h.view("dut.fsm_state", 4)
    left = h.view("dut.left", 3)
    h.lemma(~h.dut.o.valid | (state == data_state) | (state == checksum_state))
    h.lemma(~h.dut.o.valid | ~h.view("dut.wrong"))
    begun = (left != 3) | (h.view("dut.bit", 3) != 0)
    h.lemma(~((state == checksum_state) & begun & h.dut.o.valid))
    h.lemma(~over | (state == end_state))


def _marks_are_not_walked(h: Harness) -> None:
    h.lemma(~(h.dut.o.valid & h.view("dut.mark")))


def _reply_needs_its_outcome(h: Harness) -> None:
    h.lemma((h.view("dut.fsm_state", 2) == 0) | h.dut.i.valid)


def _axi(h: Harness) -> None:
    """The same rule by other names."""
    d, m = h.dut, h.module
    for prefix, judge in (("s_axis", h.assume), ("m_axis", h.claim)):
        names = [n for n in d.signature.members if n.startswith(prefix)]
        payload = Cat(getattr(d, n) for n in names if not n.endswith(("tvalid", "tready")))
        waiting, before = Signal(name=f"{prefix}_w"), Signal.like(payload, name=f"{prefix}_b")
        valid, ready = (getattr(d, f"{prefix}_t{n}") for n in ("valid", "ready"))
        m.d.sync += [waiting.eq(valid & ~ready), before.eq(payload)]
        judge(~waiting | (valid & (payload == before)))


def _accelerator() -> Accelerator:
    found = configuration("lanes_add")
    return Accelerator(found.net, found.schedule)


def _sender(cls: Any) -> Any:
    found = spec("lanes_add")
    return cls(
        found.scan,
        None,
        out_shape=found.out_shape,
        spikes=(0, 1),
        spike_shape=found.spike_shape,
        out_range=found.out_range,
        timesteps=1,
    )


def _collector(cls: Any) -> Any:
    return cls((2, 1, 2), SPIKES, lanes=2, bits=2, base=1, depth=8, timesteps=1)


_HOLDS = "advance.eq(self.o.ready | ~self.o.valid)"
_POOL_HOLDS = "[advance.eq(self.o.ready | ~self.o.valid), self.i.ready.eq(advance)]"
_POOL_MOVES = "[advance.eq(1), self.i.ready.eq(advance)]"
_REDUCE, _TOTALS = "\n\n        # Stage 1: reduce", "\n\n        # A row is read again"


def _in_sender(place: str) -> Mutant:
    return Mutant(Serializer, _HOLDS, "advance.eq(1)", depth=0, place=f"{place}.Serializer")


CASES: dict[Any, Case] = {
    # Ends of an accelerator, and all of it
    PixelEncoder: Case(
        lambda c: c(SOURCE, status_depth=2), Mutant(PixelEncoder, _HOLDS, "advance.eq(1)")
    ),
    BernoulliEncoder: Case(
        lambda c: c(RANDOM, 2, status_depth=2),
        Mutant(BernoulliEncoder, _HOLDS, "advance.eq(1)", depth=12),
    ),
    AddressEvents: Case(
        lambda c: c(EVENTS, 2, status_depth=2),
        Mutant(AddressEvents, "with m.If(advance):", "with m.If(1):"),
    ),
    Readout: Case(
        lambda c: c(2, lanes=2, score_bits=2),
        Mutant(Readout, "with m.If(self.o.ready | ~self.o.valid):", "with m.If(1):"),
    ),
    ScoreShifter: Case(
        lambda c: c(2, lanes=2, score_bits=2, flags=("final",)),
        Mutant(ScoreShifter, "with m.Elif(self.o.ready):", "with m.Else():"),
    ),
    ScoreStore: Case(
        lambda c: c(3, score_bits=2, clears=True),
        Mutant(ScoreStore, "(silent | self.o.ready)", "(silent | self.send)", depth=9),
    ),
    EarlyExit: Case(
        lambda c: c(2, lanes=1, score_bits=2, margin=1, timesteps=2),
        Mutant(
            ScoreStore, "(silent | self.o.ready)", "1", 12, "pysnn_hw.hdl.early_exit.ScoreStore"
        ),
    ),
    Sampler: Case(
        lambda c: c(
            2,
            lanes=1,
            score_bits=2,
            noise=[k % 4 for k in range(NOISE_VALUES)],
            seed=1,
            timesteps=2,
        ),
        Mutant(ScoreStore, "(silent | self.o.ready)", "1", 0, "pysnn_hw.hdl.sampler.ScoreStore"),
    ),
    Accelerator: Case(
        lambda c: _accelerator(),
        Mutant(
            Readout,
            "with m.If(self.o.ready | ~self.o.valid):",
            "with m.If(1):",
            0,
            "pysnn_hw.hdl.accelerator.Readout",
        ),
    ),
    AxiStreamTop: Case(
        lambda c: c(SumAccelerator(LINK)),
        Mutant(AxiStreamTop, "o.ready.eq(self.m_axis_tready)", "o.ready.eq(1)", 0),
        owes=_axi,
    ),
    # A core of one population
    TapWalker: Case(
        lambda c: c(*walked("T1_n1")[:2], value_range=walked("T1_n1")[2]),
        Mutant(TapWalker, "with m.If(self.o.ready & busy):", "with m.If(busy):", 8),
        lemmas=_marks_are_not_walked,
    ),
    WordSplitter: Case(
        lambda c: c(8, 1, WORD, buffered=True),
        Mutant(WordSplitter, "with m.Elif(self.o.ready):", "with m.Elif(1):", 10),
    ),
    _Stage: Case(
        lambda c: c(3, 2, data.StructLayout({"tag": 1, "marker": 1}), 2),
        Mutant(_Stage, "(self.o.ready & ~more) | ~holds", "self.o.ready | ~more"),
    ),
    Serializer: Case(
        lambda c: c((6, 2, 2), 3, SPIKES), Mutant(Serializer, _HOLDS, "advance.eq(1)", 8)
    ),
    WindowPool: Case(
        lambda c: c("sum", MAP, 2, SPIKES, window=4),
        Mutant(WindowPool, _POOL_HOLDS + _REDUCE, _POOL_MOVES + _REDUCE),
    ),
    RunningMaxPool: Case(
        lambda c: c(MAP, 2, SPIKES, timesteps=2, words=2),
        Mutant(RunningMaxPool, _POOL_HOLDS + _TOTALS, _POOL_MOVES + _TOTALS, 8),
    ),
    GatePool: Case(
        lambda c: c(MAP, 2, SPIKES, timesteps=2, words=2),
        Mutant(GatePool, _POOL_HOLDS + _TOTALS, _POOL_MOVES + _TOTALS, 8),
    ),
    WindowReader: Case(
        lambda c: c(POOL, (2, 2, 3), 2, SPIKES),
        Mutant(WindowReader, _HOLDS, "advance.eq(1)", 12),
    ),
    Sender: Case(_sender, _in_sender("pysnn_hw.hdl.sender"), owes=_scanned_words),
    FireCore: Case(lambda c: c(spec("lanes_add")), _in_sender("pysnn_hw.hdl.sender")),
    ReadoutCore: Case(
        lambda c: c(spec("lanes_add", readout=True)),
        Mutant(ReadoutCore, "advance.eq(~self.o.valid | self.o.ready)", "advance.eq(1)", 0),
    ),
    # A core of several
    Collector: Case(
        lambda c: c((2, 1, 2), SPIKES, lanes=2, bits=2, base=1, depth=8, timesteps=1),
        Mutant(Collector, "taken & (begun | self.free) & ~here", "taken & self.free & ~here"),
    ),
    SpikeReader: Case(
        lambda c: c(layers(), family="ecp5"),
        Mutant(SpikeReader, "advance.eq(~self.o.valid | self.o.ready)", "advance.eq(1)", 10),
    ),
    WordQueue: Case(
        lambda c: c(WORD, under_way=1, depth=5),
        Mutant(
            SkidBuffer,
            "with m.If(self.o.ready | ~self.o.valid):",
            "with m.If(1):",
            8,
            "pysnn_hw.hdl.shared.word_queue.SkidBuffer",
        ),
    ),
    SharedCore: Case(
        lambda c: c(layers(), lane_kind="lut", family="ecp5"),
        Mutant(
            SkidBuffer,
            "with m.If(self.o.ready | ~self.o.valid):",
            "with m.If(1):",
            0,
            "pysnn_hw.hdl.shared.core.SkidBuffer",
        ),
    ),
    # Memories that are loaded
    FlashBoot: Case(
        lambda c: c(0, 1, wake_cycles=1, attempts=2),
        Mutant(FlashBoot, "with m.If(self.o.valid & self.o.ready):", "with m.If(self.o.valid):", 0),
        depth=3,
        lemmas=_no_byte_left_over,
    ),
    LoadArbiter: Case(
        lambda c: c(3),
        Mutant(LoadArbiter, "self.flash_done | self.flash_error", "self.link.valid"),
        owes=_flash_ends_between_bytes,
    ),
    # The link
    UartReceiver: Case(
        lambda c: c(4),
        Mutant(UartReceiver, "with m.If(self.o.ready):", "with m.If(1):", 45),
        depth=4,
        owes=_prompt_consumer,
    ),
    CobsDecoder: Case(
        lambda c: c(3),
        Mutant(CobsDecoder, "with m.If(self.i.valid | ~in_frame", "with m.If(~in_frame", 10),
    ),
    CommandHandler: Case(
        lambda c: c(LINK),
        Mutant(
            CommandHandler, "request.ready.eq(image.ready | ~is_high)", "request.ready.eq(1)", 9
        ),
        owes=None,
    ),
    ReplyWriter: Case(
        lambda c: c(LINK),
        Mutant(ReplyWriter, "moves.eq(o.valid & o.ready)", "moves.eq(o.valid)"),
        owes=_quiet_counters,
        lemmas=_reply_needs_its_outcome,
    ),
    CobsEncoder: Case(
        lambda c: c(3),
        Mutant(CobsEncoder, 'm.next = "SETTLE"', 'm.next = "SEND"', 9),
        depth=4,
    ),
    FrameTransmitter: Case(
        lambda c: c(1),
        Mutant(
            CobsEncoder,
            'm.next = "SETTLE"',
            'm.next = "SEND"',
            12,
            "pysnn_hw.hdl.link.frame_transmitter.CobsEncoder",
        ),
        depth=4,
    ),
    ResultBuffer: Case(
        lambda c: c(LINK),
        Mutant(ResultBuffer, 'm.next = "SETTLE"', 'm.next = "PASS"', 8),
        depth=4,
    ),
}

ONLY_SIMULATED: set[Any] = {AxiCore}
"""A reset by register withdraws its offer, so it does not keep the rule;
tests/cosim/test_axi_core.py drives it with pauses."""

ELSEWHERE: dict[Any, Any] = {
    SkidBuffer: test_streams,
    EventQueue: test_streams,
    StreamGate: test_streams,
    Fork: test_streams,
    BitSplitter: test_streams,
    StreamCrossing: test_crossing,
    FrameReceiver: test_receiver,
    LinkTop: test_receiver,
}
"""Proven to do more than keep the rule, and where."""

WITHOUT: dict[Any, Callable[[], Any]] = {
    Accumulate: lambda: FireCore(spec("lanes_add")).accumulate,
    LayerWalker: lambda: LayerWalker(layers()),
    LoadDecoder: lambda: LoadDecoder(regions()),
    UartTransmitter: lambda: UartTransmitter(4),
    UartTop: lambda: UartTop(_accelerator(), link_parameters(_accelerator().net, divisor=4)),
}
"""Their source speaks of streams, but none leaves them."""


def _components() -> set[Any]:
    """All components of the hardware whose source, or that of what they derive from, says so."""
    found = set()
    for info in pkgutil.walk_packages(pysnn_hw.hdl.__path__, "pysnn_hw.hdl."):
        for thing in vars(importlib.import_module(info.name)).values():
            if not inspect.isclass(thing) or not issubclass(thing, wiring.Component):
                continue
            own = [c for c in thing.__mro__ if c.__module__.startswith("pysnn_hw.")]
            if own and any("stream" in inspect.getsource(c) for c in own):
                found.add(thing)
    return found - {base for c in found for base in c.__mro__[1:]}


def test_no_component_with_a_stream_lacks_a_proof() -> None:
    assert _components() == {*CASES, *ELSEWHERE, *WITHOUT, *ONLY_SIMULATED}
    for component, build in WITHOUT.items():
        assert "Out" not in streams_of(build()).values(), component
    for component, module in ELSEWHERE.items():
        assert component in vars(module).values()
        assert vars(module)["stands"] is stands


@pytest.mark.parametrize("component", CASES, ids=lambda c: c.__name__)
def test_an_offer_stands_until_it_is_taken(component: Any, tmp_path: Path) -> None:
    case = CASES[component]
    harness = _rule(case, component)
    assert "Out" in streams_of(harness.dut).values() or component is AxiStreamTop
    verdict = run(harness, tmp_path, mode="prove", depth=case.depth)
    assert verdict.status == "PASS", verdict.log


@pytest.mark.parametrize("component", CASES, ids=lambda c: c.__name__)
def test_broken_component_is_refuted(
    component: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[component]
    change = case.mutant
    broken = mutant(change.component, change.old, change.new)
    if change.place:
        monkeypatch.setattr(change.place, broken)
        broken = component
    harness = _rule(case, broken, lemmas=not change.depth)
    if change.depth:
        verdict = run(harness, tmp_path, mode="bmc", depth=change.depth)
        assert verdict.status == "FAIL", verdict.log
    else:
        verdict = run(harness, tmp_path, mode="prove", depth=case.depth)
        assert verdict.status in ("FAIL", "UNKNOWN"), verdict.log
