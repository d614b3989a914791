# SPDX-License-Identifier: BSD-2-Clause
"""What of a design decides how fast it can be clocked, and the clock that follows from it.

The longest path of a design lies in one of a few structures: carry chains over a membrane, the
fan-out of one control to all lanes, the choice between many memory blocks, or simply long wires
in a device that is nearly full. How much each of them costs is fitted to designs that were placed
and routed (``scripts/sweep_costs.py``); the fit and its spread lie in ``bundled/clock_model.json``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.ir.widths import population_widths
from pysnn_hw.plan.board import Board, Device
from pysnn_hw.plan.layers import layer_program
from pysnn_hw.plan.schedule import Schedule

FEATURES = ("base", "carry", "fan_out", "fill", "shared")
"""Terms of the model of a clock's period."""


@dataclass(frozen=True)
class ClockFeatures:
    """What the period is modelled from.

    Attributes
    ----------
    bits
        Of the widest membrane: length of the carry chains.
    lanes
        Most lanes of a core, over channels and kernel taps.
    fill
        Share of the device's LUTs that the design takes, 0..1.
    shared
        Whether a core runs several populations.
    """

    bits: int
    lanes: int
    fill: float
    shared: bool

    def terms(self) -> tuple[float, ...]:
        """Values of `FEATURES`."""
        return (1.0, float(self.bits), math.log2(self.lanes), self.fill, float(self.shared))


def clock_features(
    net: FixedNetwork, schedule: Schedule, board: Board, lut: float
) -> ClockFeatures:
    """Features of a design that takes ``lut`` LUTs of a board."""
    bits = 0
    for core in schedule.cores:
        if core.shared:
            bits = max(bits, layer_program(net, core).bits)
        else:
            bits = max(bits, population_widths(net, core.population).bits)
    return ClockFeatures(
        bits,
        max(core.total_lanes for core in schedule.cores),
        lut / board.budget.luts,
        any(core.shared for core in schedule.cores),
    )


def speed_class(device: Device) -> str:
    """Devices of one class are equally fast: ``ecp5-6``, ``ice40-up``."""
    if device.family == "ice40":
        return "ice40-up" if "UP" in device.name else "ice40-hx"
    return "-".join(filter(None, (device.family, device.speed)))
