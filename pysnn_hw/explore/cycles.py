# SPDX-License-Identifier: BSD-2-Clause
"""How many clock cycles an image will take: on a board, or on nominal cores where none is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pysnn_hw.errors import PlanError
from pysnn_hw.explore.design import ACTIVITY_IMAGES, Design, activity_of, designs_for, sample_of
from pysnn_hw.golden import simulate
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.plan import Board, plan, simple_schedule
from pysnn_hw.plan.activity import core_cycles

NOMINAL_LANES = 8
"""Output channels side by side of a nominal core; all taps of a kernel are done at once."""


@dataclass(frozen=True)
class Prediction:
    """Cycles from one image to the next.

    Attributes
    ----------
    cycles
        Mean over sample images.
    basis
        What the figure rests on, for the reader.
    fits
        Whether the board holds the network; True where none is named.
    designs
        What boards would make of it, where that was asked for (`predict_designs`).
    """

    cycles: float
    basis: str
    fits: bool = True
    designs: tuple[Design, ...] = ()

    def no_dearer(self, other: Prediction) -> bool:
        """Whether it is at least as good as ``other``: in all that boards make of it, if known."""
        if other.designs:
            return all(any(mine.no_dearer(d) for mine in self.designs) for d in other.designs)
        return self.cycles <= other.cycles

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Prediction:
        """Inverse of `dataclasses.asdict`."""
        designs = tuple(Design.from_json(d) for d in document.get("designs", ()))
        return Prediction(**{**document, "designs": designs})


def predict(net: FixedNetwork, images: Array, board: Board | None = None) -> Prediction:
    """Predict the cycles per image of ``net`` on ``images``.

    With a board: of the plan for it (of the smallest plan, if the board does not hold it). Without:
    one core per population with `NOMINAL_LANES` channels side by side, the slowest of which sets
    the pace, whatever it would cost. Where hardware has no core for a network, its SOPs divided by
    the lanes.
    """
    activity = activity_of(net, images)
    try:
        if board is not None:
            planned = plan(net, board, activity)
            return Prediction(planned.cycles_per_image, f"plan for {board.name}", planned.fits)
        schedule = simple_schedule(net, lanes=NOMINAL_LANES, banked=True)
        busiest = max(core_cycles(net, schedule, activity, c).total for c in schedule.cores)
    except PlanError:
        result = simulate(net, sample_of(images, ACTIVITY_IMAGES))
        sops = sum(float(counts.mean()) for counts in result.sops.values())
        return Prediction(sops / NOMINAL_LANES, f"SOPs / {NOMINAL_LANES}", board is None)
    return Prediction(busiest, f"nominal cores, {NOMINAL_LANES} channels at a time")


def predict_designs(net: FixedNetwork, images: Array, boards: Sequence[Board]) -> Prediction:
    """Predict what each of ``boards`` makes of ``net`` on ``images``; see `design.designs_for`.

    The cycles are those of the design that gives most images per second, among those that fit.

    Raises
    ------
    PlanError
        If hardware has no core for the network.
    """
    designs = designs_for(net, images, boards)
    fastest = max(designs, key=lambda d: (d.fits, d.images_per_s))
    return Prediction(fastest.cycles, f"plan for {fastest.board}", fastest.fits, designs)
