# SPDX-License-Identifier: BSD-2-Clause
"""Fills the page's template; all arithmetic is done before."""

from __future__ import annotations

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pysnn_hw.report import plots
from pysnn_hw.report.model import BoardResult, Report
from pysnn_hw.resources import resource_dir

TEMPLATE = "report.html.j2"


def render(report: Report) -> str:
    """The page as HTML; it needs no file, font or script from elsewhere."""
    environment = Environment(
        loader=FileSystemLoader(resource_dir("rtl_templates")),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = lambda value: f"{value:,.0f}"
    environment.filters["percent"] = lambda value: f"{100 * value:.2f} %"
    environment.filters["shape"] = lambda shape: " × ".join(map(str, shape))
    environment.filters["duration"] = duration
    figures = {
        "accuracy": plots.accuracy(report),
        "activity": plots.activity(report),
        "work": plots.work(report),
    }
    if any(layer.correlation is not None for layer in report.layers):
        figures["correlation"] = plots.correlation(report)
    return environment.get_template(TEMPLATE).render(
        report=report,
        figures={name: Markup(svg) for name, svg in figures.items()},
        boards=[_board(board) for board in report.boards],
        sops_of_dense=report.sops_per_image / report.dense_macs,
        losses=[(name, value - report.accuracy[0][1]) for name, value in report.accuracy[1:]],
        busiest=[max(b.cores, key=lambda c: c.cycles).name for b in report.boards],
        seconds=sum(seconds for _, seconds in report.stage_times),
        steps="one timestep" if report.timesteps == 1 else f"{report.timesteps} timesteps",
    )


def _board(board: BoardResult) -> dict[str, object]:
    latency = board.latency_cycles
    return {
        "result": board,
        "utilisation": Markup(plots.utilisation(board)),
        "cores": Markup(plots.cores(board)),
        "latency_us": None if latency is None else latency / board.clock_mhz,
        "prediction_error": board.predicted_cycles / board.cycles_mean - 1,
    }


def duration(seconds: float) -> str:
    """Seconds below two minutes, then minutes."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
