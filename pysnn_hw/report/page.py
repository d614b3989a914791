# SPDX-License-Identifier: BSD-2-Clause
"""Fills the page's template; all arithmetic is done before."""

from __future__ import annotations

from markupsafe import Markup

from pysnn_hw.report import plan_plots, plots
from pysnn_hw.report.model import BoardResult, Report
from pysnn_hw.report.template import environment

TEMPLATE = "report.html.j2"


def render(report: Report) -> str:
    """The page as HTML; it needs no file, font or script from elsewhere."""
    figures = {
        "accuracy": plots.accuracy(report),
        "activity": plots.activity(report),
        "work": plots.work(report),
    }
    if any(layer.correlation is not None for layer in report.layers):
        figures["correlation"] = plots.correlation(report)
    page = environment().get_template(TEMPLATE)
    return page.render(
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
        "timeline": Markup(plan_plots.timeline(board)),
        "memories": Markup(plan_plots.memories(board)),
        "worth": Markup(plan_plots.worth(board)),
        "latency_us": None if latency is None else latency / board.clock_mhz,
        "prediction_error": board.predicted_cycles / board.cycles_mean - 1,
    }
