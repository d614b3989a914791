# SPDX-License-Identifier: BSD-2-Clause
"""The Pareto front of what a search measured, and the point to take from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pysnn_hw.explore.candidate import Candidate
from pysnn_hw.explore.cycles import Prediction
from pysnn_hw.explore.measure import Tally
from pysnn_hw.explore.space import Limits

Price = Literal["sops", "cycles"]


@dataclass(frozen=True)
class Point:
    """One candidate, measured.

    Attributes
    ----------
    candidate
        What was converted.
    tally
        What it did.
    prediction
        Cycles per image.
    energy_pj
        Picojoules per image (`energy.spiking_pj`).
    """

    candidate: Candidate
    tally: Tally
    prediction: Prediction
    energy_pj: float

    def price(self, of: Price) -> float:
        """SOPs or cycles per image."""
        return self.tally.sops_per_image if of == "sops" else self.prediction.cycles

    @property
    def costs(self) -> tuple[float, float]:
        """What a search keeps low beside the loss: SOPs and cycles per image.

        Where boards were planned for: microseconds per image of the fastest design and the share
        of its board of the smallest; of those that fit, if any does.
        """
        designs = [d for d in self.prediction.designs if d.fits] or self.prediction.designs
        if not designs:
            return self.tally.sops_per_image, self.prediction.cycles
        return min(1e6 / d.images_per_s for d in designs), min(d.share for d in designs)

    def within(self, limits: Limits) -> bool:
        """Whether the limits of cost hold, and the board holds the network."""
        cycles, sops = limits.cycles, limits.sops
        return (
            self.prediction.fits
            and (cycles is None or self.prediction.cycles <= cycles)
            and (sops is None or self.tally.sops_per_image <= sops)
        )


@dataclass(frozen=True)
class Choice:
    """The point to take and why, in plain sentences."""

    point: Point
    reasons: tuple[str, ...]


def dominates(a: Point, b: Point) -> bool:
    """Whether ``a`` is at least as good as ``b`` in loss, SOPs and cycles, and better in one."""
    mine = (a.tally.loss, a.tally.sops_per_image, a.prediction.cycles)
    other = (b.tally.loss, b.tally.sops_per_image, b.prediction.cycles)
    return all(x <= y for x, y in zip(mine, other, strict=True)) and mine != other


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points that no other dominates, from the cheapest in SOPs to the dearest."""
    front = [p for p in points if not any(dominates(q, p) for q in points)]
    return sorted(front, key=lambda p: (p.tally.sops_per_image, p.tally.loss, p.candidate))


def choose(points: Sequence[Point], limits: Limits, *, tolerance: float, price: Price) -> Choice:
    """The cheapest point within ``tolerance`` points of the trained network, or the most accurate.

    Only points within ``limits`` count; if there is none, the most accurate of all is taken.
    ``points`` must not be empty.
    """
    affordable = [p for p in points if p.within(limits)]
    pool = affordable or list(points)
    close = [p for p in pool if p.tally.loss <= tolerance + 1e-9]
    unit = "synaptic operations" if price == "sops" else "predicted cycles"
    if close:
        best = min(close, key=lambda p: (p.price(price), p.tally.loss, p.candidate))
        why = (
            f"Of {len(pool)} points, {len(close)} lose at most {tolerance:g} points of accuracy "
            f"against the original network; this one needs the fewest {unit}: "
            f"{best.price(price):,.0f} per image."
        )
    else:
        best = min(pool, key=lambda p: (p.tally.loss, p.price(price), p.candidate))
        why = (
            f"None of {len(pool)} points comes within {tolerance:g} points of the original "
            f"network; this one comes closest."
        )
    reasons = [why, _measured(best)]
    if not affordable:
        reasons.insert(0, "No point keeps the limits that were given" + _misses(best, limits) + ".")
    reasons += _neighbours(best, pool, price)
    return Choice(best, tuple(reasons))


def _measured(point: Point) -> str:
    t = point.tally
    return (
        f"It classifies {100 * t.accuracy:.2f} % of {t.images:,} test images correctly, the "
        f"original network {100 * t.original_accuracy:.2f} %: a loss of {t.loss:.2f} points, "
        f"give or take {t.loss_error:.2f}."
    )


def _misses(point: Point, limits: Limits) -> str:
    said = []
    if limits.cycles is not None and point.prediction.cycles > limits.cycles:
        said.append(f"{point.prediction.cycles:,.0f} cycles instead of {limits.cycles:,.0f}")
    if limits.sops is not None and point.tally.sops_per_image > limits.sops:
        said.append(f"{point.tally.sops_per_image:,.0f} SOPs instead of {limits.sops:,.0f}")
    if not point.prediction.fits:
        said.append("the board does not hold it")
    return f" ({', '.join(said)})" if said else ""


def _neighbours(best: Point, pool: Sequence[Point], price: Price) -> list[str]:
    """What one step cheaper and one step more accurate would cost."""
    front = sorted(pareto(pool), key=lambda p: p.price(price))
    unit = "SOPs" if price == "sops" else "cycles"
    said = []
    cheaper = [p for p in front if p.price(price) < best.price(price)]
    if cheaper:
        near = cheaper[-1]
        less = 100 * (1 - near.price(price) / best.price(price))
        said.append(
            f"The next cheaper point ({near.candidate}) saves {less:.1f} % of the {unit} and "
            f"loses {near.tally.loss:.2f} points."
        )
    better = [p for p in front if p.tally.loss < best.tally.loss]
    if better:
        near = min(better, key=lambda p: p.price(price))
        more = 100 * (near.price(price) / best.price(price) - 1)
        said.append(
            f"The next better point ({near.candidate}) loses {near.tally.loss:.2f} points and "
            f"needs {more:.1f} % more {unit}."
        )
    return said
