# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Between two clocks that tick in any order: each transfer once, its payload at rest when taken.

Registers settle at once here: that a synchroniser resolves metastability is its own promise.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Signal, unsigned

from pysnn_hw.hdl.crossing import StreamCrossing
from tests.formal.harness import Harness, stands, transfer
from tests.formal.prove import mutant, run

pytestmark = pytest.mark.formal

INDUCTION, REACH = 4, 20  # edges of either clock and pauses, not cycles


def _crossing(component: Any = StreamCrossing, **options: Any) -> Harness:
    dut = component(unsigned(2), source="source", sink="sink")
    h = Harness(dut, domains=("source", "sink"), **options)
    m, i, o = h.module, dut.i, dut.o
    sent, taken, word, before = Signal(2), Signal(2), Signal(2), Signal(2)
    m.d.source += sent.eq(sent + transfer(i))
    with m.If(transfer(i)):
        m.d.source += word.eq(i.payload)
    m.d.sink += [taken.eq(taken + transfer(o)), before.eq(o.payload)]
    inside = sent != taken

    h.assume(stands(h, i, "source"))
    h.claim(stands(h, o, "sink"))
    h.claim(~inside | (sent == (taken + 1)[:2]))
    h.claim(~o.valid | (inside & (o.payload == word)))
    h.claim(~o.valid | (o.payload == before))

    # Two cycles of the other side's clock, and the transfer is offered, or the next one taken.
    to_sink, to_source = Signal(2), Signal(2)
    with m.If(inside & ~o.valid):
        m.d.sink += to_sink.eq(to_sink + 1)
    with m.Else():
        m.d.sink += to_sink.eq(0)
    with m.If(~inside & ~i.ready):
        m.d.source += to_source.eq(to_source + 1)
    with m.Else():
        m.d.source += to_source.eq(0)
    h.claim((to_sink < 2) | o.valid)
    h.claim((to_source < 2) | i.ready)

    # A change travels round this ring, and never more than one.
    halfway_there, there = h.view("dut.request.stage0"), h.view("dut.request.stage1")
    halfway_back, back = h.view("dut.acknowledge.stage0"), h.view("dut.acknowledge.stage1")
    ring = [sent[0], halfway_there, there, taken[0], halfway_back, back]
    changes: Any = 0
    for ahead, behind in pairwise(ring):
        changes = changes + (ahead != behind)
    h.lemma(changes <= 1)
    h.lemma(i.ready == (sent[0] == back))
    h.lemma(o.valid == (there != taken[0]))
    h.lemma(o.payload == word)
    h.lemma((to_sink == 0) | (inside & (halfway_there == sent[0])))
    h.lemma((to_source == 0) | (~inside & (halfway_back == taken[0])))
    h.lemma((to_sink <= 2) & (to_source <= 2))

    h.cover((taken == 2) & (before == 3) & i.ready)
    h.cover(o.valid & ~o.ready & (to_sink == 2))
    return h


def test_contract_holds_in_every_reachable_state(tmp_path: Path) -> None:
    verdict = run(_crossing(), tmp_path, mode="prove", depth=INDUCTION)
    assert verdict.status == "PASS", verdict.log


def test_proof_speaks_of_several_transfers(tmp_path: Path) -> None:
    verdict = run(_crossing(), tmp_path, mode="cover", depth=REACH)
    assert verdict.status == "PASS", verdict.log


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.i.ready.eq(request == acknowledged)", "self.i.ready.eq(1)"),
        ("self.o.valid.eq(requested != taken)", "self.o.valid.eq(request != taken)"),
        ("taken.eq(requested)", "taken.eq(requested & self.o.payload[0])"),
    ],
)
def test_broken_crossing_is_refuted(old: str, new: str, tmp_path: Path) -> None:
    harness = _crossing(mutant(StreamCrossing, old, new), lemmas=False)
    verdict = run(harness, tmp_path, mode="bmc", depth=REACH)
    assert verdict.status == "FAIL", verdict.log
