# SPDX-License-Identifier: BSD-2-Clause
from pysnn_hw.plan.cost import lanes_cost, memory_cost, queue_cost
from pysnn_hw.plan.memory import block_count


def test_a_lane_without_a_partner_is_paid_for():
    """4-bit weights, 3-bit values on an iCE40: a pair fills a multiplier, one alone is logic."""
    pair, three, four = (lanes_cost("ice40", "dsp", n, 4, 3, signed=False) for n in (2, 3, 4))
    assert (pair.dsp, three.dsp, four.dsp) == (1, 1, 2)
    assert three.lut - pair.lut > four.lut - pair.lut > 0


def test_a_gatemate_has_neither_multipliers_nor_memories_in_luts():
    lanes = lanes_cost("gatemate", "dsp", 4, 8, 4, signed=False)
    assert lanes.dsp == 0
    assert lanes.lut == lanes_cost("ecp5", "dsp", 4, 8, 4, signed=False).lut + 4 * 3 * 10
    assert memory_cost("gatemate", "lut", 16, 8).ff == 16 * 8
    assert queue_cost("gatemate", 16, 20).bram == 1


def test_blocks_of_a_gatemate_are_halves_of_40_kbit():
    assert block_count("gatemate", 512, 40) == 1
    assert block_count("gatemate", 512, 41) == 2
    assert block_count("gatemate", 1024, 20) == 1
    assert block_count("gatemate", 4096, 5) == 1
    assert block_count("gatemate", 16384, 1) == 1
    assert block_count("gatemate", 16385, 1) == 2
