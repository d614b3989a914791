# SPDX-License-Identifier: BSD-2-Clause
"""The clock that a design may count on before it is built."""

from __future__ import annotations

from pysnn_hw.plan import Plan


def predicted_clock_hz(planned: Plan) -> float:
    """The planner's; of a device that it does not know, what a build is content with."""
    if planned.clock is None:
        return float(planned.board.clock.enough_hz)
    return 1e6 * planned.clock.mhz


def hoped_clock_hz(planned: Plan) -> float:
    """What a good build may come to: the upper end of the prediction, or the placer's goal."""
    if planned.clock is None:
        return float(max(planned.board.clock.target_hz, predicted_clock_hz(planned)))
    return 1e6 * planned.clock.high_mhz
