# SPDX-License-Identifier: BSD-2-Clause
"""The plan of a board as pictures: layers over cycles, memory blocks, what more would buy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pysnn_hw.report.figure import AMBER, BESIDE, BLUE, FAINT, GREY, GRID, TEAL, svg
from pysnn_hw.report.model import BoardResult

PHASES = (("accumulate", BLUE), ("fire", AMBER), ("overhead", GREY))
"""Of a layer, in the order in which they follow each other."""

PURPOSES = (("weights", BLUE), ("membranes", TEAL), ("spikes", AMBER), ("tables", GREY))
"""Of memory blocks."""

PAPER: Any = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
"""Behind figures that stand where a line passes."""

LONGEST = 22
"""Letters of a name beside an axis."""


def timeline(board: BoardResult) -> str:
    """A row per layer, from when to when it has its core; a line where the next image comes."""
    times = board.plan.times

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        end = max([board.plan.interval, *(t.start + t.accumulate + t.fire for t in times)])
        for row, time in enumerate(times):
            left = time.start
            for name, colour in PHASES:
                width = getattr(time, name)
                axes.barh(row, width, left=left, color=colour, height=0.7)
                left += width
            taken = time.accumulate + time.fire + time.overhead
            axes.annotate(f"{taken:,.0f}", (left, row), (4, 0), **BESIDE, fontsize=8, bbox=PAPER)
        for row in range(1, len(times)):
            if times[row].core != times[row - 1].core:
                axes.axhline(row - 0.5, color=GRID, linewidth=1)
        axes.axvline(board.plan.interval, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(times)), [_short(t.layer) for t in times])
        axes.set_ylim(len(times) - 0.4, -0.6)
        axes.set_xlim(0, 1.2 * end)
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel(f"cycles (dashed: next image after {board.plan.interval:,.0f})")
        _legend(figure, PHASES)

    return svg(f"timeline {board.name}", (5.2, 0.26 * len(times) + 1.2), draw)


def memories(board: BoardResult) -> str:
    """A row per core, its memory blocks by purpose, and a row for what is left."""
    uses = board.plan.memories
    cores = list(dict.fromkeys(use.core for use in uses))
    free = board.plan.blocks_available - sum(use.blocks for use in uses)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        most = 1
        for row, core in enumerate(cores):
            left = 0
            for purpose, colour in PURPOSES:
                count = sum(u.blocks for u in uses if (u.core, u.purpose) == (core, purpose))
                axes.barh(row, count, left=left, color=colour, height=0.62)
                left += count
            axes.annotate(f"{left}", (left, row), (5, 0), **BESIDE)
            most = max(most, left)
        rows = [_short(core) if core else "around cores" for core in cores]
        if free > 0:
            axes.barh(len(cores), free, color=GRID, height=0.62)
            axes.annotate(f"{free}", (free, len(cores)), (5, 0), **BESIDE)
            rows.append("free")
        axes.set_yticks(range(len(rows)), rows)
        axes.set_xlim(0, 1.15 * max(most, free))
        axes.invert_yaxis()
        axes.locator_params(axis="x", nbins=6, integer=True)
        axes.set_xlabel(f"memory blocks, predicted, of {board.plan.blocks_available}")
        used = {use.purpose for use in uses}
        _legend(figure, [entry for entry in PURPOSES if entry[0] in used])

    return svg(f"memories {board.name}", (5.2, 0.42 * (len(cores) + 1) + 1.2), draw)


def worth(board: BoardResult) -> str:
    """Gain in speed of the fastest design from a tenth more of each resource."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        gains = [100 * (gain - 1) for _, gain in board.plan.worth]
        colours = [AMBER if gain > 0 and gain == max(gains) else BLUE for gain in gains]
        axes.barh([name for name, _ in board.plan.worth], gains, color=colours, height=0.62)
        for row, gain in enumerate(gains):
            text = f"{gain:.1f} % faster" if gain > 0 else "nothing"
            axes.annotate(text, (gain, row), (5, 0), **BESIDE)
        axes.set_xlim(0, 1.5 * max([*gains, 1.0]))
        axes.invert_yaxis()
        axes.set_xlabel("% more images per second with a tenth more")

    return svg(f"worth {board.name}", (5.2, 0.42 * len(board.plan.worth) + 0.8), draw)


def _legend(figure: Figure, entries: Sequence[tuple[str, str]]) -> None:
    patches = [Patch(color=colour, label=name) for name, colour in entries]
    figure.legend(
        handles=patches,
        frameon=False,
        loc="outside upper right",
        ncols=len(patches),
        fontsize=8,
    )


def _short(name: str) -> str:
    """``name`` or its two ends."""
    if len(name) <= LONGEST:
        return name
    half = (LONGEST - 1) // 2
    return f"{name[:half]}…{name[-half:]}"
