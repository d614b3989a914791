# SPDX-License-Identifier: BSD-2-Clause
"""What is known of one trial of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pysnn_hw.explore.candidate import Candidate
from pysnn_hw.explore.cycles import Prediction
from pysnn_hw.explore.front import Point
from pysnn_hw.explore.measure import Tally


@dataclass(frozen=True)
class Record:
    """One trial.

    Attributes
    ----------
    number
        In the order of drawing.
    candidate
        None until the process that drew it has said so.
    running
        Whether a process is at it.
    void
        Why it does not count (``duplicate``, ``surplus``, ``interrupted``); empty if it does.
    rungs
        What was measured after each rung, over all images so far.
    point, final
        The measurement of the search, and the one on all images, if they were made.
    stopped
        Why it was not carried to the last rung; empty if it was.
    problem
        Why there is no such network; empty if there is one.
    seconds
        Spent on it.
    """

    number: int
    candidate: Candidate | None
    running: bool
    void: str = ""
    rungs: tuple[Tally, ...] = ()
    point: Point | None = None
    final: Point | None = None
    stopped: str = ""
    problem: str = ""
    seconds: float = 0.0

    @property
    def measured(self) -> Point | None:
        """The best measurement there is."""
        return self.final or self.point

    @staticmethod
    def of(
        number: int, running: bool, attributes: Mapping[str, Any], study: Mapping[str, Any]
    ) -> Record:
        """From the attributes of a trial and of its study."""
        candidate, point = attributes.get("candidate"), attributes.get("point")
        final = study.get(final_key(number))
        return Record(
            number,
            None if candidate is None else Candidate.from_json(candidate),
            running,
            study.get(void_key(number), ""),
            tuple(Tally.from_json(rung) for rung in attributes.get("rungs", ())),
            None if point is None else point_from_json(point),
            None if final is None else point_from_json(final),
            attributes.get("stopped", ""),
            attributes.get("problem", ""),
            attributes.get("seconds", 0.0),
        )


def void_key(number: int) -> str:
    """Where a study notes why a trial does not count."""
    return f"void {number}"


def final_key(number: int) -> str:
    """Where a study notes the measurement of a trial on all images."""
    return f"final {number}"


def point_to_json(point: Point) -> dict[str, Any]:
    """A JSON document."""
    return asdict(point)


def point_from_json(document: Mapping[str, Any]) -> Point:
    """Inverse of `point_to_json`."""
    return Point(
        Candidate.from_json(document["candidate"]),
        Tally.from_json(document["tally"]),
        Prediction.from_json(document["prediction"]),
        document["energy_pj"],
    )
