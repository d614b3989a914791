# SPDX-License-Identifier: BSD-2-Clause
"""Depths of the queues in front of cores that would hold up others.

What skips layers arrives long before what went through them. While a queue for it is full, its
sender stands still, and with it all that follows: a pipeline then runs no faster than one image
after the other. A shared core has other layers to run, but sends one layer's spikes all at once.
"""

from __future__ import annotations

from dataclasses import replace

from pysnn_hw.ir.snn import INPUT, FixedNetwork
from pysnn_hw.plan.activity import Activity
from pysnn_hw.plan.prediction import Plan, evaluate
from pysnn_hw.plan.schedule import CorePlan, Schedule

DEPTHS = (2050, 8194, 32770)
"""Events; a few short of what block RAMs hold, as a queue has places of its own."""
WORTH = 0.98
"""A deeper queue must take at least so much off the cycles between images."""


def deepened(net: FixedNetwork, found: Plan, activity: Activity) -> Plan:
    """``found`` with deeper queues wherever these make it faster and still fit, one by one."""
    best = found
    for index, core in enumerate(found.schedule.cores):
        names = _bursts(net, found.schedule, core)
        for depth in DEPTHS if names else ():
            cores = list(best.schedule.cores)
            cores[index] = _with_depth(cores[index], names, depth)
            schedule = replace(best.schedule, cores=tuple(cores))
            tried = evaluate(net, schedule, found.board, activity)
            if tried.fits and tried.cycles_per_image <= WORTH * best.cycles_per_image:
                best = tried
    return best


def _bursts(net: FixedNetwork, schedule: Schedule, core: CorePlan) -> set[str]:
    """Projections into a core that come early, or from a shared core."""
    names = [p.name for p in net.populations]
    source = {p.name: p.source for p in net.projections}
    before = names[names.index(core.population) - 1]
    return {
        port.projection
        for port in core.inputs
        if source[port.projection] != INPUT
        and (
            schedule.cores[schedule.index_of(source[port.projection])].shared
            or (len(core.inputs) > 1 and source[port.projection] != before)
        )
    }


def _with_depth(core: CorePlan, names: set[str], depth: int) -> CorePlan:
    """``core`` with so deep queues for the projections ``names``."""
    ports = tuple(
        replace(port, queue_depth=depth) if port.projection in names else port
        for port in core.inputs
    )
    return replace(core, inputs=ports)
