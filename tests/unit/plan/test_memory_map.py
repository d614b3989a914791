# SPDX-License-Identifier: BSD-2-Clause
"""Memory blocks by core and purpose, and cycles by layer: both add up to the whole."""

import pytest

from pysnn_hw.plan import load_board, plan
from pysnn_hw.plan.budget import total_cost
from pysnn_hw.plan.memory_map import block_uses
from pysnn_hw.plan.prediction import layer_cycles
from tests.unit.plan.test_planner import NETS, board_of, case


@pytest.mark.parametrize("objective", ["throughput", "smallest"])
@pytest.mark.parametrize("name", NETS)
def test_blocks_add_up(name, objective):
    net, activity = case(name)
    for board in (board_of(), board_of(luts=12_000, bram=24), load_board("hx8k")):
        found = plan(net, board, activity, objective=objective)
        uses = block_uses(net, found.schedule)
        assert sum(u.blocks for u in uses) == total_cost(net, found.schedule).bram
        assert all(u.blocks > 0 for u in uses)
        assert {u.core for u in uses} <= {"", *(c.name for c in found.schedule.cores)}
        assert uses == found.blocks
        if not any(p.neuron.polarity == "memory" for p in net.populations) and net.timesteps == 1:
            # All blocks of such a core are told apart.
            alone = {c.name for c in found.schedule.cores if not c.shared}
            assert not any(u.core in alone and u.purpose == "tables" for u in uses)
        shared = [c.name for c in found.schedule.cores if c.shared]
        for core in shared:
            purposes = {u.purpose for u in uses if u.core == core}
            assert {"weights", "membranes", "spikes"} <= purposes


@pytest.mark.parametrize("name", NETS)
def test_layers_add_up_to_their_core(name):
    net, activity = case(name)
    found = plan(net, board_of(luts=12_000, bram=24), activity, objective="throughput")
    for core, cycles, layers in zip(found.schedule.cores, found.cycles, found.layers, strict=True):
        assert [part.core for part in layers] == list(core.populations)
        assert sum(part.total for part in layers) == pytest.approx(cycles.total)
        assert layers == layer_cycles(net, found.schedule, activity, core)
