# SPDX-License-Identifier: BSD-2-Clause
"""What a search found: the choice, the front, everything that was tried, and the page about it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pysnn_hw.api.searching import Job, network_of
from pysnn_hw.errors import ModelError
from pysnn_hw.explore import Candidate, Point, choose, pareto
from pysnn_hw.explore.energy import ACCUMULATE_PJ, MAC_PJ, dense_pj
from pysnn_hw.explore.record import Record
from pysnn_hw.ir.file import save
from pysnn_hw.pipeline.files import write_json, write_text
from pysnn_hw.report.exploration import SearchPoint, SearchReport, render_search

KNOBS = tuple(field.name for field in fields(Candidate))
"""What a candidate is made of."""


@dataclass(frozen=True)
class ExploredCandidate:
    """A conversion that was tried.

    Attributes
    ----------
    trial
        Its number.
    method, timesteps, levels, weight_bits, thresholds, tau, bias_correction, activity
        How it was converted.
    """

    trial: int
    method: str
    timesteps: int
    levels: int
    weight_bits: int
    thresholds: str
    tau: float
    bias_correction: bool
    activity: float

    @property
    def name(self) -> str:
        """Its knobs in a line; those at their usual place are left out."""
        return Candidate(**{knob: getattr(self, knob) for knob in KNOBS}).short


@dataclass(frozen=True)
class ExploredPoint(ExploredCandidate):
    """What a candidate came to.

    Attributes
    ----------
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


def conclude(job: Job, records: Sequence[Record], folder: Path, start: float) -> Exploration:
    """Choose from ``records`` and write the files.

    Parameters
    ----------
    job, records
        The search.
    folder
        For the files.
    start
        When it began, `time.time` seconds.

    Raises
    ------
    ModelError
        If nothing was measured.
    """
    through = [r for r in records if r.point is not None and not r.stopped]
    finals = [r.final for r in through if r.final is not None]
    # Earlier calls may have measured on fewer images; only like is compared with like.
    most = max((p.tally.images for p in finals), default=0)
    finals = [p for p in finals if p.tally.images == most]
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
        return SearchPoint(
            name=p.name,
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
