# SPDX-License-Identifier: BSD-2-Clause
"""The page about a search: what was tried, the Pareto front, what was chosen and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pysnn_hw.report.figure import AMBER, BLUE, GREY, INK, TEAL, svg
from pysnn_hw.report.template import environment

TEMPLATE = "auto.html.j2"


@dataclass(frozen=True)
class SearchPoint:
    """One candidate; figures are None where it was never measured.

    Attributes
    ----------
    name
        How it was converted, in short.
    images
        Test images behind its accuracy.
    accuracy
        Fraction of them classified correctly.
    loss, loss_error
        Points lost against the original network, and their standard error.
    sops, cycles, energy_uj
        Per image.
    note
        Why it was not looked at to the end.
    """

    name: str
    method: str
    images: int
    accuracy: float | None
    loss: float | None
    loss_error: float | None
    sops: float | None
    cycles: float | None
    energy_uj: float | None
    on_front: bool
    chosen: bool
    note: str


@dataclass(frozen=True)
class SearchReport:
    """The whole page.

    Attributes
    ----------
    facts
        (what, value) pairs of the header.
    reasons
        Why the chosen point was chosen, in sentences.
    original_accuracy, original_macs, original_energy_uj
        Of the trained network.
    max_sops, max_cycles
        The user's bounds.
    accumulate_pj, mac_pj
        Constants of the energy model.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    reasons: tuple[str, ...]
    original_accuracy: float
    original_macs: int
    original_energy_uj: float
    max_sops: float | None
    max_cycles: float | None
    accumulate_pj: float
    mac_pj: float
    points: tuple[SearchPoint, ...]


def render_search(report: SearchReport) -> str:
    """The page as HTML; it needs no file, font or script from elsewhere."""
    order = sorted(
        report.points,
        key=lambda p: (not p.chosen, not p.on_front, p.loss is None, p.sops or 0.0),
    )
    page = environment().get_template(TEMPLATE)
    return page.render(
        report=report,
        chosen=next(p for p in report.points if p.chosen),
        points=order,
        sops=Markup(_front(report, "sops")),
        cycles=Markup(_front(report, "cycles")),
    )


def _front(report: SearchReport, price: Literal["sops", "cycles"]) -> str:
    """Accuracy against a price; the front as steps: between two points lies the dearer one."""
    measured = [p for p in report.points if p.loss is not None and p.accuracy is not None]
    front = [p for p in measured if p.on_front]
    scale, unit = _unit([_price(p, price) for p in measured])

    def xy(points: Sequence[SearchPoint]) -> tuple[list[float], list[float]]:
        return [_price(p, price) / scale for p in points], [-(p.loss or 0.0) for p in points]

    def draw(figure: Figure) -> None:
        axes: Axes = figure.subplots()
        through = [p for p in measured if not p.note and not p.on_front]
        stopped = [p for p in measured if p.note and not p.on_front]
        axes.plot(*xy(stopped), "x", color=GREY, markersize=5, label="given up early")
        axes.plot(*xy(through), "o", color=GREY, markersize=4, label="measured")
        stairs = _stairs(front, price)
        axes.plot(*xy(stairs), drawstyle="steps-post", color=BLUE, linewidth=1)
        x, y = xy(front)
        errors = [p.loss_error or 0.0 for p in front]
        style: Any = {"fmt": "o", "color": BLUE, "markersize": 5, "linewidth": 1, "label": "front"}
        axes.errorbar(x, y, yerr=errors, **style)
        chosen = [p for p in measured if p.chosen]
        axes.plot(*xy(chosen), "o", color=AMBER, markersize=9, label="chosen")
        axes.axhline(0.0, color=TEAL, linewidth=1, linestyle="--", label="original network")
        bound = report.max_sops if price == "sops" else report.max_cycles
        if bound is not None:
            axes.axvline(bound / scale, color=INK, linewidth=1, linestyle=":", label="limit")
        low = min([-(p.loss or 0.0) - (p.loss_error or 0.0) for p in front], default=-1.0)
        axes.set_xlim(*_range(x, [_price(p, price) / scale for p in measured]))
        axes.set_ylim(min(1.6 * low, -1.0), max(0.5, 1.2 * max(y, default=0.0) + 0.3))
        axes.grid()
        axes.set_ylabel("accuracy against the original, points")
        name = "synaptic operations" if price == "sops" else "predicted cycles"
        axes.set_xlabel(f"{unit}{name} per image")
        axes.legend(frameon=False, loc="lower right", fontsize=8)

    return svg(f"accuracy against {price}", (5.2, 3.6), draw)


def _price(point: SearchPoint, price: Literal["sops", "cycles"]) -> float:
    return (point.sops if price == "sops" else point.cycles) or 0.0


def _range(front: Sequence[float], everything: Sequence[float]) -> tuple[float, float]:
    """From a little before the front to far behind it: where something is to be seen."""
    low, high = min(front), max(front)
    room = max(high - low, 0.05 * high, 1e-9)
    return max(0.0, low - 0.25 * room), min(high + 1.5 * room, max(everything) + 0.1 * room)


def _stairs(front: Sequence[SearchPoint], price: Literal["sops", "cycles"]) -> list[SearchPoint]:
    """Those of the front that are not beaten in this price alone, from the cheapest."""
    found: list[SearchPoint] = []
    for point in sorted(front, key=lambda p: (_price(p, price), p.loss)):
        if not found or (point.loss or 0.0) < (found[-1].loss or 0.0):
            found.append(point)
    return found


def _unit(values: Sequence[float]) -> tuple[float, str]:
    """A divisor and its name such that numbers are short."""
    top = max(values, default=0.0)
    for scale, name in ((1e6, "million "), (1e3, "thousand ")):
        if top >= 2 * scale:
            return scale, name
    return 1.0, ""
