# SPDX-License-Identifier: BSD-2-Clause
"""Depths of the queues in front of cores that take several projections.

What skips layers arrives long before what went through them. While a queue for it is full, its
sender stands still, and with it all that follows: a pipeline then runs no faster than one image
after the other.
"""

from __future__ import annotations

from dataclasses import replace

from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.plan.activity import Activity
from pysnn_hw.plan.prediction import Plan, evaluate
from pysnn_hw.plan.schedule import CorePlan

DEPTHS = (2050, 8194, 32770)
"""Events; a few short of what block RAMs hold, as a queue has places of its own."""
WORTH = 0.98
"""A deeper queue must take at least so much off the cycles between images."""


def deepened(net: FixedNetwork, found: Plan, activity: Activity) -> Plan:
    """``found`` with deeper queues wherever these make it faster and still fit, one by one."""
    best = found
    for index, core in enumerate(found.schedule.cores):
        if core.shared or len(core.inputs) < 2:
            continue
        for depth in DEPTHS:
            cores = list(best.schedule.cores)
            cores[index] = _with_depth(net, cores[index], depth)
            schedule = replace(best.schedule, cores=tuple(cores))
            tried = evaluate(net, schedule, found.board, activity)
            if tried.fits and tried.cycles_per_image <= WORTH * best.cycles_per_image:
                best = tried
    return best


def _with_depth(net: FixedNetwork, core: CorePlan, depth: int) -> CorePlan:
    """``core`` with so deep queues for all that does not come from the population before."""
    names = [p.name for p in net.populations]
    before = names[names.index(core.population) - 1]
    source = {p.name: p.source for p in net.projections}
    ports = tuple(
        port if source[port.projection] == before else replace(port, queue_depth=depth)
        for port in core.inputs
    )
    return replace(core, inputs=ports)
