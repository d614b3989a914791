# SPDX-License-Identifier: BSD-2-Clause
"""What is said to make a network fit really does, and less would not."""

from itertools import product

import numpy as np
import pytest

from pysnn_hw.golden import simulate
from pysnn_hw.plan import Activity, load_board, plan
from pysnn_hw.plan.budget import shortfalls, total_cost
from pysnn_hw.plan.problem import Problem
from pysnn_hw.plan.remedies import narrowed, on_family, remedies, weight_bits
from tests.networks import random_images
from tests.unit.hdl.shared.programs import network
from tests.unit.plan.test_planner import board_of, case


def lost_bits(net, by_population):
    return sum(
        p.weight.size * max(0, weight_bits(p) - by_population.get(p.target, 99))
        for p in net.projections
        if p.kind != "identity"
    )


def all_bits(net):
    return sum(p.weight.size * weight_bits(p) for p in net.projections)


def heavy(name):
    """A network most of whose memory holds weights."""
    net = network(name, 1, 3, scale=12)
    images = random_images(np.random.default_rng(5), net, 3)
    golden = simulate(net, images, trace=True)
    return net, Activity.of(net, images, golden.trace.spikes, golden.steps)


@pytest.mark.parametrize("name", ["residual", "chain"])
def test_narrower_weights_make_it_fit(name):
    net, activity = heavy(name)
    # Too little logic for weights in LUTs.
    needed = plan(net, board_of(luts=14_000), activity, objective="smallest").cost.bram
    board = next(
        b
        for count in range(needed, 0, -1)
        if not plan(net, b := board_of(luts=14_000, bram=count), activity).fits
    )
    found = plan(net, board, activity)
    assert not found.fits
    own = [r for r in found.remedies if r.board == board.name]
    assert own
    assert own[0].weight_bits
    smaller = narrowed(net, own[0].weight_bits)
    assert own[0].given_up == pytest.approx(lost_bits(net, own[0].weight_bits) / all_bits(net))
    assert own[0].given_up > 0
    assert not shortfalls(board, total_cost(smaller, own[0].schedule))
    assert plan(smaller, board, activity, objective="smallest").fits
    assert any("least change" in text and "bit weights" in text for text in found.advice)


@pytest.mark.parametrize("bram", [8, 9, 10, 11, 12, 14])
def test_the_fewest_bits_of_all_choices(bram):
    """One layout whose cores are narrowed in every possible way."""
    net, activity = case("chain")
    board = board_of(bram=bram, luts=200_000)
    layout = Problem(net, board, activity).smallest()
    wide = max(weight_bits(p) for p in net.projections)
    fits = {}
    for choice in product(range(2, wide + 1), repeat=len(layout.cores)):
        widths = {
            name: bits
            for core, bits in zip(layout.cores, choice, strict=True)
            for name in core.populations
        }
        if not shortfalls(board, total_cost(narrowed(net, widths), layout)):
            fits[choice] = lost_bits(net, widths)
    own = [r for r in remedies(net, [layout], board) if r.board == board.name]
    assert bool(own) == bool(fits)
    if fits:
        assert own[0].given_up == pytest.approx(min(fits.values()) / all_bits(net))


def test_a_board_that_is_named_holds_it():
    net, activity = case("residual")
    board = load_board("icebreaker")
    found = plan(net, board, activity)
    assert not found.fits
    unchanged = [r.board for r in found.remedies if not r.weight_bits]
    assert "ulx3s-12f" in unchanged
    for name in ("ulx3s-12f", unchanged[-1]):
        assert plan(net, load_board(name), activity, objective="smallest").fits
    assert any("as it is, it would fit on" in text and name in text for text in found.advice)


def test_memory_that_is_missing_is_told():
    net, activity = case("residual")
    board = board_of(bram=4, luts=200)
    found = plan(net, board, activity)
    kbit = found.cost.bram * 18.432
    assert found.advice[0] == f"needs {kbit:.0f} kbit of memory on chip, ulx3s-85f has 74 kbit"
    assert found.clock is None
    assert found.images_per_s is None


def test_what_is_far_too_large_is_told_how_much_smaller_it_must_be(monkeypatch):
    net, activity = case("chain")
    monkeypatch.setattr("pysnn_hw.plan.remedies.list_boards", list)
    found = plan(net, board_of(bram=1, luts=100), activity)
    assert found.remedies == ()
    assert "million weights of 2 bits" in found.advice[-1]


def test_layouts_move_to_families_without_spram_or_lut_membranes():
    net, activity = case("chain")
    layout = Problem(net, load_board("icebreaker"), activity).smallest()
    moved = on_family(layout, "ecp5")
    assert moved.family == "ecp5"
    assert all(i.weight_memory != "spram" for c in moved.cores for i in c.inputs)
    back = on_family(Problem(net, board_of(), activity).smallest(), "ice40")
    assert all(c.membrane_memory == "block" for c in back.cores)
    assert on_family(layout, "ice40") is layout


def test_narrowed_weights_fit_their_width():
    net, _ = case("residual")
    for bits in (2, 3):
        small = narrowed(net, bits)
        for p, q in zip(net.projections, small.projections, strict=True):
            assert weight_bits(q) <= (bits if p.kind != "identity" else weight_bits(p))
    only = narrowed(net, {"n1": 2})
    changed = {
        q.target
        for p, q in zip(net.projections, only.projections, strict=True)
        if weight_bits(p) != weight_bits(q)
    }
    assert changed == {"n1"}
