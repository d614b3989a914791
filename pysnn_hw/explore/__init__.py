# SPDX-License-Identifier: BSD-2-Clause
"""Search for the best conversion, by what it costs or by what a board makes of it.

Candidates, their measurement, the Pareto front, constraints, and building until they are kept.
"""

from pysnn_hw.explore.candidate import OWN, THRESHOLDS, Candidate
from pysnn_hw.explore.closure import Attempt, Built, Closure, close
from pysnn_hw.explore.constraints import Constraints, Performance
from pysnn_hw.explore.cycles import Prediction, predict, predict_designs
from pysnn_hw.explore.design import Design, designs_for
from pysnn_hw.explore.design_point import (
    DesignPoint,
    Goal,
    contenders,
    design_front,
    design_points,
)
from pysnn_hw.explore.front import Choice, Point, choose, pareto
from pysnn_hw.explore.measure import Tally, tally
from pysnn_hw.explore.search import Rules, finalists, measure_finally, search
from pysnn_hw.explore.space import TRAINED, Limits, Space
from pysnn_hw.explore.study import Study
from pysnn_hw.explore.subject import Subject
from pysnn_hw.explore.unmet import Unmet, why_unmet

__all__ = [
    "OWN",
    "THRESHOLDS",
    "TRAINED",
    "Attempt",
    "Built",
    "Candidate",
    "Choice",
    "Closure",
    "Constraints",
    "Design",
    "DesignPoint",
    "Goal",
    "Limits",
    "Performance",
    "Point",
    "Prediction",
    "Rules",
    "Space",
    "Study",
    "Subject",
    "Tally",
    "Unmet",
    "choose",
    "close",
    "contenders",
    "design_front",
    "design_points",
    "designs_for",
    "finalists",
    "measure_finally",
    "pareto",
    "predict",
    "predict_designs",
    "search",
    "tally",
    "why_unmet",
]
