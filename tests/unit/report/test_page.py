# SPDX-License-Identifier: BSD-2-Clause
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pysnn_hw.report import plan_plots, render
from tests.unit.report.sample import sample_report

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Balanced(HTMLParser):
    """Collects text and attributes, and fails on a tag that closes another."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data.split()


def parse(html: str) -> Balanced:
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def html():
    return render(sample_report())


def test_well_formed_and_complete(html):
    page = parse(html)
    text = " ".join(page.words)
    assert "sample <net>" in text
    for figure in ("99.18 %", "1,031,744", "31,245 of 83,640", "104.4 MHz", "7,412, 9,120"):
        assert figure in text, figure
    assert "beta/accelerator.bit" in text
    # Four plots of the network, five of each board.
    assert sum(tag == "svg" for tag, _ in page.tags) == 14
    assert "110.0 MHz (+5.4 %)" in text
    assert "the fastest design is bound by <LUTs>." in text


def test_plan_is_drawn(html):
    text = re.sub(r"\s+", " ", html)
    for label in ("conv3", "2,650", "next image after 7,350", "around cores", "free", "51"):
        assert label in text, label
    for name in ("accumulate", "overhead", "weights", "membranes", "tables", "7.0 % faster"):
        assert name in text, name


@pytest.mark.parametrize(
    ("field", "value"),
    [("start", 9.0), ("accumulate", 9.0), ("fire", 9.0), ("overhead", 9.0), ("core", 2)],
)
def test_every_figure_of_a_layer_moves_the_picture(field, value):
    board = sample_report().boards[0]
    times = list(board.plan.times)
    times[2] = replace(times[2], **{field: value})
    moved = replace(board, plan=replace(board.plan, times=tuple(times)))
    assert plan_plots.timeline(moved) != plan_plots.timeline(board)


def test_nothing_is_drawn_of_what_is_not_known():
    report = sample_report()
    plan = replace(report.boards[0].plan, worth=())
    board = replace(report.boards[0], plan=plan, predicted_mhz=None)
    text = " ".join(parse(render(replace(report, boards=(board,)))).words)
    assert "What more would buy" not in text
    assert "Predicted mean" in text
    assert "110.0 MHz" not in text


def test_no_outside_resources(html):
    for tag, attributes in parse(html).tags:
        assert tag not in {"script", "link", "img", "iframe"}
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert "@import" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))


def test_parts_of_plots_do_not_collide(html):
    ids = re.findall(r'\bid="([^"]+)"', html)
    used = set(re.findall(r"url\(#([^)]+)\)", html)) | set(re.findall(r'href="#([^"]+)"', html))
    assert used
    assert {name: ids.count(name) for name in used} == dict.fromkeys(used, 1)


def test_same_figures_same_bytes(html):
    assert render(sample_report()) == html


def test_says_what_one_timestep_is(html):
    text = " ".join(parse(html).words)
    assert "layer-synchronously" in text
    assert "4-bit quantised activations" in text
    assert "Nothing here measures power" in text


def test_rate_code_is_not_called_layer_synchronous():
    text = " ".join(parse(render(sample_report(timesteps=32))).words)
    assert "presented for 32 timesteps" in text
    assert "T = 1. " not in text


def test_mismatches_are_shown_in_red():
    report = sample_report()
    bad = replace(report.boards[0], mismatches=3)
    assert '<td class="n bad">3</td>' in render(replace(report, boards=(bad,)))


def test_nothing_measured_yet_is_left_out():
    report = sample_report()
    layers = tuple(replace(layer, correlation=None) for layer in report.layers)
    board = replace(report.boards[0], latency_cycles=None)
    text = render(replace(report, layers=layers, boards=(board,)))
    assert "Where accuracy goes" not in text
    assert "First pixel" not in text


def test_extreme_figures_draw():
    report = sample_report()
    flat = tuple((name, 0.0) for name, _ in report.accuracy)
    silent = tuple(replace(layer, firing=0.0, spikes_per_image=0.0) for layer in report.layers)
    parse(render(replace(report, accuracy=flat, layers=silent)))
