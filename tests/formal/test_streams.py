# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Streams: nothing lost, nothing twice, all in order, an offer stands until it is taken.

None of these components looks at a payload of type `WORD`, so two bits stand for any.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Cat, Mux, Signal, Value, unsigned

from pysnn_hw.hdl.events import EventKind
from pysnn_hw.hdl.fork import Fork
from pysnn_hw.hdl.gate import StreamGate
from pysnn_hw.hdl.queue import EventQueue
from pysnn_hw.hdl.skid import SkidBuffer
from pysnn_hw.hdl.split import BitSplitter
from tests.formal.harness import Harness, prove_first_in_first_out, stands, transfer
from tests.formal.prove import mutant, run

pytestmark = pytest.mark.formal

WORD = unsigned(2)


def _skid(component: Any = SkidBuffer, **options: Any) -> Harness:
    h = Harness(component(WORD), **options)
    o, waiting = h.dut.o, h.view("dut.waiting")
    slots = [(o.valid, Value.cast(o.payload)), (waiting, h.view("dut.spare", 2))]
    count = prove_first_in_first_out(h, room=2, latency=1, slots=slots)
    h.claim(h.dut.i.ready | (count == 2))
    h.lemma(o.valid | ~waiting)
    h.cover(count == 2)
    return h


def _queue(component: Any = EventQueue, depth: int = 6, **options: Any) -> Harness:
    h = Harness(component(WORD, depth=depth), **options)
    m, i, o = h.module, h.dut.i, h.dut.o

    words = depth - 2
    bits = (words - 1).bit_length()
    consume, produce = h.view("dut.consume", bits), h.view("dut.produce", bits)
    stored = h.view("dut.stored", words.bit_length())
    latched, registered = h.view("dut.read_valid"), h.view("dut.fetch_valid")
    waiting = h.view("dut.skid.waiting")
    storage = [h.view(f"dut.memory[{k}]", 2) for k in range(words)]

    def stored_at(offset: int) -> Value:
        place, word = consume + offset, Signal(2, name=f"stored_{offset}")
        with m.Switch(Mux(place >= words, place - words, place)):
            for k in range(words):
                with m.Case(k):
                    m.d.comb += word.eq(storage[k])
        return word

    slots = [
        (o.valid, Value.cast(o.payload)),
        (waiting, h.view("dut.skid.spare", 2)),
        (registered, h.view("dut.fetched", 2)),
        (latched, h.view("dut.read__data", 2)),
        *((stored > k, stored_at(k)) for k in range(words)),
    ]
    count = prove_first_in_first_out(h, room=depth, latency=EventQueue.latency, slots=slots)

    # Readiness comes back: a cycle after there was room, whatever happened in that cycle.
    had_room = Signal()
    m.d.sync += had_room.eq(count < depth - 3)
    h.claim(i.ready | ~had_room)

    h.lemma(o.valid | ~waiting)
    inside = stored + latched + registered
    h.lemma(h.view("dut.level", depth.bit_length()) == inside)
    h.lemma(~i.ready | (inside <= depth - 3))
    h.lemma(~transfer(i) | (stored < words))
    h.lemma((consume < words) & (produce < words) & (stored <= words))
    end = consume + stored
    h.lemma(produce == Mux(end >= words, end - words, end))
    h.cover(count == depth)
    return h


def _gate(component: Any = StreamGate, **options: Any) -> Harness:
    h = Harness(component(WORD), **options)
    i, o = h.dut.i, h.dut.o
    offered = Signal()
    h.module.d.sync += offered.eq(o.valid & ~o.ready)
    h.assume(stands(h, i))
    h.claim(stands(h, o))
    h.claim(transfer(i) == transfer(o))
    h.claim(~o.valid | (i.valid & (o.payload == i.payload)))
    h.claim(~(o.valid & h.dut.pause) | offered)
    h.claim(o.valid | ~i.valid | h.dut.pause)
    h.lemma(offered == h.view("dut.$signal"))
    h.cover(h.dut.pause & transfer(o) & (o.payload == 3))
    h.cover(h.dut.pause & i.valid & ~o.valid)
    return h


def _fork(component: Any = Fork, count: int = 3, **options: Any) -> Harness:
    h = Harness(component(WORD, count=count), **options)
    i, outputs = h.dut.i, [getattr(h.dut, f"o_{k}") for k in range(count)]
    h.assume(stands(h, i))
    had = Signal(count)  # the consumers that have had the transfer that is offered
    for k, o in enumerate(outputs):
        h.module.d.sync += had[k].eq((had[k] | transfer(o)) & ~transfer(i))
        h.claim(stands(h, o))
        h.claim(~transfer(o) | (i.valid & ~had[k] & (o.payload == i.payload)))
        h.claim(~transfer(i) | had[k] | transfer(o))
        h.claim(~i.valid | had[k] | o.valid)
    everyone = Cat(had[k] | o.ready for k, o in enumerate(outputs)).all()
    h.claim(~(i.valid & everyone) | i.ready)
    h.lemma(had == h.view("dut.taken", count))
    h.lemma(~had.any() | i.valid)
    h.cover(transfer(i) & (had == 0b101) & (i.payload == 3))
    h.cover(transfer(i) & (had == 0))
    return h


