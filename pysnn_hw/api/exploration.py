# SPDX-License-Identifier: BSD-2-Clause
"""Search for the conversion of a model that costs least."""

from __future__ import annotations

import importlib.util
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pysnn_hw.api.searching import (
    Job,
    finish_one,
    network_of,
    run_worker,
    subject,
    tell,
)
from pysnn_hw.config import ModelOptions, SearchOptions
from pysnn_hw.errors import ModelError, ToolError
from pysnn_hw.explore import Point, Study, choose, finalists, pareto
from pysnn_hw.explore.energy import ACCUMULATE_PJ, MAC_PJ, dense_pj
from pysnn_hw.explore.record import Record
from pysnn_hw.ir.file import save
from pysnn_hw.pipeline.files import write_json, write_text
from pysnn_hw.progress import Progress, silent
from pysnn_hw.report.exploration import SearchPoint, SearchReport, render_search

SEARCH_SHARE = 0.75
"""Of the time, the part after which no other candidate is begun."""
POLL_S = 0.5


@dataclass(frozen=True)
class ExploredPoint:
    """One candidate.

    Attributes
    ----------
    trial
        Its number.
    method, timesteps, levels, weight_bits, thresholds, tau, bias_correction
        How it was converted.
    images
        Test images that it was measured on; if 0, the figures are None.
    accuracy, original_accuracy
        Fractions of them that it and the original network classify correctly.
    loss, loss_error
        The difference in points, and its standard error.
    sops_per_image, spikes_per_image
        Means.
    cycles, cycles_from, fits
        Predicted cycles per image, what that rests on, and whether the board holds the network.
    energy_uj
        Microjoules per image by the energy model.
    on_front
        Whether no other point with as many images beats it.
    note
        Why it was not looked at to the end; empty if it was.
    """

    trial: int
    method: str
    timesteps: int
    levels: int
    weight_bits: int
    thresholds: str
    tau: float
    bias_correction: bool
    images: int = 0
    accuracy: float | None = None
    original_accuracy: float | None = None
    loss: float | None = None
    loss_error: float | None = None
    sops_per_image: float | None = None
    spikes_per_image: float | None = None
    cycles: float | None = None
    cycles_from: str = ""
    fits: bool = True
    energy_uj: float | None = None
    on_front: bool = False
    note: str = ""


@dataclass(frozen=True)
class Exploration:
    """Answer of `auto`.

    Attributes
    ----------
    chosen, reasons
        The point to take, and why, in sentences.
    front
        Points that no other beats, cheapest first.
    points
        Everything that was tried, in that order.
    original_energy_uj, original_macs
        Of the trained network, run densely.
    network, page, results
        Files: the chosen network, the page about the search, this answer as JSON.
    study
        The record, with which a search goes on.
    seconds
        That this call took.
    """

    chosen: ExploredPoint
    reasons: tuple[str, ...]
    front: tuple[ExploredPoint, ...]
    points: tuple[ExploredPoint, ...]
    original_energy_uj: float
    original_macs: int
    network: Path
    page: Path
    results: Path
    study: str
    seconds: float


def auto(
    model: str | Path,
    data: str | Path,
    output: str | Path,
    *,
    source: ModelOptions | None = None,
    options: SearchOptions | None = None,
    study: str | Path | None = None,
    progress: Progress = silent,
) -> Exploration:
    """Try ways to convert ``model`` and choose one.

    Parameters
    ----------
    model
        An ``.onnx``, ``.pt2``, ``.keras`` or ``.h5`` file, or ``file.py:factory``.
    data
        As `pysnn_hw.data.load_dataset` takes it; thresholds come from its training images, points
        are measured on its test images.
    output
        Folder for ``network.snn``, ``auto.html`` and ``auto.json``.
    source, options
        How the model sees its input; bounds and thoroughness.
    study
        File or database URL of the record, by default ``study.db`` in the folder. A search that was
        interrupted goes on from it, and several processes may share it.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        If the model, the data set, the options or the record are unusable, or nothing converts.
    """
    start = time.time()
    options, folder = options or SearchOptions(), Path(output)
    _check(options)
    timeout = math.inf if options.timeout is None else options.timeout
    job = Job(
        str(model),
        str(data),
        source or ModelOptions(),
        options,
        str(study or folder / "study.db"),
        str(folder / "work"),
        start + SEARCH_SHARE * timeout,
        start + timeout,
    ).named
    try:
        with job.open() as record:
            record.recover()
            record.plan(job.space.starters())
            _search(job, record, progress)
            _finish(job, record, progress)
            return _conclude(job, record.counting(), folder, start)
    finally:
        subject.cache_clear()


def _check(options: SearchOptions) -> None:
    for name, value in (
        ("trials", options.trials),
        ("images", options.images),
        ("final images", options.final_images or 1),
        ("finalists", options.finalists),
        ("workers", options.workers),
        ("calibration images", options.calibration_images),
        ("training images", options.training_images),
    ):
        if value < 1:
            raise ModelError(name, f"must be at least 1, not {value}")
    if options.timeout is not None and not options.timeout > 0:
        raise ModelError("timeout", f"must be positive, not {options.timeout:g}")
    if options.workers > 1 and importlib.util.find_spec("joblib") is None:
        raise ToolError("joblib", "is needed for workers", "pip install 'pysnn-hw[explore]'")


def _search(job: Job, record: Study, progress: Progress) -> None:
    workers = job.options.workers
    if workers == 1:
        run_worker(job, progress)
        return
    from joblib import Parallel, delayed

    with _watched(job, record, progress):
        Parallel(n_jobs=workers)(delayed(run_worker)(job) for _ in range(workers))


