# SPDX-License-Identifier: BSD-2-Clause
"""The page about a search for a design: front, bounds, what was built and what was taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pysnn_hw.report.figure import AMBER, BLUE, GREY, INK, TEAL, svg
from pysnn_hw.report.template import environment

TEMPLATE = "explore.html.j2"


@dataclass(frozen=True)
class DesignRow:
    """A candidate on a board; speeds and resources are predicted.

    Attributes
    ----------
    name
        How the candidate was converted, in short.
    images, accuracy
        Validation images, and the fraction of them classified correctly.
    plan
        The planner's objective.
    share
        The largest share of a memory or of the logic.
    keeps
        Whether it fits and should keep the bounds.
    """

    name: str
    images: int
    accuracy: float
    board: str
    plan: str
    cycles: float
    images_per_s: float
    latency_us: float
    lut: int
    bram: int
    dsp: int
    spram: int
    share: float
    fits: bool
    keeps: bool
    on_front: bool
    chosen: bool


@dataclass(frozen=True)
class BuildRow:
    """A design that was built; what was measured is None if it cannot be placed and routed.

    Attributes
    ----------
    expected_images_per_s
        Predicted.
    verdict
        Whether it keeps the bounds, in words.
    """

    name: str
    accuracy: float
    board: str
    plan: str
    expected_images_per_s: float
    clock_mhz: float | None
    cycles: float | None
    images_per_s: float | None
    latency_us: float | None
    verdict: str
    chosen: bool


@dataclass(frozen=True)
class DesignReport:
    """The whole page.

    Attributes
    ----------
    facts
        (what, value) pairs of the header.
    reasons
        Why the chosen design was chosen, in sentences.
    original_accuracy
        Of the trained network on the validation images.
    min_images_per_s, min_accuracy
        Bounds that the plot shows.
    problems
        Candidates without a design, with the reason.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    reasons: tuple[str, ...]
    original_accuracy: float
    min_images_per_s: float | None
    min_accuracy: float | None
    designs: tuple[DesignRow, ...]
    builds: tuple[BuildRow, ...]
    problems: tuple[str, ...]


def render_designs(report: DesignReport) -> str:
    """The page as HTML; it needs no file, font or script from elsewhere."""
    order = sorted(
        report.designs,
        key=lambda d: (not d.chosen, not d.on_front, not d.fits, -d.accuracy, -d.images_per_s),
    )
    page = environment().get_template(TEMPLATE)
    return page.render(
        report=report,
        chosen=next((d for d in report.designs if d.chosen), None),
        built=next((b for b in report.builds if b.chosen), None),
        designs=order,
        plot=Markup(_plot(report)),
    )


def _plot(report: DesignReport) -> str:
    """Accuracy against images per second, in logarithms; bounds as lines."""
    fitting = [d for d in report.designs if d.fits]
    front = [d for d in fitting if d.on_front]

    def xy(rows: Sequence[DesignRow]) -> tuple[list[float], list[float]]:
        return [d.images_per_s for d in rows], [100 * d.accuracy for d in rows]

    def draw(figure: Figure) -> None:
        axes: Axes = figure.subplots()
        axes.set_xscale("log")
        axes.plot(*xy(fitting), "o", color=GREY, markersize=4, label="fits")
        axes.plot(*xy(front), "o", color=BLUE, markersize=5, label="front")
        stairs = _stairs(front)
        axes.plot(*xy(stairs), drawstyle="steps-pre", color=BLUE, linewidth=1)
        chosen = [d for d in report.designs if d.chosen]
        axes.plot(*xy(chosen), "o", color=AMBER, markersize=9, label="chosen")
        for build in report.builds:
            if build.images_per_s is not None:
                pace = [build.expected_images_per_s, build.images_per_s]
                axes.plot(pace, [100 * build.accuracy] * 2, color=INK, linewidth=1)
                axes.plot(pace[1:], [100 * build.accuracy], "x", color=INK, markersize=6)
        axes.axhline(100 * report.original_accuracy, color=TEAL, linewidth=1, linestyle="--")
        for bound, line in (
            (report.min_images_per_s, axes.axvline),
            (None if report.min_accuracy is None else 100 * report.min_accuracy, axes.axhline),
        ):
            if bound is not None:
                line(bound, color=INK, linewidth=1, linestyle=":")
        top = 100 * max([d.accuracy for d in fitting] + [report.original_accuracy])
        low = 100 * min([d.accuracy for d in front], default=0.0)
        axes.set_ylim(max(low, top - 12) - 0.5, min(top + 0.5, 100.5))
        axes.grid()
        axes.set_ylabel("accuracy, %")
        axes.set_xlabel("images per second, expected (crosses: built)")
        axes.legend(frameon=False, loc="lower left", fontsize=8)

    return svg("accuracy against images per second", (7.6, 4.0), draw)


def _stairs(front: Sequence[DesignRow]) -> list[DesignRow]:
    """Those of the front that no other beats in accuracy and speed alone, fastest first."""
    found: list[DesignRow] = []
    for row in sorted(front, key=lambda d: (-d.images_per_s, -d.accuracy)):
        if not found or row.accuracy > found[-1].accuracy:
            found.append(row)
    return found
