# SPDX-License-Identifier: BSD-2-Clause
"""The page that sets conversion methods side by side, from plain figures."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from pysnn_hw.report import comparison_plots as plots
from pysnn_hw.report.template import environment

TEMPLATE = "compare.html.j2"
CLOSE = 0.005
"""Loss of accuracy (a fraction) within which the cheapest point is named at the top."""


@dataclass(frozen=True)
class ComparedLayer:
    """One population: correlation with its activation, and rms error relative to the activation's.

    First of the spiking network in floating point, then in integers.
    """

    name: str
    correlation: float
    fixed_correlation: float
    error: float
    fixed_error: float


@dataclass(frozen=True)
class ComparedPoint:
    """One method at one T and n.

    Attributes
    ----------
    problem
        Why it cannot be done; empty if it can, otherwise the figures mean nothing.
    accuracy
        Fraction of the test images classified correctly, in integers.
    sops, spikes, energy_uj
        Per image.
    rates
        Share of neurons that are silent, then by equal bins of the spike rate up to 1.
    """

    method: str
    timesteps: int
    levels: int
    problem: str
    accuracy: float
    sops: float
    spikes: float
    energy_uj: float
    layers: tuple[ComparedLayer, ...]
    rates: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """The whole page.

    Attributes
    ----------
    facts
        (what, value) pairs of the header.
    original_accuracy, original_energy_uj, original_macs
        Of the trained network, run densely.
    accumulate_pj, mac_pj
        Constants of the energy model.
    detail
        The (T, n) at which layers are shown.
    left_out
        Methods that were not asked for.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    original_accuracy: float
    original_energy_uj: float
    original_macs: int
    accumulate_pj: float
    mac_pj: float
    detail: tuple[int, int]
    left_out: tuple[str, ...]
    points: tuple[ComparedPoint, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """In the order of the points."""
        return tuple(dict.fromkeys(p.method for p in self.points))

    @property
    def done(self) -> tuple[ComparedPoint, ...]:
        """The points that can be done."""
        return tuple(p for p in self.points if not p.problem)

    @property
    def shown(self) -> tuple[ComparedPoint, ...]:
        """Those of them at which layers are shown."""
        return tuple(p for p in self.done if (p.timesteps, p.levels) == self.detail)


def render_comparison(comparison: Comparison) -> str:
    """The page as HTML; it needs no file, font or script from elsewhere."""
    done = comparison.done
    best = max(done, key=lambda p: (p.accuracy, -p.sops))
    floor = comparison.original_accuracy - CLOSE
    close = [p for p in done if p.accuracy >= floor - 1e-12]
    page = environment().get_template(TEMPLATE)
    return page.render(
        comparison=comparison,
        best=best,
        cheapest=min(close, key=lambda p: p.sops) if close else None,
        close_points=100 * CLOSE,
        grids=[(method, _grid(comparison, method)) for method in comparison.methods],
        every_t=sorted({p.timesteps for p in comparison.points}),
        every_n=sorted({p.levels for p in comparison.points}),
        steps=Markup(plots.against_steps(comparison.points, comparison.original_accuracy)),
        bits=Markup(plots.against_levels(comparison.points, comparison.original_accuracy)),
        sops=Markup(plots.against_sops(comparison.points, comparison.original_accuracy)),
        energy=Markup(
            plots.against_energy(
                comparison.points, comparison.original_accuracy, comparison.original_energy_uj
            )
        ),
        rates=Markup(plots.rates(comparison.shown, comparison.methods)),
        correlations=Markup(plots.correlations(comparison.shown, comparison.methods)),
        errors=Markup(plots.errors(comparison.shown, comparison.methods)),
    )


def _grid(comparison: Comparison, method: str) -> dict[tuple[int, int], ComparedPoint]:
    return {(p.timesteps, p.levels): p for p in comparison.points if p.method == method}
