# SPDX-License-Identifier: BSD-2-Clause
"""Search for the design that a board makes best, and build it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pysnn_hw.api.design_builds import DesignBuilder
from pysnn_hw.api.design_reasons import reasons
from pysnn_hw.api.explored_designs import (
    BuiltDesign,
    DesignExploration,
    ExploredDesign,
    built_design,
    document,
    explored,
    report,
)
from pysnn_hw.api.searching import Job, network_of, subject
from pysnn_hw.api.workers import SEARCH_SHARE, check_effort, measure_best, try_candidates
from pysnn_hw.config import ExploreOptions, ModelOptions
from pysnn_hw.errors import BoardError, ModelError, PlanError
from pysnn_hw.explore import (
    Closure,
    Constraints,
    DesignPoint,
    Study,
    Tally,
    close,
    contenders,
    design_front,
    design_points,
    why_unmet,
)
from pysnn_hw.explore.closure import Build
from pysnn_hw.explore.record import Record
from pysnn_hw.ir.file import save
from pysnn_hw.pipeline.files import write_json, write_text
from pysnn_hw.plan import load_board
from pysnn_hw.progress import Progress, silent
from pysnn_hw.report.design_search import render_designs

__all__ = ["BuiltDesign", "DesignExploration", "ExploredDesign", "explore"]


def explore(
    model: str | Path,
    data: str | Path,
    output: str | Path,
    options: ExploreOptions,
    *,
    source: ModelOptions | None = None,
    study: str | Path | None = None,
    builder: Callable[[DesignBuilder], Build] | None = None,
    progress: Progress = silent,
) -> DesignExploration:
    """Find the best design of ``model`` for a board within bounds, and build it.

    Parameters
    ----------
    model
        An ``.onnx``, ``.pt2``, ``.keras`` or ``.h5`` file, or ``file.py:factory``.
    data
        As `pysnn_hw.data.load_dataset` takes it; thresholds come from its training images,
        accuracies from its test images.
    output
        Folder for all products; a search that was interrupted goes on from what is there.
    options
        What is asked for, and how thoroughly to look.
    source
        How the model sees its input.
    study
        File or database URL of the record, by default ``study.db`` in the folder.
    builder
        Makes what builds design points of what usually does; for builds elsewhere.
    progress
        Told how far the work is.

    Raises
    ------
    PlanError
        If nothing keeps the bounds; page and JSON are written all the same.
    PysnnError
        If the model, the data set, the options or the record are unusable, nothing converts, or a
        tool fails.
    """
    start = time.time()
    constraints, boards = _checked(options)
    folder, effort = Path(output), options.search
    timeout = math.inf if effort.timeout is None else effort.timeout
    job = Job(
        str(model),
        str(data),
        source or ModelOptions(),
        replace(effort, max_cycles=None, max_sops=None, board=None),
        str(study or folder / "study.db"),
        str(folder / "work"),
        start + SEARCH_SHARE * timeout,
        start + timeout,
        tuple(options.boards),
        options.validation_share,
    ).named
    made = DesignBuilder(job, folder / "designs", boards, options.simulated_images, progress)
    if options.build and builder is None:
        made.check_tools()
    build = builder(made) if builder else made
    try:
        with job.open() as record:
            try_candidates(job, record, progress)
            _measure_contenders(job, record, constraints, options, progress)
            records = record.counting()
        return _conclude(_Asked(job, options, constraints, folder, start), records, made, build)
    finally:
        subject.cache_clear()


def _checked(options: ExploreOptions) -> tuple[Constraints, dict[str, str]]:
    """The bounds, and how each board was named, by its name."""
    check_effort(options.search)
    constraints = Constraints(
        options.min_images_per_s, options.max_latency_us, options.min_accuracy
    )
    constraints.check()
    for name, value in (
        ("max builds", options.max_builds),
        ("simulated images", options.simulated_images),
    ):
        if value < 1:
            raise PlanError(name, f"must be at least 1, not {value}")
    if not 0 < options.validation_share <= 1:
        share = options.validation_share
        raise PlanError("validation share", f"must lie above 0 and at most at 1, not {share:g}")
    if options.objective != "accuracy" and options.min_accuracy is None:
        raise PlanError(
            f"objective {options.objective}",
            "needs a bound on accuracy, or the answer would be a network that knows nothing",
            "give --min-accuracy",
        )
    boards = {load_board(spec).name: spec for spec in options.boards}
    if not boards:
        raise BoardError("board", "none is named", "give at least one --board")
    if len(boards) < len(options.boards):
        raise BoardError("board", f"{', '.join(boards)}: one is named twice")
    return constraints, boards


def _measure_contenders(
    job: Job, record: Study, constraints: Constraints, options: ExploreOptions, progress: Progress
) -> None:
    """Measure the most promising on all validation images, until those are the most promising."""
    images = job.measured_images(subject(job))
    most = min(job.options.final_images or images, images)
    while time.time() < job.deadline:
        best = contenders(record.counting(), constraints, options.objective, job.options.finalists)
        due = [r for r in best if r.final is None or r.final.tally.images < most]
        if not due:
            return
        measure_best(job, due, progress)


@dataclass(frozen=True)
class _Asked:
    job: Job
    options: ExploreOptions
    constraints: Constraints
    folder: Path
    start: float


def _conclude(
    asked: _Asked, records: Sequence[Record], builder: DesignBuilder, build: Build
) -> DesignExploration:
    """Choose, build, write the files; or write them and say why nothing keeps the bounds."""
    job, options, constraints = asked.job, asked.options, asked.constraints
    every = design_points(records)
    if not every:
        problems = [r.problem for r in records if r.problem]
        raise ModelError(
            job.model,
            f"nothing was measured: {problems[0]}" if problems else "nothing was measured in time",
            "" if problems else "allow more time",
        )
    points = _comparable(records)
    if not any(p.qualifies(constraints, p.hope) for p in points):
        points = every
    closure = Closure((), None)
    if options.build:
        closure = close(points, constraints, options.objective, build, most=options.max_builds)
    chosen = None if closure.winner is None else closure.winner.point
    if not options.build:
        ranked = sorted(points, key=lambda p: p.rank(options.objective))
        chosen = next((p for p in ranked if p.qualifies(constraints)), None)
    found = _answer(asked, records, builder, closure, chosen)
    write_text(found.page, render_designs(report(found, Path(job.model).stem, constraints)))
    write_json(found.results, document(found))
    if chosen is None:
        tried = points if any(p.qualifies(constraints) for p in every) else every
        raise _failure(closure, tried, constraints, options)
    return found


def _comparable(records: Sequence[Record]) -> list[DesignPoint]:
    """Design points of the trials that were measured on most images."""
    points = design_points(records)
    most = max(p.point.tally.images for p in points)
    return [p for p in points if p.point.tally.images == most]


def _answer(
    asked: _Asked,
    records: Sequence[Record],
    builder: DesignBuilder,
    closure: Closure,
    chosen: DesignPoint | None,
) -> DesignExploration:
    folder, constraints = asked.folder, asked.constraints
    every, front = design_points(records), design_front(_comparable(records))
    rows = {id(p): explored(p, constraints, front) for p in every}

    def row(point: DesignPoint) -> ExploredDesign:
        return next(rows[id(p)] for p in every if p == point)

    builds = tuple(built_design(a, row(a.point), constraints) for a in closure.attempts)
    network = schedule = None
    test: Tally | None = None
    if chosen is not None:
        network, schedule = folder / "network.snn", folder / "schedule.json"
        save(network_of(asked.job, chosen.point.candidate), network)
        write_json(schedule, builder.schedule(chosen))
        test = builder.test_tally(chosen)
    won = [k for k, attempt in enumerate(closure.attempts) if attempt is closure.winner]
    shown = chosen or every[0]
    return DesignExploration(
        bounds=str(constraints),
        objective=asked.options.objective,
        chosen=None if chosen is None else row(chosen),
        reasons=reasons(every, closure, chosen, constraints, asked.options.objective, test),
        built=builds[won[0]] if won else None,
        builds=builds,
        front=tuple(map(row, front)),
        designs=tuple(map(row, every)),
        candidates=sum(record.candidate is not None for record in records),
        problems=tuple(f"{r.candidate}: {r.problem}" for r in records if r.problem),
        original_accuracy=shown.point.tally.original_accuracy,
        test_images=0 if test is None else test.images,
        test_accuracy=None if test is None else test.accuracy,
        original_test_accuracy=None if test is None else test.original_accuracy,
        network=network,
        schedule=schedule,
        page=folder / "explore.html",
        results=folder / "explore.json",
        study=asked.job.study,
        seconds=time.time() - asked.start,
    )


def _failure(
    closure: Closure,
    points: Sequence[DesignPoint],
    constraints: Constraints,
    options: ExploreOptions,
) -> PlanError:
    """Why there is no answer, after what was built or without having built anything."""
    done = [(a, a.performance) for a in closure.attempts]
    built = [(a, p) for a, p in done if p is not None]
    if not done:
        unmet = why_unmet(points, constraints, options.objective)
        lucky = not options.build and any(p.qualifies(constraints, p.hope) for p in points)
        chance = "let --build try whether its clock comes out better, or " if lucky else ""
        return PlanError("explore", unmet.problem, chance + unmet.hint)
    exhausted = len(done) == options.max_builds
    alone, many = "the design that was built", f"none of the {len(done)} designs that were built"
    if not built:
        said = f"{many} can be" if done[1:] else f"{alone} cannot be"
        reason = closure.attempts[-1].problem
        hint = "allow more builds" if exhausted else "name a larger board"
        return PlanError("explore", f"{said} placed and routed ({reason})", hint)
    closest, reached = min(built, key=lambda b: constraints.worst(b[1]))
    short = " and ".join(constraints.shortfalls(reached))
    where = f"{closest.point.point.candidate.short} on {closest.point.design.board}"
    said = f"{many} comes to {constraints}" if done[1:] else f"{alone} misses {constraints}"
    hint = "allow more builds" if exhausted else "relax the bounds"
    return PlanError("explore", f"{said}; the closest, {where}, has {short}", hint)
