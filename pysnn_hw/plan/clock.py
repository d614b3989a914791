# SPDX-License-Identifier: BSD-2-Clause
"""The clock that a design is likely to reach, before it is synthesised.

The longest path of a design lies in one of a few structures: carry chains over a membrane, the
fan-out of one control to all lanes, the ways around the memories of a shared core, or simply long
wires in a device that is nearly full. The model is a product: a period for the device's speed
class, times a factor for each of these. What they are is fitted to designs that were placed and
routed (``scripts/sweep_costs.py``) and lies in ``bundled/clock_model.json``, together with how far
each of those designs is from a fit that never saw it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field

from pysnn_hw.errors import BoardError
from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.ir.widths import population_widths
from pysnn_hw.plan.board import Board, Device
from pysnn_hw.plan.layers import layer_program
from pysnn_hw.plan.schedule import Schedule
from pysnn_hw.resources import resource

FACTORS = ("lanes", "bits", "fill", "shared")
"""What the logarithm of the period is linear in, beside the speed class."""

LEAST_BAND = 0.08
"""Placers differ by as much from seed to seed, relative: no prediction is closer than that."""


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
        """Values of `FACTORS`, each about 0..1."""
        return (
            math.log2(self.lanes) / 8,
            math.log2(self.bits / 16),
            self.fill,
            float(self.shared),
        )


@dataclass(frozen=True)
class Clock:
    """A predicted clock in MHz, and between what bounds it is to be expected.

    ``designs``: how many built designs of the same speed class the prediction rests on.
    """

    mhz: float
    low_mhz: float
    high_mhz: float
    designs: int


class ClockModel(BaseModel):
    """What ``bundled/clock_model.json`` holds.

    Attributes
    ----------
    period_ns
        By speed class: of a design for which all of `FACTORS` are zero.
    factors
        By name: what the logarithm of the period grows by, per unit.
    error
        By speed class: largest relative error of a built design that the fit did not see.
    designs
        By speed class: how many designs there are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    period_ns: dict[str, float]
    factors: dict[str, float]
    error: dict[str, float]
    designs: dict[str, int] = Field(default_factory=dict)

    def period(self, speed: str, features: ClockFeatures) -> float:
        """Nanoseconds, for a speed class that is in the model."""
        terms = zip(FACTORS, features.terms(), strict=True)
        return self.period_ns[speed] * math.exp(sum(self.factors[n] * t for n, t in terms))

    def clock(self, speed: str, features: ClockFeatures) -> Clock | None:
        """The prediction; None for a speed class of which no design was ever built."""
        if speed not in self.period_ns:
            return None
        mhz = 1e3 / self.period(speed, features)
        band = max(LEAST_BAND, self.error[speed])
        return Clock(mhz, mhz * (1 - band), mhz * (1 + band), self.designs[speed])


@lru_cache(maxsize=1)
def clock_model() -> ClockModel:
    """The fitted model that comes with the package.

    Raises
    ------
    BoardError
        If its file is damaged.
    """
    path = resource("bundled", "clock_model.json")
    try:
        return ClockModel.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise BoardError(str(path), f"is damaged ({error})", "reinstall pysnn-hw") from error


def predicted_clock(
    net: FixedNetwork, schedule: Schedule, board: Board, lut: float
) -> Clock | None:
    """The clock that a design of ``lut`` LUTs is likely to get on a board."""
    features = clock_features(net, schedule, board, lut)
    clock = clock_model().clock(speed_class(board.device), features)
    if clock is None or board.clock.most_hz is None:
        return clock
    most = board.clock.most_hz / 1e6
    low, high = min(clock.low_mhz, most), min(clock.high_mhz, most)
    return Clock(min(clock.mhz, most), low, high, clock.designs)


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
    """Devices of one class are equally fast: ``ecp5-6``, ``ice40-up``, ``gowin-gw1n``."""
    if device.family == "ice40":
        return "ice40-up" if "UP" in device.name else "ice40-hx"
    if device.family == "gowin":
        return f"gowin-{device.package.split('-')[0].lower()}"
    return "-".join(filter(None, (device.family, device.speed)))