def _finish(job: Job, record: Study, progress: Progress) -> None:
    options = job.options
    best = finalists(
        record.counting(),
        job.limits,
        tolerance=options.tolerance,
        price=options.cheapest,
        count=options.finalists,
    )
    if options.workers == 1:
        done: Iterator[bool] = (finish_one(job, one) for one in best)
    else:
        from joblib import Parallel, delayed

        pool = Parallel(n_jobs=options.workers, return_as="generator_unordered")
        done = pool(delayed(finish_one)(job, one) for one in best)
    progress("measure the best", 0, len(best))
    for k, _ in enumerate(done):
        progress("measure the best", k + 1, len(best))


@contextmanager
def _watched(job: Job, record: Study, progress: Progress) -> Iterator[None]:
    """Tell how far other processes are, while they work."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_S):
            tell(progress, record.counting(), job.options.trials)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    tell(progress, record.counting(), job.options.trials)


def _conclude(job: Job, records: Sequence[Record], folder: Path, start: float) -> Exploration:
    through = [r for r in records if r.point is not None and not r.stopped]
    finals = [r.final for r in through if r.final is not None]
    pool = finals or [r.point for r in through if r.point is not None]
    if not pool:
        # Limits that nothing keeps stop every trial; the least bad of them are still an answer.
        pool = [r.point for r in records if r.point is not None]
    if not pool:
        problems = [r.problem for r in records if r.problem]
        raise ModelError(
            job.model,
            f"nothing was measured: {problems[0]}" if problems else "nothing was measured in time",
            "" if problems else "allow more time",
        )
    choice = choose(pool, job.limits, tolerance=job.options.tolerance, price=job.options.cheapest)
    front = pareto(pool)
    points = [_explored(r, front) for r in records if r.candidate is not None]
    net = network_of(job, choice.point.candidate)
    network = folder / "network.snn"
    tally = choice.point.tally
    provenance = {
        **net.provenance,
        "accuracy": tally.accuracy,
        "original_accuracy": tally.original_accuracy,
        "test_images": tally.images,
    }
    save(replace(net, provenance=provenance), network)
    found = Exploration(
        chosen=_row(points, choice.point),
        reasons=choice.reasons,
        front=tuple(_row(points, p) for p in front),
        points=tuple(points),
        original_energy_uj=dense_pj(net) / 1e6,
        original_macs=net.dense_macs,
        network=network,
        page=folder / "auto.html",
        results=folder / "auto.json",
        study=job.study,
        seconds=time.time() - start,
    )
    write_text(found.page, render_search(_report(job, found)))
    write_json(found.results, _document(found))
    return found


def _row(points: Sequence[ExploredPoint], point: Point) -> ExploredPoint:
    c = point.candidate.to_json()
    return next(p for p in points if c.items() <= asdict(p).items())


def _explored(record: Record, front: Sequence[Point]) -> ExploredPoint:
    if record.candidate is None:
        raise ValueError(f"trial {record.number} has no candidate")
    knobs: dict[str, Any] = {"trial": record.number, **record.candidate.to_json()}
    point = record.measured
    if point is None:
        return ExploredPoint(**knobs, note=record.problem or "not finished")
    t, prediction = point.tally, point.prediction
    return ExploredPoint(
        **knobs,
        images=t.images,
        accuracy=t.accuracy,
        original_accuracy=t.original_accuracy,
        loss=t.loss,
        loss_error=t.loss_error,
        sops_per_image=t.sops_per_image,
        spikes_per_image=t.spikes_per_image,
        cycles=prediction.cycles,
        cycles_from=prediction.basis,
        fits=prediction.fits,
        energy_uj=point.energy_pj / 1e6,
        on_front=any(point.candidate == p.candidate for p in front),
        note=record.stopped,
    )


def _document(found: Exploration) -> dict[str, Any]:
    files = {name: str(getattr(found, name)) for name in ("network", "page", "results")}
    return {**asdict(found), **files}


def _report(job: Job, found: Exploration) -> SearchReport:
    def row(p: ExploredPoint) -> SearchPoint:
        text = f"{p.method} T={p.timesteps} n={p.levels} {p.weight_bits} bit {p.thresholds}"
        text += "" if p.tau == 0.5 else f" tau={p.tau:g}"
        return SearchPoint(
            name=text + ("" if p.bias_correction else " uncorrected"),
            method=p.method,
            images=p.images,
            accuracy=p.accuracy,
            loss=p.loss,
            loss_error=p.loss_error,
            sops=p.sops_per_image,
            cycles=p.cycles,
            energy_uj=p.energy_uj,
            on_front=p.on_front,
            chosen=p.trial == found.chosen.trial,
            note=p.note or ("" if p.fits else "the board does not hold it"),
        )

    chosen, o = found.chosen, job.options
    return SearchReport(
        title=Path(job.model).stem,
        facts=(
            ("data", Path(job.data).name),
            ("candidates tried", str(len(found.points))),
            ("tolerance", f"{o.tolerance:g} points"),
            ("cycles", chosen.cycles_from),
        ),
        reasons=found.reasons,
        original_accuracy=chosen.original_accuracy or 0.0,
        original_macs=found.original_macs,
        original_energy_uj=found.original_energy_uj,
        max_sops=o.max_sops,
        max_cycles=o.max_cycles,
        accumulate_pj=ACCUMULATE_PJ,
        mac_pj=MAC_PJ,
        points=tuple(map(row, found.points)),
    )
