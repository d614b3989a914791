# SPDX-License-Identifier: BSD-2-Clause
"""The search over chains of cores against exhaustive enumeration."""

from itertools import product

import numpy as np
import pytest

from pysnn_hw.plan.budget import RESOURCES
from pysnn_hw.plan.chain import MOST_KEPT, ChainSearch, Leg
from pysnn_hw.plan.cost import Cost
from pysnn_hw.plan.options import Option
from pysnn_hw.plan.schedule import CorePlan


def random_legs(rng, positions):
    """Legs over one population each, and some over several; cuts of both kinds in the middle."""
    cuts = {k: [(k, False)] for k in range(positions + 1)}
    for k in range(1, positions):
        if rng.random() < 0.3:
            cuts[k].append((k, True))
    legs = []
    for k in range(positions):
        ends = [(k + 1, 1.0)] + [(e, 0.4) for e in range(k + 2, positions + 1)]
        for end, chance in ends:
            for a, b in product(cuts[k], cuts[end]):
                if end == k + 1 or (rng.random() < chance and not a[1] and not b[1]):
                    legs.append(Leg(a, b, random_options(rng, k, end)))
    return legs, cuts[positions]


def random_options(rng, start, end):
    """Few values, so that ties happen."""
    return tuple(
        Option(
            CorePlan(tuple(f"p{i}" for i in range(start, end)), (), lanes=number + 1),
            float(rng.integers(1, 6) * 100),
            Cost(
                lut=float(rng.integers(1, 8)),
                bram=int(rng.integers(0, 5)),
                dsp=int(rng.integers(0, 3)),
                spram=int(rng.integers(0, 2)),
            ),
        )
        for number in range(rng.integers(1, 4))
    )


def every_chain(legs, at, last):
    """All chains from a cut to one of the last."""
    if at in last:
        yield ()
    for leg in legs:
        if leg.start == at:
            for option in leg.options:
                for rest in every_chain(legs, leg.end, last):
                    yield (option, *rest)


def costs(options):
    return tuple(sum(getattr(o.cost, name) for o in options) for name in RESOURCES)


@pytest.mark.parametrize("seed", range(60))
def test_the_front_is_that_of_all_chains(seed):
    rng = np.random.default_rng(seed)
    legs, last = random_legs(rng, int(rng.integers(2, 5)))
    search = ChainSearch(legs, (0, False), last)
    chains = list(every_chain(legs, (0, False), last))
    assert chains
    for pace in search.paces:
        budget = dict(zip(RESOURCES, map(float, rng.integers(3, 25, 4)), strict=True))
        limit = tuple(budget.values())
        fitting = {
            costs(c)
            for c in chains
            if max(o.cycles for o in c) <= pace
            and all(a <= b for a, b in zip(costs(c), limit, strict=True))
        }
        best = {
            c
            for c in fitting
            if not any(d != c and all(a <= b for a, b in zip(d, c, strict=True)) for d in fitting)
        }
        found = [costs(c.options) for c in search.front(pace, budget)]
        # Chains that end at different cuts are not held against each other.
        assert best <= set(found) <= fitting
        for chain in search.front(pace, budget):
            assert max(o.cycles for o in chain.options) <= pace
            names = [n for o in chain.options for n in o.core.populations]
            assert names == [f"p{k}" for k in range(len(names))]


def test_the_cases_above_are_tight_sometimes():
    empty = full = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        legs, last = random_legs(rng, int(rng.integers(2, 5)))
        search = ChainSearch(legs, (0, False), last)
        for pace in search.paces:
            budget = dict(zip(RESOURCES, map(float, rng.integers(3, 25, 4)), strict=True))
            found = len(search.front(pace, budget))
            empty += found == 0
            full += found > 1
    assert empty > 20
    assert full > 20


def test_many_chains_are_thinned_out_by_little():
    rng = np.random.default_rng(3)
    legs = []
    for k in range(6):
        cost = rng.random((24, 2)) * 100
        options = tuple(
            Option(CorePlan((f"p{k}",), (), lanes=i + 1), 1.0, Cost(lut=a, bram=int(b)))
            for i, (a, b) in enumerate(cost)
        )
        legs.append(Leg((k, False), (k + 1, False), options))
    budget = {"lut": 400.0, "bram": 400.0, "dsp": 0.0, "spram": 0.0}
    front = ChainSearch(legs, (0, False), [(6, False)]).front(1.0, budget)
    assert 1 < len(front) <= MOST_KEPT * 2
    # Along any price the best of the front is near the sum of each leg's best.
    for weight in (0.2, 1.0, 5.0):
        bound = sum(min(o.cost.lut + weight * o.cost.bram for o in leg.options) for leg in legs)
        found = min(costs(c.options)[0] + weight * costs(c.options)[1] for c in front)
        assert bound - 1e-9 <= found <= bound * 1.05
