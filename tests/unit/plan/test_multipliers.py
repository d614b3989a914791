# SPDX-License-Identifier: BSD-2-Clause
from pysnn_hw.plan.cost import lanes_cost


def test_a_lane_without_a_partner_is_paid_for():
    """4-bit weights, 3-bit values on an iCE40: a pair fills a multiplier, one alone is logic."""
    pair, three, four = (lanes_cost("ice40", "dsp", n, 4, 3, signed=False) for n in (2, 3, 4))
    assert (pair.dsp, three.dsp, four.dsp) == (1, 1, 2)
    assert three.lut - pair.lut > four.lut - pair.lut > 0
