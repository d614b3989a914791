# SPDX-License-Identifier: BSD-2-Clause
"""What a user asks of a design, and by how much one misses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pysnn_hw.errors import PlanError


@dataclass(frozen=True)
class Performance:
    """What a design does, predicted or measured.

    Attributes
    ----------
    accuracy
        Fraction of images classified correctly.
    images_per_s
        Images one after the other.
    latency_us
        From the first integer of a lone image to its last score.
    """

    accuracy: float
    images_per_s: float
    latency_us: float


@dataclass(frozen=True)
class Constraints:
    """Bounds that a design must keep; None leaves one open. Fields as in `Performance`."""

    min_images_per_s: float | None = None
    max_latency_us: float | None = None
    min_accuracy: float | None = None

    def check(self) -> None:
        """Raise PlanError if a bound makes no sense."""
        for name, bound in (
            ("min images/s", self.min_images_per_s),
            ("max latency", self.max_latency_us),
        ):
            if bound is not None and not bound > 0:
                raise PlanError(name, f"must be positive, not {bound:g}")
        least = self.min_accuracy
        if least is not None and not 0 < least < 1:
            raise PlanError("min accuracy", f"must lie between 0 and 100 %, not {100 * least:g} %")

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the bounds that are not left open."""
        return tuple(name for name in PHRASES if getattr(self, name) is not None)

    def without(self, name: str) -> Constraints:
        """The same with one bound left open."""
        return replace(self, **{name: None})

    def excess(self, performance: Performance) -> dict[str, float]:
        """By bound, how many times beyond it: at most 1 where it is kept.

        For accuracy it is the share of images classified wrongly over the share allowed.
        """
        found = {}
        if self.min_images_per_s is not None:
            found["min_images_per_s"] = self.min_images_per_s / performance.images_per_s
        if self.max_latency_us is not None:
            found["max_latency_us"] = performance.latency_us / self.max_latency_us
        if self.min_accuracy is not None:
            found["min_accuracy"] = (1 - performance.accuracy) / (1 - self.min_accuracy)
        return found

    def worst(self, performance: Performance) -> float:
        """The largest `excess`; 0 without bounds."""
        return max(self.excess(performance).values(), default=0.0)

    def missed(self, performance: Performance) -> tuple[str, ...]:
        """Names of the bounds that are not kept."""
        return tuple(n for n, times in self.excess(performance).items() if times > 1 + ROUNDING)

    def shortfalls(self, performance: Performance) -> tuple[str, ...]:
        """The bounds that are not kept, in words."""
        return tuple(
            f"{figure(name, performance)} instead of {bound(name, getattr(self, name))}"
            for name in self.missed(performance)
        )

    def __str__(self) -> str:
        said = [PHRASES[name].format(bound(name, getattr(self, name))) for name in self.given]
        return " and ".join(said)


ROUNDING = 1e-9
"""Fractions that mean the same may differ by this."""

PHRASES: Mapping[str, str] = {
    "min_images_per_s": "at least {}",
    "max_latency_us": "at most {}",
    "min_accuracy": "at least {}",
}
"""How a bound is asked for, by its name."""


def bound(name: str, value: float) -> str:
    """A bound, or a figure that it bounds, with its unit."""
    if name == "min_images_per_s":
        return f"{value:,.0f} images/s" if value >= 10 else f"{value:.3g} images/s"
    if name == "max_latency_us":
        return f"{value:,.0f} us of latency" if value >= 10 else f"{value:.3g} us of latency"
    return f"{100 * value:.2f} % accuracy"


def figure(name: str, performance: Performance) -> str:
    """The figure that a bound is about, with its unit."""
    return bound(name, getattr(performance, name.split("_", 1)[1]))
