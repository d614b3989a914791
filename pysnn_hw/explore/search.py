# SPDX-License-Identifier: BSD-2-Clause
"""What one process does in a search: claim, convert, measure on more and more images, close."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pysnn_hw.errors import PysnnError
from pysnn_hw.explore.candidate import Candidate
from pysnn_hw.explore.cycles import Prediction
from pysnn_hw.explore.energy import spiking_pj
from pysnn_hw.explore.front import Point, Price, choose, pareto
from pysnn_hw.explore.measure import Tally
from pysnn_hw.explore.record import Record
from pysnn_hw.explore.space import Limits
from pysnn_hw.explore.study import Study, Trial
from pysnn_hw.explore.subject import Subject
from pysnn_hw.ir.snn import FixedNetwork

NEAR = 2.0
"""Standard errors within which two measurements are not told apart."""


@dataclass(frozen=True)
class Rules:
    """How thoroughly to look, and what to look no further at.

    Attributes
    ----------
    rungs
        Numbers of images, ascending: a candidate goes on to the next while it is worth it.
    limits
        A candidate beyond them is stopped at once.
    max_loss
        Points of accuracy beyond which a candidate is of no interest.
    """

    rungs: tuple[int, ...]
    limits: Limits
    max_loss: float = 10.0


Predict = Callable[[FixedNetwork], Prediction]
"""Says what a network will cost in hardware."""

Keep = Callable[[Candidate, FixedNetwork], None]
"""Told of every network that went through the last rung."""


def search(
    study: Study,
    subject: Subject,
    rules: Rules,
    *,
    trials: int,
    predict: Predict,
    over: Callable[[], bool],
    keep: Keep,
    after: Callable[[], None],
) -> None:
    """Try candidates until ``trials`` are claimed, none is left or it is over.

    Parameters
    ----------
    study, subject
        Where candidates come from, and what is converted.
    rules
        How thoroughly to look.
    trials
        How many candidates all processes together may claim.
    predict
        Says what a network will cost in hardware, see `cycles`.
    over
        Asked before each candidate.
    keep
        Told of every network that went through the last rung.
    after
        Called after each candidate.
    """
    while not over():
        trial = study.claim(trials)
        if trial is None:
            return
        _run(trial, study, subject, rules, predict, keep)
        after()


def _run(
    trial: Trial,
    study: Study,
    subject: Subject,
    rules: Rules,
    predict: Predict,
    keep: Keep,
) -> None:
    try:
        net = subject.network(trial.candidate)
        prediction = predict(net)
    except PysnnError as e:
        trial.fail(str(e))
        return
    total: Tally | None = None
    stopped = ""
    for k, stop in enumerate(rules.rungs):
        part = subject.tally(net, total.images if total else 0, stop)
        total = total + part if total else part
        trial.note(total)
        point = measured(trial.candidate, net, total, prediction)
        others = [r for r in study.counting() if r.number != trial.number]
        stopped = why_stop(point, k, others, rules)
        if stopped:
            break
    if not stopped:
        keep(trial.candidate, net)
    trial.finish(point, stopped)


def measured(
    candidate: Candidate, net: FixedNetwork, total: Tally, prediction: Prediction
) -> Point:
    """The point that a candidate is, after so many images."""
    per_image = {name: count / total.images for name, count in total.sops.items()}
    return Point(candidate, total, prediction, spiking_pj(net, per_image))


def why_stop(point: Point, rung: int, others: Sequence[Record], rules: Rules) -> str:
    """Why a candidate need not be looked at any further, after rung ``rung``; empty if it must.

    Parameters
    ----------
    point
        It, as measured so far.
    rung
        Index of the rung that it has gone through last.
    others
        The other trials; those that came as far saw the same images.
    rules
        What is of no interest.
    """
    limits, tally = rules.limits, point.tally
    if limits.sops is not None and tally.sops_per_image > limits.sops:
        return f"more than {limits.sops:,.0f} SOPs per image"
    if limits.cycles is not None and point.prediction.cycles > limits.cycles:
        return f"more than {limits.cycles:,.0f} cycles per image"
    if tally.loss - NEAR * tally.loss_error > rules.max_loss:
        return f"loses more than {rules.max_loss:g} points"
    for other in others:
        if len(other.rungs) <= rung or other.point is None:
            continue
        same = other.rungs[rung]
        gap = tally.loss - same.loss
        # Operations cost nothing beyond what designs say of speed and size.
        cheaper = other.point.prediction.no_dearer(point.prediction) and (
            bool(point.prediction.designs) or same.sops_per_image <= tally.sops_per_image
        )
        if cheaper and gap > NEAR * math.hypot(tally.loss_error, same.loss_error) / 2:
            return f"clearly worse than trial {other.number}, and not cheaper"
    return ""


def finalists(
    records: Sequence[Record], limits: Limits, *, tolerance: float, price: Price, count: int
) -> list[Record]:
    """The trials to measure on all images, at most ``count``, the choice as it stands first.

    They are those on the Pareto front of the trials that went through all rungs whose loss may be
    within the tolerance, from all along the front if they are many; then those on the front that
    is left without them, and so on.
    """
    through = [r for r in records if r.point is not None and not r.stopped]
    by_point = {id(r.point): r for r in through}
    points = [r.point for r in through if r.point is not None]
    found: list[Record] = []
    while points and len(found) < count:
        best = choose(points, limits, tolerance=tolerance, price=price).point
        likely = [
            p
            for p in sorted(pareto(points), key=lambda p: p.price(price))
            if p is not best and p.tally.loss <= tolerance + p.tally.loss_error
        ]
        room = count - len(found) - 1
        places = np.linspace(0, len(likely) - 1, min(room, len(likely))).round().astype(int)
        for point in [best, *(likely[k] for k in places)]:
            points.remove(point)
            found.append(by_point[id(point)])
    return found


def measure_finally(record: Record, net: FixedNetwork, subject: Subject, images: int) -> Point:
    """The point of a closed trial on the first ``images`` images."""
    if record.point is None or record.candidate is None:
        raise PysnnError(f"trial {record.number}", "was never measured")
    total = record.point.tally
    if total.images < images:
        total = total + subject.tally(net, total.images, images)
    return measured(record.candidate, net, total, record.point.prediction)
