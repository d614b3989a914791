# SPDX-License-Identifier: BSD-2-Clause
"""The page that tells what a network became: one HTML file without outside resources."""

from pysnn_hw.report.model import (
    BoardResult,
    Core,
    Layer,
    LayerTime,
    MemoryUse,
    PlanPicture,
    Report,
    Synapses,
    Use,
)
from pysnn_hw.report.page import render

__all__ = [
    "BoardResult",
    "Core",
    "Layer",
    "LayerTime",
    "MemoryUse",
    "PlanPicture",
    "Report",
    "Synapses",
    "Use",
    "render",
]
