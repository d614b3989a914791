# SPDX-License-Identifier: BSD-2-Clause
"""The plots of a comparison; a method has the same colour and mark in all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pysnn_hw.report.figure import INK, svg

if TYPE_CHECKING:
    from pysnn_hw.report.comparison import ComparedLayer, ComparedPoint

    Points = Sequence[ComparedPoint]

COLOURS = ("#2f6fed", "#12908e", "#e08a00", "#8b5cf6", "#c2410c", "#65a30d", "#be185d", "#475569")
MARKS = "os^Dv<>P"
ROW = 5
"""Entries of a legend side by side."""
LINEAR = 0.5
"""Points of loss below which the axis of losses is linear; above it is logarithmic."""
LOSSES = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


def against_steps(points: Points, original: float) -> str:
    """Loss against T, a panel for each n."""
    return _panels(
        "accuracy against timesteps",
        points,
        original,
        panel=lambda p: p.levels,
        across=lambda p: p.timesteps,
        title="n = {}",
        label="timesteps T",
    )


def against_levels(points: Points, original: float) -> str:
    """Loss against n, a panel for each T."""
    return _panels(
        "accuracy against bits of a spike",
        points,
        original,
        panel=lambda p: p.timesteps,
        across=lambda p: p.levels,
        title="T = {}",
        label="bits n of a spike",
    )


def _panels(
    name: str,
    points: Points,
    original: float,
    *,
    panel: Callable[[ComparedPoint], int],
    across: Callable[[ComparedPoint], int],
    title: str,
    label: str,
) -> str:
    methods = _methods(points)
    done = [p for p in points if not p.problem]
    panels = sorted({panel(p) for p in points})
    ticks = sorted({across(p) for p in points})

    def draw(figure: Figure) -> None:
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, value in zip(grid, panels, strict=True):
            for method in methods:
                mine = sorted(
                    (p for p in done if p.method == method and panel(p) == value), key=across
                )
                x = [ticks.index(across(p)) for p in mine]
                axes.plot(x, _losses(mine, original), **_style(method, methods))
            axes.axhline(0.0, color=INK, linewidth=1, linestyle="--")
            axes.set_title(title.format(value), fontsize=9)
            axes.set_xticks(range(len(ticks)), [str(t) for t in ticks])
            axes.set_xlim(-0.4, len(ticks) - 0.6)
            axes.grid()
            axes.set_xlabel(label)
        _loss_axis(grid[0], _losses(done, original))
        _legend(figure, methods, 2 * ROW)

    return svg(name, (10.4, 3.1), draw)


def against_sops(points: Points, original: float) -> str:
    """Accuracy against synaptic operations."""
    return _cloud(
        "accuracy against operations",
        points,
        original,
        "synaptic operations per image",
        lambda p: p.sops,
    )


def against_energy(points: Points, original: float, original_uj: float) -> str:
    """Accuracy against energy, the original network beside it."""
    return _cloud(
        "accuracy against energy",
        points,
        original,
        "energy per image by the model, µJ",
        lambda p: p.energy_uj,
        beside=original_uj,
    )


def _cloud(
    name: str,
    points: Points,
    original: float,
    label: str,
    price: Callable[[ComparedPoint], float],
    beside: float | None = None,
) -> str:
    methods = _methods(points)
    done = [p for p in points if not p.problem]

    def draw(figure: Figure) -> None:
        axes: Axes = figure.subplots()
        for method in methods:
            mine = [p for p in done if p.method == method]
            style = {**_style(method, methods), "linestyle": "none"}
            axes.plot([price(p) for p in mine], _losses(mine, original), **style)
        axes.axhline(0.0, color=INK, linewidth=1, linestyle="--")
        if beside is not None:
            axes.plot([beside], [0.0], "*", color=INK, markersize=11)
            axes.annotate(
                "original",
                (beside, 0.0),
                (0, -13),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(_short))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid()
        axes.set_xlabel(label)
        _loss_axis(axes, _losses(done, original))
        _legend(figure, methods)

    return svg(name, (5.2, 3.4), draw)


def rates(points: Points, methods: Sequence[str]) -> str:
    """Histogram of spike rates: the silent neurons, then bins up to 1."""

    def draw(figure: Figure) -> None:
        axes: Axes = figure.subplots()
        bins = len(points[0].rates) - 1 if points else 0
        for p in points:
            colour = _style(p.method, methods)["color"]
            shares = [100 * share for share in p.rates]
            edges = [k / bins for k in range(bins + 1)]
            axes.stairs(shares[1:], edges, color=colour, linewidth=1.4)
            axes.plot([-0.06], shares[:1], **_style(p.method, methods))
        axes.set_yscale("log")
        axes.set_xticks(
            [-0.06, 0.2, 0.4, 0.6, 0.8, 1.0], ["silent", "0.2", "0.4", "0.6", "0.8", "1"]
        )
        axes.set_xlim(-0.12, 1.02)
        axes.grid(axis="y")
        axes.set_ylabel("neurons, %")
        axes.set_xlabel("spike rate (1 = the largest spike in every timestep)")

    return svg("spike rates", (5.2, 3.2), draw)


def correlations(points: Points, methods: Sequence[str]) -> str:
    """Correlation of spike rate and activation, per layer, of the integers."""
    return _layers(
        "correlation per layer",
        points,
        methods,
        "correlation of rate and activation",
        (lambda layer: layer.fixed_correlation,),
    )


def errors(points: Points, methods: Sequence[str]) -> str:
    """Relative rms error per layer: solid in integers, dotted in floating point."""
    return _layers(
        "error per layer",
        points,
        methods,
        "rms error / rms activation",
        (lambda layer: layer.fixed_error, lambda layer: layer.error),
    )


def _layers(
    name: str,
    points: Points,
    methods: Sequence[str],
    label: str,
    values: Sequence[Callable[[ComparedLayer], float]],
) -> str:
    def draw(figure: Figure) -> None:
        axes: Axes = figure.subplots()
        for p in points:
            style = _style(p.method, methods)
            for value, line in zip(values, ("-", ":"), strict=False):
                heights = [value(layer) for layer in p.layers]
                marked = {
                    **style,
                    "linestyle": line,
                    "markersize": style["markersize"] if line == "-" else 0,
                }
                axes.plot(range(len(heights)), heights, **marked)
        names = [layer.name for layer in points[0].layers] if points else []
        axes.set_xticks(range(len(names)), names, rotation=60 if len(names) > 6 else 0, fontsize=7)
        axes.tick_params(axis="x", labelrotation=60 if len(names) > 6 else 0)
        for text in axes.get_xticklabels():
            text.set_horizontalalignment("right" if len(names) > 6 else "center")
        axes.grid(axis="y")
        axes.set_ylabel(label)

    return svg(name, (5.2, 3.4), draw)


def _methods(points: Points) -> list[str]:
    return list(dict.fromkeys(p.method for p in points))


def _style(method: str, methods: Sequence[str]) -> dict[str, Any]:
    k = list(methods).index(method)
    # Methods often do the same: the later ones are thinner, so that those below show.
    return {
        "color": COLOURS[k % len(COLOURS)],
        "marker": MARKS[k % len(MARKS)],
        "markersize": max(4.0, 9.0 - 1.3 * k),
        "linewidth": max(1.2, 3.2 - 0.5 * k),
        "alpha": 0.85,
    }


def _legend(figure: Figure, methods: Sequence[str], columns: int = ROW) -> None:
    lines = [Line2D([], [], label=m, **_style(m, methods)) for m in methods]
    lines.append(Line2D([], [], color=INK, linestyle="--", linewidth=1, label="original"))
    figure.legend(
        handles=lines, loc="outside upper left", ncols=min(len(lines), columns), frameon=False
    )


def _losses(points: Points, original: float) -> list[float]:
    return [100 * (original - p.accuracy) for p in points]


def _loss_axis(axes: Axes, losses: Sequence[float]) -> None:
    """Losses on an axis that shows tenths and tens of points alike; up is better."""
    low, high = min([0.0, *losses]), max([LINEAR, *losses])
    axes.set_yscale("symlog", linthresh=LINEAR, linscale=0.6)
    ticks = [t for t in LOSSES if low - LINEAR <= t <= high]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(1.25 * high, low - 0.2)
    axes.set_ylabel("loss, points (up is better)")


def _short(value: float, _position: int | None = None) -> str:
    """A number of few characters: 20k, 1.5M."""
    for scale, unit in ((1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:g}{unit}"
    return f"{value:g}"
