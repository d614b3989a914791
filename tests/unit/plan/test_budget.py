# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""What stands around an accelerator."""

import math
from dataclasses import replace

import pytest

from pysnn_hw.hdl.link.frame_receiver import FrameReceiver
from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.plan.budget import LINK_COST, link_cost
from pysnn_hw.plan.memory import BLOCK_SHAPES, block_count
from tests.unit.plan.test_planner import case

SHAPES = ((1, 28, 28), (1, 255, 4), (1, 252, 4), (3, 32, 32), (2, 34, 34))
RANGES = ((0, 255), (-128, 127), (-1, 128), (0, 256))


@pytest.mark.parametrize("family", sorted(set(BLOCK_SHAPES) - {"xilinx7"}))
def test_the_link_holds_an_image(family):
    net, _ = case("residual")
    depths = set()
    for shape in SHAPES:
        for low, high in RANGES:
            given = replace(net, input=replace(net.input, shape=shape, minimum=low, maximum=high))
            link = LinkParameters(math.prod(shape), low, high, classes=10, divisor=100)
            depth = FrameReceiver(link.max_request).depth
            blocks = link_cost(given, family).bram - LINK_COST[family].bram
            assert blocks == block_count(family, depth, 8)
            depths.add(depth)
    assert depths == {1024, 2048, 4096, 8192}


def test_a_processor_needs_no_buffer():
    net, _ = case("residual")
    assert link_cost(net, "xilinx7") == LINK_COST["xilinx7"]
