# SPDX-License-Identifier: BSD-2-Clause
"""From a network and a board to a schedule, with predicted cycles and resources."""

from pysnn_hw.plan.activity import Activity
from pysnn_hw.plan.board import Board, list_boards, load_board
from pysnn_hw.plan.budget import Shortfall
from pysnn_hw.plan.planner import plan, plan_each
from pysnn_hw.plan.prediction import Plan, evaluate
from pysnn_hw.plan.problem import Objective
from pysnn_hw.plan.schedule import CorePlan, InputPort, Schedule, simple_schedule

__all__ = [
    "Activity",
    "Board",
    "CorePlan",
    "InputPort",
    "Objective",
    "Plan",
    "Schedule",
    "Shortfall",
    "evaluate",
    "list_boards",
    "load_board",
    "plan",
    "plan_each",
    "simple_schedule",
]
