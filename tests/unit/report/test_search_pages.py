# SPDX-License-Identifier: BSD-2-Clause
"""The pages of `auto` and `compare`, from made-up figures."""

from dataclasses import replace

import pytest

from pysnn_hw.report.comparison import (
    ComparedLayer,
    ComparedPoint,
    Comparison,
    render_comparison,
)
from pysnn_hw.report.exploration import SearchPoint, SearchReport, render_search

LAYER = ComparedLayer("conv<1>", 0.99, 0.98, 0.1, 0.2)
POINT = ComparedPoint("rate", 4, 1, "", 0.85, 1234.0, 99.0, 0.25, (LAYER,), (0.5, 0.25, 0.25))
COMPARISON = Comparison(
    title="net & co",
    facts=(("data", "cifar"),),
    original_accuracy=0.9,
    original_energy_uj=2.0,
    original_macs=5000,
    accumulate_pj=0.9,
    mac_pj=4.6,
    detail=(4, 1),
    left_out=("qcfs",),
    points=(
        POINT,
        replace(POINT, method="cos", accuracy=0.898, sops=4321.0),
        replace(POINT, method="cos", timesteps=1, problem="needs <more> steps"),
        replace(POINT, timesteps=1, accuracy=0.5),
    ),
)


def test_a_comparison():
    page = render_comparison(COMPARISON)
    assert "net &amp; co" in page
    assert "89.80 %" in page  # the best
    assert "fewest SOPs within 0.5 points of the original: cos, T = 4, n = 1" in page
    assert "not possible: needs &lt;more&gt; steps" in page
    assert "Not asked for: qcfs." in page
    assert "0.9 pJ per accumulate and 4.6 pJ per multiply-accumulate" in page
    assert page == render_comparison(COMPARISON)


@pytest.mark.parametrize("change", [{"detail": (8, 8)}, {"left_out": ()}])
def test_a_comparison_of_little(change):
    lone = replace(COMPARISON, points=(POINT,), **change)
    page = render_comparison(lone)
    assert "fewest SOPs" not in page
    assert "85.00 %" in page


def point(name, **rest):
    figures = {"accuracy": 0.9, "loss": 1.0, "loss_error": 0.2, "sops": 2e6, "cycles": 3e3}
    fields = {**figures, "energy_uj": 1.5, "on_front": True, "chosen": False, "note": "", **rest}
    return SearchPoint(name, "rate", 1000, **fields)


UNKNOWN = dict.fromkeys(("accuracy", "loss", "loss_error", "sops", "cycles", "energy_uj"))
SEARCH = SearchReport(
    title="net",
    facts=(("data", "cifar"),),
    reasons=("Because it is <cheap>.",),
    original_accuracy=0.91,
    original_macs=5000,
    original_energy_uj=2.0,
    max_sops=2.5e6,
    max_cycles=None,
    accumulate_pj=0.9,
    mac_pj=4.6,
    points=(
        point("dear", sops=4e6, loss=0.1),
        point("taken", chosen=True),
        point("lame", on_front=False, note="clearly worse"),
        point("none", on_front=False, note="cannot be", **UNKNOWN),
    ),
)


def test_a_search():
    page = render_search(SEARCH)
    assert "The choice: taken" in page
    assert "Because it is &lt;cheap&gt;." in page
    rows = page[page.index("Everything that was tried") :]
    places = [rows.index(f"<td>{name}</td>") for name in ("taken", "dear", "lame", "none")]
    assert places == sorted(places)
    assert "cannot be" in rows
    assert "limit" in page
    assert page == render_search(SEARCH)
    assert "limit" not in render_search(replace(SEARCH, max_sops=None))
