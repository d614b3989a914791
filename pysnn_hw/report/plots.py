# SPDX-License-Identifier: BSD-2-Clause
"""The plots of a report, as SVG text that can stand inside an HTML page."""

from __future__ import annotations

from matplotlib.figure import Figure

from pysnn_hw.report.figure import AMBER, BESIDE, BLUE, GREY, GRID, TEAL, svg
from pysnn_hw.report.model import BoardResult, Report


def accuracy(report: Report) -> str:
    """Accuracy at each stage; the axis is cut, as a note on it says."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        names = [name for name, _ in report.accuracy]
        values = [100 * value for _, value in report.accuracy]
        low = max(0.0, min(values) - max(0.2, 2 * (max(values) - min(values))))
        colours = [GREY] + [BLUE] * (len(values) - 1)
        axes.barh(names, [v - low for v in values], left=low, color=colours, height=0.62)
        for k, value in enumerate(values):
            lost = "" if k == 0 else f" ({value - values[0]:+.2f})"
            axes.annotate(f"{value:.2f} %{lost}", (value, k), (5, 0), **BESIDE)
        axes.set_xlim(low, low + 1.45 * max(max(values) - low, 0.1))
        axes.locator_params(axis="x", nbins=6)
        axes.invert_yaxis()
        axes.set_xlabel(f"correct of {report.images:,} test images, % (axis from {low:.1f})")

    return svg("accuracy", (5.2, 0.5 * len(report.accuracy) + 0.8), draw)


def activity(report: Report) -> str:
    """Share of the neurons that fire in a timestep, per population."""
    layers = [layer for layer in report.layers if layer.firing is not None]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        values = [100 * (layer.firing or 0.0) for layer in layers]
        axes.barh([layer.name for layer in layers], values, color=TEAL, height=0.62)
        for k, layer in enumerate(layers):
            text = f"{values[k]:.1f} % · {layer.spikes_per_image:,.0f} spikes"
            axes.annotate(text, (values[k], k), (5, 0), **BESIDE)
        axes.set_xlim(0, 1.75 * max([*values, 1.0]))
        axes.invert_yaxis()
        axes.set_xlabel("neurons that fire per timestep, % (and spikes per image)")

    return svg("activity", (5.2, 0.42 * len(layers) + 0.8), draw)


def work(report: Report) -> str:
    """Synaptic operations beside the dense multiply-accumulates, per projection."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        rows = range(len(report.synapses))
        dense = [s.dense_macs / 1e3 for s in report.synapses]
        sops = [s.sops_per_image / 1e3 for s in report.synapses]
        axes.barh([r - 0.19 for r in rows], dense, color=GREY, height=0.36, label="dense MACs")
        axes.barh([r + 0.19 for r in rows], sops, color=BLUE, height=0.36, label="SOPs, measured")
        for r in rows:
            for value, offset in ((dense[r], -0.19), (sops[r], 0.19)):
                axes.annotate(
                    f"{value:,.0f}",
                    (value, r + offset),
                    (4, 0),
                    **BESIDE,
                    fontsize=8,
                )
        axes.set_yticks(list(rows), [s.name for s in report.synapses])
        axes.set_xlim(0, 1.15 * max([*dense, *sops, 1e-3]))
        axes.invert_yaxis()
        axes.set_xlabel("thousand per image")
        axes.legend(frameon=False, loc="lower right", fontsize=8)

    return svg("work", (5.2, 0.62 * len(report.synapses) + 0.8), draw)


def correlation(report: Report) -> str:
    """Correlation of spike rate and activation, per population."""
    layers = [layer for layer in report.layers if layer.correlation is not None]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        values = [layer.correlation or 0.0 for layer in layers]
        axes.plot(values, range(len(layers)), "o", color=AMBER, markersize=7)
        for k, value in enumerate(values):
            axes.annotate(f"{value:.4f}", (value, k), (8, 0), **BESIDE)
        low = min([*values, 0.98])
        axes.set_xlim(low - 0.25 * (1 - low), 1 + 0.3 * (1 - low))
        axes.set_xticks([tick for tick in axes.get_xticks() if low <= tick <= 1][:6])
        axes.set_ylim(len(layers) - 0.4, -0.6)
        axes.set_yticks(range(len(layers)), [layer.name for layer in layers])
        axes.axvline(1.0, color=GREY, linewidth=1)
        axes.grid(axis="y")
        axes.set_xlabel("correlation of spike rate and original activation (1 = identical)")

    return svg("correlation", (5.2, 0.42 * len(layers) + 0.8), draw)


def utilisation(board: BoardResult) -> str:
    """Resources taken of those available."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        rows = range(len(board.uses))
        axes.barh(rows, [100] * len(board.uses), color=GRID, height=0.55)
        taken = [100 * use.fraction for use in board.uses]
        colours = [AMBER if value > 85 else BLUE for value in taken]
        axes.barh(rows, taken, color=colours, height=0.55)
        for r, use in enumerate(board.uses):
            text = f"{use.used:,} of {use.available:,}"
            axes.annotate(text, (100, r), (6, 0), **BESIDE)
        axes.set_yticks(list(rows), [use.name for use in board.uses])
        axes.set_xlim(0, 150)
        axes.set_xticks([0, 25, 50, 75, 100])
        axes.invert_yaxis()
        axes.set_xlabel("% used")

    return svg(f"utilisation {board.name}", (5.2, 0.42 * len(board.uses) + 0.8), draw)


def cores(board: BoardResult) -> str:
    """Cycles per image of each core; the slowest sets the pace of the pipeline."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        values = [core.cycles for core in board.cores]
        colours = [AMBER if value == max(values) else TEAL for value in values]
        axes.barh([core.name for core in board.cores], values, color=colours, height=0.62)
        for k, core in enumerate(board.cores):
            text = f"{core.cycles:,.0f} · {core.lanes} SOP/cycle"
            axes.annotate(text, (core.cycles, k), (5, 0), **BESIDE)
        axes.set_xlim(0, 1.55 * max([*values, 1.0]))
        axes.invert_yaxis()
        axes.set_xlabel("predicted cycles per image")

    return svg(f"cores {board.name}", (5.2, 0.42 * len(board.cores) + 0.8), draw)
