# SPDX-License-Identifier: BSD-2-Clause
"""Where deeper queues make a design faster."""

from dataclasses import replace

from pysnn_hw.ir.snn import INPUT
from pysnn_hw.plan import load_board
from pysnn_hw.plan.prediction import evaluate
from pysnn_hw.plan.queues import DEPTHS, deepened
from pysnn_hw.plan.schedule import CorePlan, Schedule, simple_schedule
from tests.unit.plan.test_planner import case


def schedule(net, *, shared: bool, depth: int) -> Schedule:
    """Slow receivers with short queues; all inner layers on one core, or each on its own."""
    base = simple_schedule(net, lanes=1)
    cores = [
        replace(core, inputs=tuple(replace(port, queue_depth=depth) for port in core.inputs))
        for core in base.cores
    ]
    if shared:
        first = {p.target for p in net.projections if p.source == INPUT}
        alone = {*first, net.populations[-1].name}
        inside = tuple(p.name for p in net.populations if p.name not in alone)
        core = CorePlan(inside, (), 8, (1, 9))
        cores = [replace(cores[0], lanes=16, banks=(3, 3)), core, cores[-1]]
    return Schedule(tuple(cores), base.family)


def deep_ports(found) -> set[str]:
    ports = [port for core in found.schedule.cores for port in core.inputs]
    return {port.projection for port in ports if port.queue_depth in DEPTHS}


def test_a_queue_takes_what_comes_early():
    net, activity = case("residual")
    before = evaluate(net, schedule(net, shared=False, depth=8), load_board("ulx3s-85f"), activity)
    after = deepened(net, before, activity)
    assert after.cycles_per_image < 0.98 * before.cycles_per_image
    early = {p.name for p in net.projections if p.source in ("n0", "n2") and p.target != "n1"}
    assert deep_ports(after)
    assert deep_ports(after) <= early


def test_a_queue_takes_what_a_shared_core_sends_at_once(monkeypatch):
    monkeypatch.setattr("pysnn_hw.plan.queues.WORTH", 1.0)  # none is too small a gain
    net, activity = case("residual")
    before = evaluate(net, schedule(net, shared=True, depth=8), load_board("ulx3s-85f"), activity)
    found = deepened(net, before, activity)
    assert deep_ports(found) == {p.name for p in net.into(net.populations[-1].name)}


def test_queues_that_hold_nobody_up_stay():
    net, activity = case("chain")
    board = load_board("ulx3s-85f")
    before = evaluate(net, schedule(net, shared=False, depth=514), board, activity)
    assert deepened(net, before, activity) is before
