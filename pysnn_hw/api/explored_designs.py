# SPDX-License-Identifier: BSD-2-Clause
"""The answer of ``explore``: design points, builds, the choice, and the files about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pysnn_hw.api.explored import ExploredCandidate
from pysnn_hw.explore import Attempt, Constraints, DesignPoint
from pysnn_hw.report.design_search import BuildRow, DesignReport, DesignRow


@dataclass(frozen=True)
class ExploredDesign(ExploredCandidate):
    """A candidate as a design on a board; speeds are predicted.

    Attributes
    ----------
    images, accuracy, loss, loss_error
        Validation images; the fraction classified correctly; points lost against the original
        network on them, with their standard error.
    board, plan_objective
        What it was planned for.
    cycles_per_image, latency_cycles, clock_mhz, images_per_s, latency_us
        Predicted.
    lut, bram, dsp, spram, share
        Predicted resources, and the largest share of a memory or of the logic.
    fits, shortfalls
        Whether the board holds it, and what is missing.
    keeps_bounds
        Whether it fits and should keep the bounds that were asked for.
    on_front
        Whether no other design point with as many images is as accurate, fast and small.
    """

    images: int
    accuracy: float
    loss: float
    loss_error: float
    board: str
    plan_objective: str
    cycles_per_image: float
    latency_cycles: float
    clock_mhz: float
    images_per_s: float
    latency_us: float
    lut: int
    bram: int
    dsp: int
    spram: int
    share: float
    fits: bool
    shortfalls: tuple[str, ...]
    keeps_bounds: bool
    on_front: bool


@dataclass(frozen=True)
class BuiltDesign:
    """A design that was built.

    Attributes
    ----------
    design
        As predicted.
    problem
        Why it does not build; empty if it does. What was measured is None then.
    fmax_mhz, clock_mhz
        What timing closes at, and what the board's clock is set to.
    cycles_per_image, latency_cycles
        Of the Verilated accelerator on test images, every spike equal to golden.
    images_per_s, latency_us
        At that clock.
    lut, ff, bram, dsp, spram
        {used, available}.
    keeps_bounds, missed
        Whether it keeps the bounds, and by how much it does not, in words.
    bitstream, flash_image
        Files.
    """

    design: ExploredDesign
    problem: str
    keeps_bounds: bool
    missed: tuple[str, ...] = ()
    fmax_mhz: float | None = None
    clock_mhz: float | None = None
    cycles_per_image: float | None = None
    latency_cycles: float | None = None
    images_per_s: float | None = None
    latency_us: float | None = None
    lut: dict[str, int] | None = None
    ff: dict[str, int] | None = None
    bram: dict[str, int] | None = None
    dsp: dict[str, int] | None = None
    spram: dict[str, int] | None = None
    bitstream: Path | None = None
    flash_image: Path | None = None


@dataclass(frozen=True)
class DesignExploration:
    """Answer of `explore`.

    Attributes
    ----------
    bounds, objective
        What was asked for.
    chosen, reasons
        The design to take, and why, in sentences; None if nothing keeps the bounds.
    built
        What came of building it; None if nothing was to be built.
    builds
        All designs that were built, in that order.
    front
        Design points that no other beats in accuracy, speed and size, fastest first.
    designs
        Every design of every candidate.
    candidates
        Tried in all, those without a design (``problems``) too.
    original_accuracy
        Of the trained network on the validation images.
    test_images, test_accuracy, original_test_accuracy
        Test images that played no part in the choice, and accuracies on them; None if there are
        none.
    network, schedule
        Files of the chosen design, for the other verbs.
    page, results
        The page about all this, and the same as JSON.
    study
        The record, with which a search goes on.
    seconds
        That this call took.
    """

    bounds: str
    objective: str
    chosen: ExploredDesign | None
    reasons: tuple[str, ...]
    built: BuiltDesign | None
    builds: tuple[BuiltDesign, ...]
    front: tuple[ExploredDesign, ...]
    designs: tuple[ExploredDesign, ...]
    candidates: int
    problems: tuple[str, ...]
    original_accuracy: float
    test_images: int
    test_accuracy: float | None
    original_test_accuracy: float | None
    network: Path | None
    schedule: Path | None
    page: Path
    results: Path
    study: str
    seconds: float


def explored(
    point: DesignPoint, constraints: Constraints, front: Sequence[DesignPoint]
) -> ExploredDesign:
    """The answer's form of a design point."""
    tally, design = point.point.tally, point.design
    return ExploredDesign(
        trial=point.trial,
        **point.point.candidate.to_json(),
        images=tally.images,
        accuracy=tally.accuracy,
        loss=tally.loss,
        loss_error=tally.loss_error,
        board=design.board,
        plan_objective=design.objective,
        cycles_per_image=design.cycles,
        latency_cycles=design.latency_cycles,
        clock_mhz=design.clock_hz / 1e6,
        images_per_s=design.images_per_s,
        latency_us=design.latency_us,
        lut=design.lut,
        bram=design.bram,
        dsp=design.dsp,
        spram=design.spram,
        share=design.share,
        fits=design.fits,
        shortfalls=design.shortfalls,
        keeps_bounds=point.qualifies(constraints),
        on_front=point in front,
    )


