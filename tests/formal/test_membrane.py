# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Read-modify-write: each word of a bank is the sum of all addends stepped onto its address.

The address is arbitrary but fixed, and so the claim holds for every one of them; addends, other
steps, scans and their stalls are free.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from amaranth.asserts import AnyConst
from amaranth.hdl import Cat, Signal, signed

from pysnn_hw.hdl.membrane import MembraneBank
from tests.formal.harness import Harness
from tests.formal.prove import mutant, run
from tests.poisoned import PoisonedMemory

pytestmark = pytest.mark.formal

BITS, ADDEND_BITS = 4, 3
INDUCTION, REACH = 5, 14
EVERY = [(far, d) for far in (False, True) for d in range(1, 5 + far)]
SMALL: dict[str, Any] = {"depth": 2, "lanes": 1, "lemmas": False}  # enough to go wrong


@pytest.fixture(autouse=True)
def _poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read as it is written is wrong."""
    monkeypatch.setattr("pysnn_hw.hdl.membrane.BlockMemory", PoisonedMemory)


def _bank(
    component: Any = MembraneBank,
    *,
    min_distance: int,
    promised: int | None = None,
    depth: int = 4,
    lanes: int = 2,
    far: bool = False,
    **options: Any,
) -> Harness:
    """A bank built for ``min_distance`` whose steps are ``promised`` (default: the same) apart."""
    bank = component(
        depth=depth,
        lanes=lanes,
        bits=BITS,
        addend_bits=ADDEND_BITS,
        min_distance=min_distance,
        kind="block",
        far=far,
    )
    h = Harness(bank, **options)
    m = h.module
    address = Signal(range(depth))
    m.d.comb += address.eq(AnyConst(len(address)))

    # hits[k]: the step k cycles ago was onto the address
    hits = [Signal(name=f"hit_{k}") for k in range(bank.hazard + 1)]
    steps = [Signal(name=f"step_{k}") for k in range(bank.hazard)]
    m.d.comb += [steps[0].eq(bank.step), hits[0].eq(bank.step & (bank.step_address == address))]
    m.d.sync += [new.eq(old) for pipe in (hits, steps) for old, new in pairwise(pipe)]
    for distance in range(1, min_distance if promised is None else promised):
        h.assume(~(hits[0] & hits[distance]))
    h.assume(~(bank.scanning & Cat(steps).any()))

    # The sum as it leaves the adders, and a cycle later, when it is in memory
    restored = bank.scanning & bank.restore & (bank.restore_address == address)
    added = [Signal(signed(BITS), name=f"added_{lane}") for lane in range(lanes)]
    stored = [Signal(signed(BITS), name=f"stored_{lane}") for lane in range(lanes)]
    for lane in range(lanes):
        m.d.sync += stored[lane].eq(added[lane])
        with m.If(hits[bank.lead]):
            m.d.sync += added[lane].eq(added[lane] + bank.addends[lane])
        with m.If(restored):
            m.d.sync += [
                added[lane].eq(bank.restore_data[lane]),
                stored[lane].eq(bank.restore_data[lane]),
            ]

    # What a scan must see: the word as it was when it was read, two advances later
    moving = ~bank.scanning | bank.advance
    fetched, shown = Signal(), Signal()
    fetched_word, shown_word = Signal(BITS * lanes), Signal(BITS * lanes)
    with m.If(moving):
        # What is read as it is restored may be anything.
        reading = bank.scanning & (bank.scan_address == address) & ~restored
        m.d.sync += [fetched.eq(reading), fetched_word.eq(Cat(*stored))]
        m.d.sync += [shown.eq(fetched), shown_word.eq(fetched_word)]
    h.claim(~(bank.scanning & shown) | (bank.scan_data.as_value() == shown_word))

    word = Signal(BITS * lanes)
    for k in range(depth):
        with m.If(address == k):
            m.d.comb += word.eq(h.view(f"dut.memory.slice_0[{k}]", BITS * lanes))
    h.lemma(word == Cat(*stored))
    h.lemma(~fetched | (h.view("dut.read_data", BITS * lanes) == fetched_word))
    h.lemma(~hits[bank.lead + 1] | (h.view("dut.total", BITS * lanes) == Cat(*added)))

    if min_distance == bank.hazard:
        h.lemma(~(hits[1] & h.view("dut.memory.collided")))

    twice = Signal()
    with m.If(hits[0] & hits[min_distance]):
        m.d.sync += twice.eq(1)
    h.cover(twice & shown & (shown_word != 0) & bank.scanning)
    return h


@pytest.mark.parametrize(("far", "min_distance"), EVERY)
def test_no_update_is_lost_at_any_distance(far: bool, min_distance: int, tmp_path: Path) -> None:
    harness = _bank(min_distance=min_distance, far=far)
    verdict = run(harness, tmp_path, mode="prove", depth=INDUCTION)
    assert verdict.status == "PASS", verdict.log


@pytest.mark.parametrize(("far", "min_distance"), [(False, 1), (False, 4), (True, 1), (True, 5)])
def test_proof_speaks_of_close_steps_and_scans(
    far: bool, min_distance: int, tmp_path: Path
) -> None:
    verdict = run(_bank(min_distance=min_distance, far=far), tmp_path, mode="cover", depth=REACH)
    assert verdict.status == "PASS", verdict.log


@pytest.mark.parametrize(("far", "min_distance"), [c for c in EVERY if c[1] > 1])
def test_steps_closer_than_promised_are_refuted(
    far: bool, min_distance: int, tmp_path: Path
) -> None:
    harness = _bank(min_distance=min_distance, promised=min_distance - 1, far=far, **SMALL)
    verdict = run(harness, tmp_path, mode="bmc", depth=REACH)
    assert verdict.status == "FAIL", verdict.log


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("range(self.min_distance, self.hazard)", "range(self.min_distance, self.hazard - 1)"),
        ("reversed(found)", "found"),  # the oldest sum wins
        ("self.far and distance > 1", "self.far"),
        ("self.lead - 1 - crossing, f", "self.lead - 1, f"),
        ("sums[distance - 1 - crossing]", "sums[min(distance, len(sums)) - 1]"),
        ("ahead & (address", "(address"),
        ("with m.If(moving):", "with m.If(1):"),
    ],
)
def test_broken_bank_is_refuted(old: str, new: str, tmp_path: Path) -> None:
    harness = _bank(mutant(MembraneBank, old, new), min_distance=1, far=True, **SMALL)
    verdict = run(harness, tmp_path, mode="bmc", depth=REACH)
    assert verdict.status == "FAIL", verdict.log
