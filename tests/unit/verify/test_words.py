# SPDX-License-Identifier: BSD-2-Clause
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.verify.words import in_scan_order, pack, unpack, words_for


@given(
    bits=st.integers(1, 40), lanes=st.integers(1, 9), signed=st.booleans(), seed=st.integers(0, 99)
)
@settings(deadline=None, max_examples=60)
def test_unpack_inverts_pack(bits, lanes, signed, seed):
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
    values = np.random.default_rng(seed).integers(low, high, (2, 3, lanes))
    values[0, 0, :], values[1, 2, :] = low, high - 1
    words = pack(values, bits)
    assert words.dtype == np.uint32
    assert words.shape == (2, 3, words_for(lanes * bits))
    assert (unpack(words, lanes, bits, signed=signed) == values).all()


def test_fields_lie_side_by_side_from_the_least_significant_bit():
    words = pack(np.array([1, -1, 2]), 12)
    assert int(words[0]) == 1 | 0xFFF << 12 | (2 & 0xFF) << 24
    assert int(words[1]) == 0
    assert int(pack(np.array([1, 2, 3]), 12)[1]) == 3 >> 8


@pytest.mark.parametrize("lanes", [1, 2, 6])
def test_scan_order_takes_lane_p_of_group_g_from_channel_g_times_lanes_plus_p(lanes):
    maps = np.arange(2 * 6 * 3 * 4).reshape(2, 6, 3, 4)
    order = np.array([(y, x, g) for g in range(6 // lanes) for x in range(4) for y in range(3)])
    words = in_scan_order(maps, order, lanes)
    assert words.shape == (2, len(order), lanes)
    for n in range(2):
        for k, (y, x, g) in enumerate(order):
            assert words[n, k].tolist() == maps[n, g * lanes : (g + 1) * lanes, y, x].tolist()
