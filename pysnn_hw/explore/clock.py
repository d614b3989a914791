# SPDX-License-Identifier: BSD-2-Clause
"""The clock that a design may count on before it is built."""

from __future__ import annotations

from pysnn_hw.plan import Plan


def predicted_clock_hz(planned: Plan) -> float:
    """Clock that place-and-route is expected to reach: below it, a build tries other seeds."""
    return float(planned.board.clock.enough_hz)


def hoped_clock_hz(planned: Plan) -> float:
    """Clock that place-and-route strives for: what a good build may come to."""
    return float(max(planned.board.clock.target_hz, predicted_clock_hz(planned)))
