# SPDX-License-Identifier: BSD-2-Clause
"""Search for the conversion that costs least: candidates, their measurement, the Pareto front."""

from pysnn_hw.explore.candidate import OWN, THRESHOLDS, Candidate
from pysnn_hw.explore.cycles import Prediction, predict
from pysnn_hw.explore.front import Choice, Point, choose, pareto
from pysnn_hw.explore.measure import Tally, tally
from pysnn_hw.explore.search import Rules, finalists, measure_finally, search
from pysnn_hw.explore.space import TRAINED, Limits, Space
from pysnn_hw.explore.study import Study
from pysnn_hw.explore.subject import Subject

__all__ = [
    "OWN",
    "THRESHOLDS",
    "TRAINED",
    "Candidate",
    "Choice",
    "Limits",
    "Point",
    "Prediction",
    "Rules",
    "Space",
    "Study",
    "Subject",
    "Tally",
    "choose",
    "finalists",
    "measure_finally",
    "pareto",
    "predict",
    "search",
    "tally",
]
