# SPDX-License-Identifier: BSD-2-Clause
"""How many clock cycles an image will take: on a board, or on nominal cores where none is named."""

from __future__ import annotations

from dataclasses import dataclass

from pysnn_hw.errors import PlanError
from pysnn_hw.golden import simulate
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.plan import Activity, Board, plan, simple_schedule
from pysnn_hw.plan.activity import core_cycles

NOMINAL_LANES = 8
"""Output channels side by side of a nominal core; all taps of a kernel are done at once."""
ACTIVITY_IMAGES = 8
"""Images whose spikes the cycles are predicted for: intervals differ little between images."""


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
    """

    cycles: float
    basis: str
    fits: bool = True


def predict(net: FixedNetwork, images: Array, board: Board | None = None) -> Prediction:
    """Predict the cycles per image of ``net`` on ``images``.

    With a board: of the plan for it (of the smallest plan, if the board does not hold it). Without:
    one core per population with `NOMINAL_LANES` channels side by side, the slowest of which sets
    the pace, whatever it would cost. Where hardware has no core for a network, its SOPs divided by
    the lanes.
    """
    sample = images[:ACTIVITY_IMAGES]
    result = simulate(net, sample, trace=True)
    if result.trace is None:
        raise PlanError("activity", "the simulator kept no trace")
    activity = Activity.of(net, sample, result.trace.spikes)
    try:
        if board is not None:
            planned = plan(net, board, activity)
            return Prediction(planned.cycles_per_image, f"plan for {board.name}", planned.fits)
        schedule = simple_schedule(net, lanes=NOMINAL_LANES, banked=True)
        busiest = max(core_cycles(net, schedule, activity, c).total for c in schedule.cores)
    except PlanError:
        sops = sum(float(counts.mean()) for counts in result.sops.values())
        return Prediction(sops / NOMINAL_LANES, f"SOPs / {NOMINAL_LANES}", board is None)
    return Prediction(busiest, f"nominal cores, {NOMINAL_LANES} channels at a time")