def built_design(
    attempt: Attempt,
    design: ExploredDesign,
    constraints: Constraints,
) -> BuiltDesign:
    """The answer's form of a build."""
    done = attempt.performance
    if done is None or attempt.built is None:
        return BuiltDesign(design, attempt.problem, keeps_bounds=False)
    return BuiltDesign(
        design,
        "",
        keeps_bounds=attempt.keeps(constraints),
        missed=constraints.shortfalls(done),
        clock_mhz=attempt.built.clock_hz / 1e6,
        cycles_per_image=attempt.built.cycles,
        latency_cycles=attempt.built.latency_cycles,
        images_per_s=done.images_per_s,
        latency_us=done.latency_us,
        **attempt.built.facts,
    )


def report(found: DesignExploration, title: str, constraints: Constraints) -> DesignReport:
    """What the page about it shows."""

    def row(d: ExploredDesign) -> DesignRow:
        return DesignRow(
            name=d.name,
            images=d.images,
            accuracy=d.accuracy,
            board=d.board,
            plan=d.plan_objective,
            cycles=d.cycles_per_image,
            images_per_s=d.images_per_s,
            latency_us=d.latency_us,
            lut=d.lut,
            bram=d.bram,
            dsp=d.dsp,
            spram=d.spram,
            share=d.share,
            fits=d.fits,
            keeps=d.keeps_bounds,
            on_front=d.on_front,
            chosen=d == found.chosen,
        )

    def build(b: BuiltDesign) -> BuildRow:
        return BuildRow(
            name=b.design.name,
            accuracy=b.design.accuracy,
            board=b.design.board,
            plan=b.design.plan_objective,
            expected_images_per_s=b.design.images_per_s,
            clock_mhz=b.clock_mhz,
            cycles=b.cycles_per_image,
            images_per_s=b.images_per_s,
            latency_us=b.latency_us,
            verdict=verdict(b),
            chosen=b == found.built,
        )

    return DesignReport(
        title=title,
        facts=(
            ("best", found.objective),
            ("bounds", found.bounds or "none"),
            ("candidates tried", str(found.candidates)),
        ),
        reasons=found.reasons,
        original_accuracy=found.original_accuracy,
        min_images_per_s=constraints.min_images_per_s,
        min_accuracy=constraints.min_accuracy,
        designs=tuple(map(row, found.designs)),
        builds=tuple(map(build, found.builds)),
        problems=found.problems,
    )


def verdict(built: BuiltDesign) -> str:
    """Whether a build keeps the bounds, in words."""
    if built.problem:
        return built.problem
    return "keeps the bounds" if built.keeps_bounds else " and ".join(built.missed)


def document(found: DesignExploration) -> dict[str, Any]:
    """The answer as JSON; paths as text."""
    plain: dict[str, Any] = _plain(asdict(found))
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
