# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""A pipeline that cannot be stopped never finds the queue behind it full."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from amaranth.asserts import AnySeq
from amaranth.hdl import Signal, unsigned

from pysnn_hw.hdl.shared.word_queue import WordQueue
from tests.formal.harness import Harness
from tests.formal.prove import mutant, run

pytestmark = pytest.mark.formal


def _behind_a_pipeline(component: Any = WordQueue, under_way: int = 3, **options: Any) -> Harness:
    """Words enter in any cycle with room, and come ``under_way`` cycles later, or not at all."""
    depth = under_way + 4
    h = Harness(component(unsigned(2), under_way=under_way, depth=depth), **options)
    m, dut = h.module, h.dut
    stages = [Signal(name=f"under_way_{k}") for k in range(under_way + 1)]
    m.d.comb += stages[0].eq(dut.room & AnySeq(1))
    m.d.sync += [later.eq(stage) for stage, later in pairwise(stages)]
    h.assume(~dut.valid | stages[-1])

    h.claim(~dut.valid | h.view("dut.fifo.w_rdy"))

    stored = h.view("dut.fifo.inner_level", (depth - 2).bit_length())
    latched = h.view("dut.fifo.r_rdy")
    coming: Any = dut.room
    for stage in stages[1:]:
        coming = coming + stage
    h.lemma(stored + latched + coming <= depth - 1)
    h.lemma(latched | (stored <= 1))
    h.cover(stored + latched == depth - 2)
    return h


@pytest.mark.parametrize("under_way", [1, 3, 6])
def test_no_word_finds_it_full(under_way: int, tmp_path: Path) -> None:
    verdict = run(_behind_a_pipeline(under_way=under_way), tmp_path, mode="prove", depth=4)
    assert verdict.status == "PASS", verdict.log


def test_proof_speaks_of_queues_nearly_full(tmp_path: Path) -> None:
    verdict = run(_behind_a_pipeline(), tmp_path, mode="cover", depth=20)
    assert verdict.status == "PASS", verdict.log


def test_room_promised_too_late_is_refuted(tmp_path: Path) -> None:
    broken = mutant(WordQueue, "self.depth - 2", "self.depth + 1")
    harness = _behind_a_pipeline(broken, lemmas=False)
    verdict = run(harness, tmp_path, mode="bmc", depth=20)
    assert verdict.status == "FAIL", verdict.log
