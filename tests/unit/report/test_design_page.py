# SPDX-License-Identifier: BSD-2-Clause
"""The page of `explore`, from made-up figures."""

from dataclasses import replace

from pysnn_hw.report.design_search import BuildRow, DesignReport, DesignRow, render_designs

ROW = DesignRow(
    name="plain",
    images=5000,
    accuracy=0.975,
    board="alpha",
    plan="balanced",
    cycles=10_000.0,
    images_per_s=3000.0,
    latency_us=900.0,
    lut=4500,
    bram=20,
    dsp=1,
    spram=0,
    share=0.75,
    fits=True,
    keeps=True,
    on_front=True,
    chosen=False,
)
BUILD = BuildRow(
    name="taken",
    accuracy=0.98,
    board="alpha",
    plan="throughput",
    expected_images_per_s=2900.0,
    clock_mhz=31.5,
    cycles=11_000.0,
    images_per_s=2864.0,
    latency_us=950.0,
    verdict="keeps the bounds",
    chosen=True,
)
REPORT = DesignReport(
    title="net & co",
    facts=(("best", "accuracy"),),
    reasons=("Because it is <fast>.",),
    original_accuracy=0.99,
    min_images_per_s=500.0,
    min_accuracy=0.97,
    designs=(
        replace(ROW, name="large", fits=False, keeps=False, on_front=False),
        replace(ROW, name="slow", images_per_s=100.0, keeps=False, on_front=False),
        ROW,
        replace(ROW, name="taken", accuracy=0.98, images_per_s=2900.0, chosen=True),
    ),
    builds=(
        replace(BUILD, name="failed", chosen=False, verdict="no <room>", images_per_s=None),
        BUILD,
    ),
    problems=("odd: cannot be",),
)


def test_a_page():
    page = render_designs(REPORT)
    assert "net &amp; co" in page
    assert "The choice: taken" in page
    assert "Because it is &lt;fast&gt;." in page
    assert "31.5 MHz" in page
    assert "no &lt;room&gt;" in page
    rows = page[page.index("Every design") :]
    places = [rows.index(f"<td>{name}</td>") for name in ("taken", "plain", "slow", "large")]
    assert places == sorted(places)
    assert "does not fit" in rows
    assert "misses the bounds" in rows
    assert "odd: cannot be" in rows
    assert page == render_designs(REPORT)


def test_a_page_without_an_answer():
    none = replace(
        REPORT,
        designs=tuple(replace(d, chosen=False, on_front=False) for d in REPORT.designs[:2]),
        builds=(),
        reasons=(),
        min_accuracy=None,
    )
    page = render_designs(none)
    assert "Nothing keeps the bounds" in page
    assert "No design was built." in page
    assert "What was built" not in page


def test_nothing_fits():
    lone = replace(REPORT, designs=REPORT.designs[:1], builds=())
    assert "does not fit" in render_designs(lone)
