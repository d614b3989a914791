# SPDX-License-Identifier: BSD-2-Clause
"""The options that verbs which search share: what to choose from, how thoroughly to look."""

from __future__ import annotations

from typing import Annotated, Any

import typer

BOUNDS, EFFORT = "Bounds", "Effort"


def _bound(text: str, **limits: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=BOUNDS, **limits)


def _effort(text: str, **limits: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=EFFORT, **limits)


MaxTimesteps = Annotated[int, _bound("Largest T.", min=1, max=4096)]
MaxLevels = Annotated[int, _bound("Most bits n of a spike.", min=1, max=8)]
MaxWeightBits = Annotated[int, _bound("Most bits of a weight.", min=3, max=8)]
Methods = Annotated[str, _effort("Only these methods; by default all.", metavar="A,B,C")]
AllowTraining = Annotated[bool, _effort("Also methods that train the weights.")]
Trials = Annotated[int, _effort("Candidates to try.", min=1)]
Timeout = Annotated[float | None, _effort("Seconds that all may take.", min=1)]
Study = Annotated[
    str | None,
    _effort("File or database URL of the record; by default study.db in the output folder."),
]
Workers = Annotated[int, _effort("Processes side by side.", min=1)]
Images = Annotated[int, _effort("Test images that a candidate sees at most.", min=1)]
FinalImages = Annotated[
    int | None, _effort("Test images of the last measurement; by default all.", min=1)
]
Finalists = Annotated[int, _effort("Points to measure on those.", min=1)]
CalibrationImages = Annotated[int, _effort("Training images for thresholds.", min=1)]
TrainingImages = Annotated[int, _effort("Training images for methods that train.", min=1)]
Seed = Annotated[int, _effort("Of the search.", min=0)]
