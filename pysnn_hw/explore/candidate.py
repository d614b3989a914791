# SPDX-License-Identifier: BSD-2-Clause
"""One way to convert a network: what a search tries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from pysnn_hw.convert import Calibration
from pysnn_hw.convert.recipe import Method


@dataclass(frozen=True)
class Thresholds:
    """How thresholds are chosen, as `pysnn_hw.convert.convert` takes it."""

    calibration: Calibration | None
    per_channel: bool | None = True
    percentile: float = 99.9


OWN = "own"
"""Thresholds as the method has them."""

THRESHOLDS: Mapping[str, Thresholds] = MappingProxyType(
    {
        OWN: Thresholds(None, None),
        "mse": Thresholds("mse"),
        "p99.9": Thresholds("percentile"),
        "p99": Thresholds("percentile", percentile=99.0),
        "max": Thresholds("max"),
        "layer mse": Thresholds("mse", per_channel=False),
        "layer p99.9": Thresholds("percentile", per_channel=False),
    }
)
"""The ways that are worth trying, by the names they go by."""


@dataclass(frozen=True, order=True)
class Candidate:
    """The knobs of a conversion that a search turns.

    Attributes
    ----------
    method, timesteps, levels, tau, bias_correction
        As `pysnn_hw.convert.convert` takes them.
    weight_bits
        As `pysnn_hw.convert.quantize` takes them.
    thresholds
        A key of `THRESHOLDS`.
    activity
        What operations weigh where ``qcfs`` trains.
    """

    method: Method = "rate"
    timesteps: int = 1
    levels: int = 4
    weight_bits: int = 8
    thresholds: str = "mse"
    tau: float = 0.5
    bias_correction: bool = True
    activity: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON document."""
        return asdict(self)

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Candidate:
        """Inverse of `to_json`."""
        return Candidate(**document)

    @property
    def short(self) -> str:
        """Its knobs for a table; those at their usual place are left out."""
        text = f"{self.method} T={self.timesteps} n={self.levels} {self.weight_bits} bit "
        text += self.thresholds
        text += "" if self.tau == 0.5 else f" tau={self.tau:g}"
        text += "" if self.bias_correction else " uncorrected"
        return text + (f" activity={self.activity:g}" if self.activity else "")

    def __str__(self) -> str:
        start = "" if self.tau == 0.5 else f", tau = {self.tau:g}"
        corrected = "" if self.bias_correction else ", biases as they are"
        quiet = f", activity {self.activity:g}" if self.activity else ""
        return (
            f"{self.method}, T = {self.timesteps}, n = {self.levels}, {self.weight_bits}-bit "
            f"weights, thresholds by {self.thresholds}{start}{corrected}{quiet}"
        )
