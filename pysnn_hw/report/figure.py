# SPDX-License-Identifier: BSD-2-Clause
"""How plots look, and how they become SVG text that can stand inside an HTML page."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from pysnn_hw.errors import PysnnError

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, TEAL, AMBER, GREY = "#2f6fed", "#12908e", "#e08a00", "#b8c2cc"
BESIDE: Any = {"textcoords": "offset points", "va": "center"}
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": FAINT,
    "ytick.color": INK,
    "grid.color": GRID,
}


def svg(name: str, size: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """The plot that ``draw`` draws, ``size`` in inches; the same text in every run."""
    # The salt names the parts of each plot apart, and the same in every run.
    settings: Any = {**STYLE, "svg.hashsalt": name}
    with mpl.rc_context(settings):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        for axes in figure.axes:
            axes.tick_params(which="both", length=0)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    start = text.find("<svg")
    if start < 0:
        raise PysnnError(f"plot {name}", "matplotlib gave no SVG")
    return text[start:].replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)
