# SPDX-License-Identifier: BSD-2-Clause
"""The planner on real networks: what it chooses is legal, fits, and is the best of its kind."""

from functools import lru_cache

import numpy as np
import pytest

from pysnn_hw.golden import simulate
from pysnn_hw.ir.snn import Neuron
from pysnn_hw.plan import Activity, load_board, plan
from pysnn_hw.plan.budget import available, price, share, surroundings_cost
from pysnn_hw.plan.cycles import chain_timing
from pysnn_hw.plan.layer_cycles import shared_core_cycles, shared_runs, shared_scan_depth
from pysnn_hw.plan.network_cost import outer_cost
from pysnn_hw.plan.prediction import evaluate
from pysnn_hw.plan.problem import Problem
from pysnn_hw.plan.schedule import Schedule
from tests.networks import random_images
from tests.unit.hdl.shared.programs import network, program

NETS = {
    "residual": lambda: network("residual", 1, 15, scale=4),
    "chain": lambda: network("chain", 2, 3, scale=4),
    "wide": lambda: network("wide", 1, 3, scale=4),
    "signed": lambda: network("residual", 2, 3, Neuron("signed"), scale=4),
}


@lru_cache
def case(name):
    net = NETS[name]()
    images = random_images(np.random.default_rng(5), net, 6)
    golden = simulate(net, images, trace=True)
    return net, Activity.of(net, images, golden.trace.spikes, golden.steps)


def board_of(name="ulx3s-85f", **limits):
    """A board with less of something."""
    board = load_board(name)
    budget = board.budget
    if "bram" in limits:
        memory = budget.bram.model_copy(update={"count": limits.pop("bram")})
        budget = budget.model_copy(update={"bram": memory})
    return board.model_copy(update={"budget": budget.model_copy(update=limits)})


@pytest.mark.parametrize("objective", ["balanced", "throughput", "latency", "smallest"])
@pytest.mark.parametrize("name", NETS)
def test_every_population_runs_once_in_order(name, objective):
    net, activity = case(name)
    found = plan(net, board_of(), activity, objective=objective)
    assert found.fits
    run = [p for core in found.schedule.cores for p in core.populations]
    assert run == [p.name for p in net.populations]
    assert Schedule.from_json(found.schedule.to_json()) == found.schedule
    timing = chain_timing(net, found.schedule, activity)
    assert found.cycles_per_image == timing.interval[1:].mean()


@pytest.mark.parametrize("name", NETS)
def test_each_objective_is_best_at_its_own(name):
    net, activity = case(name)
    board = board_of()
    by = {
        o: plan(net, board, activity, objective=o)
        for o in ("balanced", "throughput", "latency", "smallest")
    }
    least = min(p.cycles_per_image for p in by.values())
    assert by["throughput"].cycles_per_image <= 1.1 * least
    assert price(board, by["smallest"].cost) == min(price(board, p.cost) for p in by.values())
    least = min(p.latency_cycles for p in by.values())
    assert by["latency"].latency_cycles <= 1.05 * least
    merit = {o: p.cycles_per_image * share(board, p.cost) for o, p in by.items()}
    assert merit["balanced"] <= 1.05 * min(merit.values())


def test_a_small_board_makes_layers_share():
    net, activity = case("residual")
    alone = plan(net, board_of(), activity, objective="throughput")
    few = plan(net, board_of(luts=12_000, bram=24), activity, objective="throughput")
    assert few.fits
    assert few.cost.bram <= 24
    assert any(core.shared for core in few.schedule.cores)
    assert few.cycles_per_image > alone.cycles_per_image


def test_a_board_too_small_is_told_what_is_missing():
    net, activity = case("residual")
    found = plan(net, board_of(bram=6), activity)
    assert not found.fits
    assert [s.resource for s in found.shortfalls] == ["BRAM"]
    smallest = plan(net, board_of(), activity, objective="smallest")
    assert found.cost.bram >= 6
    assert found.schedule == smallest.schedule or found.cost.bram <= smallest.cost.bram


def test_a_target_is_met_for_less():
    net, activity = case("residual")
    board = board_of()
    fastest = plan(net, board, activity, target_cycles=0)
    goal = 3 * fastest.cycles_per_image
    found = plan(net, board, activity, target_cycles=goal)
    assert found.cycles_per_image <= goal
    assert price(board, found.cost) < price(board, fastest.cost)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("luts", "bram"), [(83_640, 208), (20_000, 24), (12_000, 24)])
def test_the_cheapest_design_is_that_of_all_designs(name, luts, bram):
    """Some options of each leg, all chains of them."""
    net, activity = case(name)
    board = board_of(luts=luts, bram=bram)
    problem = Problem(net, board, activity)
    rng = np.random.default_rng(bram)
    legs = problem.legs(lambda options: [options[k] for k in rng.permutation(len(options))[:3]])

    def chains(at):
        if at[0] == len(net.populations):
            yield ()
        for leg in legs:
            if leg.start == at:
                for option in leg.options:
                    for rest in chains(leg.end):
                        yield (option, *rest)

    every = list(chains((0, False)))
    assert len(every) > 50
    around = surroundings_cost(net, problem.smallest()) + outer_cost(net, board.device.family)
    limits, costs = available(board), {}
    for options in every:
        costs[options] = sum((o.cost for o in options), around)
    fitting = {
        c: cost for c, cost in costs.items() if all(getattr(cost, n) <= limits[n] for n in limits)
    }
    smaller = problem.of(legs)
    for pace in sorted({max(o.cycles for o in c) for c in every}):
        possible = [price(board, fitting[c]) for c in fitting if max(o.cycles for o in c) <= pace]
        found = smaller.cheapest(pace)
        assert (found is None) == (not possible)
        if found is not None:
            assert price(board, found[1]) == pytest.approx(min(possible))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("banks", [1, 3, 9])
def test_busy_cycles_of_a_shared_core_are_close_to_the_exact_ones(name, banks):
    net, activity = case(name)
    shared = program(net, lanes=4, banks=(1, banks))
    exact = shared_runs(shared, activity, "lut")
    fire = (exact.words + shared_scan_depth(shared)).sum()
    total = (exact.cycles.sum() + fire) / activity.images
    busy = shared_core_cycles(shared, activity, "lut").total
    assert busy == pytest.approx(total, rel=0.1)


def test_evaluation_names_shared_cores_by_their_ends():
    net, activity = case("residual")
    board = board_of(luts=12_000, bram=24)
    found = plan(net, board, activity, objective="throughput")
    names = [c.core for c in evaluate(net, found.schedule, board, activity).cycles]
    shared = next(core.populations for core in found.schedule.cores if core.shared)
    assert f"{shared[0]} .. {shared[-1]}" in names