def _split(component: Any = BitSplitter, **options: Any) -> Harness:
    """The values sent sum to the event's, each is a power of two and greater than the last."""
    h = Harness(component((2, 2, 2), (0, 7)), **options)
    m, i, o = h.module, h.dut.i, h.dut.o
    busy, event, left = Signal(), Signal.like(i.payload, name="event"), Signal(3)
    first, last_sent = Signal(), Signal(3)
    last = (o.payload.value == left) | (event.kind != EventKind.SPIKE)
    with m.If(transfer(o)):
        m.d.sync += [
            busy.eq(~last),
            left.eq(left - o.payload.value),
            last_sent.eq(o.payload.value),
            first.eq(0),
        ]
    with m.If(transfer(i)):
        m.d.sync += [busy.eq(1), event.eq(i.payload), left.eq(i.payload.value), first.eq(1)]

    h.assume(stands(h, i))
    spike = i.payload.kind == EventKind.SPIKE
    h.assume(spike | (Value.cast(i.payload)[2:] == 0))  # other fields of a marker are zero
    h.claim(stands(h, o))
    h.claim(o.valid == busy)
    h.claim(i.ready == (~busy | (transfer(o) & last)))
    sent = o.payload.value
    h.claim(~o.valid | (sent <= left))
    h.claim(~o.valid | ((sent & (sent - 1)) == 0))
    h.claim(~o.valid | first | (sent > last_sent))
    for name in ("kind", "c", "y", "x"):
        h.claim(~o.valid | (o.payload[name] == event[name]))

    held = h.view("dut.$signal", len(Value.cast(event)))
    untouched = len(held) - 3
    h.lemma(~busy | (Cat(held[:untouched], left) == Cat(Value.cast(event)[:untouched], held[-3:])))
    h.lemma(~busy | first | (((left & -left) > last_sent) & (left != 0)))
    h.lemma(~busy | ~first | (left == event.value))
    h.cover(transfer(o) & last & (event.value == 7))
    h.cover(transfer(o) & (event.kind == EventKind.STEP))
    h.cover(transfer(o) & (event.kind == EventKind.SPIKE) & (event.value == 0))
    return h


# (harness, cycles of induction, cycles in which every cover is reached)
PROOFS: dict[str, tuple[Callable[..., Harness], int, int]] = {
    "skid": (_skid, 3, 8),
    "queue": (_queue, 7, 18),
    "queue of seven": (partial(_queue, depth=7), 7, 20),  # pointers wrap between powers of two
    "gate": (_gate, 2, 6),
    "fork": (_fork, 2, 6),
    "split": (_split, 2, 8),
}

MUTANTS = [
    ("skid", SkidBuffer, "waiting.eq(1)", "waiting.eq(0)"),
    ("skid", SkidBuffer, "Mux(waiting, spare, self.i.payload)", "self.i.payload"),
    ("queue", EventQueue, "self.depth - 3", "self.depth - 1"),
    ("queue", EventQueue, "moves.eq(~fetch_valid | skid.i.ready)", "moves.eq(1)"),
    ("queue", EventQueue, "moves & (stored != 0)", "moves"),
    ("gate", StreamGate, "passing.eq(offered | ~self.pause)", "passing.eq(~self.pause)"),
    ("fork", Fork, "taken[k] | out.ready", "out.ready"),
    ("fork", Fork, "self.i.valid & ~taken[k]", "self.i.valid"),
    ("fork", Fork, "done[k] & ~done.all()", "done[k]"),
    ("split", BitSplitter, "held.value & (held.value - 1)", "held.value >> 1"),
    ("split", BitSplitter, "lowest.eq(held.value & -held.value)", "lowest.eq(held.value)"),
    ("split", BitSplitter, "self.o.ready & done", "self.o.ready"),
]


@pytest.mark.parametrize("name", PROOFS)
def test_contract_holds_in_every_reachable_state(name: str, tmp_path: Path) -> None:
    harness, depth, _ = PROOFS[name]
    verdict = run(harness(), tmp_path, mode="prove", depth=depth)
    assert verdict.status == "PASS", verdict.log


@pytest.mark.parametrize("name", PROOFS)
def test_proof_speaks_of_full_empty_and_stalled_states(name: str, tmp_path: Path) -> None:
    harness, _, depth = PROOFS[name]
    verdict = run(harness(), tmp_path, mode="cover", depth=depth)
    assert verdict.status == "PASS", verdict.log


@pytest.mark.parametrize(("name", "component", "old", "new"), MUTANTS)
def test_broken_component_is_refuted(
    name: str, component: type, old: str, new: str, tmp_path: Path
) -> None:
    harness, _, depth = PROOFS[name]
    broken = harness(mutant(component, old, new), lemmas=False)
    verdict = run(broken, tmp_path, mode="bmc", depth=depth)
    assert verdict.status == "FAIL", verdict.log
