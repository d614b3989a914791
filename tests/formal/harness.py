# SPDX-License-Identifier: BSD-2-Clause
"""What proofs are made of: free inputs, a look inside, the rule of streams, a tracked transfer."""

from __future__ import annotations

from typing import Any

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, ClockDomain, Cover, Module, Signal, Value


class Harness:
    """A module around a component under proof, ``dut``.

    Parameters
    ----------
    dut
        The component; all inputs of its interface take any value in any cycle.
    lemmas
        Whether `lemma` and `view` count. Lemmas speak about registers inside; a proof by induction
        needs them, a counterexample must break the contract itself.
    domains
        Clock domains, without resets: what is proven starts from the initial values. Several
        domains tick in any order.
    """

    def __init__(self, dut: Any, *, lemmas: bool = True, domains: tuple[str, ...] = ("sync",)):
        self.module = Module()
        self.module.submodules.dut = self.dut = dut
        self.lemmas, self.domains = lemmas, domains
        self.inputs: list[Signal] = []
        self.views: dict[str, Signal] = {}
        self.cuts: list[str] = []
        for name in domains:
            domain = ClockDomain(name, reset_less=True)
            self.module.domains += domain
            self.inputs.append(domain.clk)
        for _, member, value in dut.signature.flatten(dut):
            if member.flow.name == "In":
                self.inputs.append(Value.cast(value))

    def claim(self, condition: Any) -> None:
        """Part of the contract."""
        self.module.d.comb += Assert(condition, src_loc_at=1)

    def lemma(self, condition: Any) -> None:
        """Proven too, for the sake of the claims."""
        if self.lemmas:
            self.module.d.comb += Assert(condition, src_loc_at=1)

    def assume(self, condition: Any) -> None:
        """What the surroundings owe the component."""
        self.module.d.comb += Assume(condition, src_loc_at=1)

    def cover(self, condition: Any) -> None:
        """Must be reachable, else the claims may say nothing."""
        self.module.d.comb += Cover(condition, src_loc_at=1)

    def view(self, wire: str, width: int = 1) -> Signal:
        """The wire of that name in the flattened design, for instance ``dut.skid.waiting``.

        Amaranth calls ``$signal`` what it could not name. A view of the wrong wire proves nothing
        that is wrong: lemmas are proven like claims.
        """
        if wire not in self.views:
            self.views[wire] = Signal(width, name=f"view_{len(self.views)}")
        return self.views[wire]

    def cut(self, wire: str) -> None:
        """Let the wire of that name take any value in any cycle, whatever drives it.

        What is proven so holds for all that may drive it, and the design without that is smaller.
        """
        self.cuts.append(wire)


def transfer(stream: Any) -> Value:
    return stream.valid & stream.ready


def stands(harness: Harness, stream: Any, domain: str = "sync") -> Value:
    """An offer that was not taken is still made, with the same payload."""
    payload = Value.cast(stream.payload)
    pending, before = Signal(), Signal.like(payload, name="before")
    harness.module.d[domain] += [pending.eq(stream.valid & ~stream.ready), before.eq(payload)]
    return ~pending | (stream.valid & (payload == before))


def prove_first_in_first_out(
    harness: Harness, *, room: int, latency: int, slots: list[tuple[Value, Value]]
) -> Signal:
    """Claim that ``dut.o`` repeats ``dut.i``: nothing lost, nothing twice, all in order.

    An arbitrary transfer is followed: its payload is kept beside the component, and as many
    transfers must come out before it as were inside when it went in. It comes out no earlier than
    ``latency`` cycles after it went in, and no later when nothing is before it.

    Parameters
    ----------
    room
        Transfers that fit inside.
    slots
        Lemma: (is occupied, payload) of each register a transfer may be in, next to leave first.

    Returns
    -------
    Signal
        Transfers inside.
    """
    m, i, o = harness.module, harness.dut.i, harness.dut.o
    incoming, outgoing = Value.cast(i.payload), Value.cast(o.payload)
    count, ahead = Signal(range(room + 2)), Signal(range(room + 2))
    started, done, value = Signal(), Signal(), Signal.like(incoming, name="value")
    age, waited = Signal(range(latency + 1)), Signal(range(latency + 1))
    inside, stuck = started & ~done, (count != 0) & ~o.valid

    m.d.sync += [
        count.eq(count + transfer(i) - transfer(o)),
        age.eq(age + (age != latency)),
        waited.eq(0),
    ]
    with m.If(stuck):
        m.d.sync += waited.eq(waited + 1)
    with m.If(~started & transfer(i) & AnySeq(1)):
        m.d.sync += [started.eq(1), value.eq(incoming), ahead.eq(count - transfer(o)), age.eq(1)]
    with m.If(inside & transfer(o)):
        m.d.sync += [done.eq(ahead == 0), ahead.eq(ahead - (ahead != 0))]

    harness.assume(stands(harness, i))
    harness.claim(stands(harness, o))
    harness.claim(count <= room)
    harness.claim(~o.valid | (count != 0))
    is_next = inside & (ahead == 0)
    harness.claim(~(is_next & o.valid) | ((outgoing == value) & (age == latency)))
    harness.claim(~(stuck & (waited == latency - 1)))

    harness.lemma(~inside | (ahead < count))
    before: Any = 0
    for occupied, payload in slots:
        harness.lemma(~(inside & occupied & (ahead == before)) | (payload == value))
        before = before + occupied
    harness.lemma(count == before)

    harness.cover(done & value.all() & (count == 0))
    return count
