# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""AXI4-Lite: one answer for each access, in the next cycle, and it stands until it is taken."""

from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Signal

from pysnn_hw.hdl.axi_lite import AxiLite
from tests.formal.harness import Harness
from tests.formal.prove import mutant, run

pytestmark = pytest.mark.formal

INDUCTION, REACH = 2, 6


def _slave(component: Any = AxiLite) -> Harness:
    dut = component(4)
    h = Harness(dut)
    m = h.module

    def moves(channel: str) -> Any:
        return getattr(dut, f"s_axi_{channel}valid") & getattr(dut, f"s_axi_{channel}ready")

    for question, answer in (("aw", "b"), ("ar", "r")):
        owed = Signal(name=f"owed_{answer}")
        m.d.sync += owed.eq(moves(question) | (owed & ~moves(answer)))
        h.claim(getattr(dut, f"s_axi_{answer}valid") == owed)
        # No question is taken while the answer to the one before still waits.
        h.claim(~(owed & ~moves(answer) & moves(question)))
        # No cycle is lost while the answers are taken.
        offered = getattr(dut, f"s_axi_{question}valid") & (dut.s_axi_wvalid | (answer == "r"))
        taken = getattr(dut, f"s_axi_{answer}ready")
        h.claim(~(offered & taken) | moves(question))

    word = Signal(32)
    with m.If(moves("ar")):
        m.d.sync += word.eq(dut.read_data)
    h.claim(~dut.s_axi_rvalid | (dut.s_axi_rdata == word))
    h.claim((dut.s_axi_rresp == 0) & (dut.s_axi_bresp == 0))

    h.claim((moves("aw") == moves("w")) & (moves("aw") == dut.write))
    h.claim(dut.write_data == dut.s_axi_wdata)
    h.claim(dut.write_strobe == dut.s_axi_wstrb)
    h.claim(dut.write_address == dut.s_axi_awaddr[2:])
    h.claim(dut.read_address == dut.s_axi_araddr[2:])

    h.cover(moves("r") & moves("ar") & moves("b") & moves("aw"))
    return h


def test_contract_holds_in_every_reachable_state(tmp_path: Path) -> None:
    verdict = run(_slave(), tmp_path, mode="prove", depth=INDUCTION)
    assert verdict.status == "PASS", verdict.log


def test_proof_speaks_of_accesses_back_to_back(tmp_path: Path) -> None:
    verdict = run(_slave(), tmp_path, mode="cover", depth=REACH)
    assert verdict.status == "PASS", verdict.log


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.s_axi_wready.eq(self.write)", "self.s_axi_wready.eq(1)"),
        ("with m.Elif(self.s_axi_bready)", "with m.Else()"),
        ("eq(~self.s_axi_rvalid | self.s_axi_rready)", "eq(~self.s_axi_rvalid)"),
        ("eq(~self.s_axi_rvalid | self.s_axi_rready)", "eq(1)"),
    ],
)
def test_broken_slave_is_refuted(old: str, new: str, tmp_path: Path) -> None:
    verdict = run(_slave(mutant(AxiLite, old, new)), tmp_path, mode="bmc", depth=REACH)
    assert verdict.status == "FAIL", verdict.log
