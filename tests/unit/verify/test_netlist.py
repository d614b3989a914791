# SPDX-License-Identifier: BSD-2-Clause
"""Trees of look-up tables as one table."""

from itertools import product

import pytest

from pysnn_hw.verify.netlist import tree_table

AND, OR, XOR, FIRST, SECOND = 0b1000, 0b1110, 0b0110, 0b1010, 0b1100
GATES = {
    AND: lambda a, b: a & b,
    OR: lambda a, b: a | b,
    XOR: lambda a, b: a ^ b,
    FIRST: lambda a, b: a,
    SECOND: lambda a, b: b,
    0b0010: lambda a, b: a & ~b & 1,
}


@pytest.mark.parametrize("tables", [*product(GATES, repeat=3), *product(GATES, repeat=4)])
def test_a_tree_is_one_table(tables):
    low, high, both, *last = (GATES[table] for table in tables)
    digits = tree_table(tables)
    assert len(digits) == (32 if last else 16)
    for index, digit in enumerate(reversed(digits)):
        i0, i1, i2, i3, i4 = (index >> k & 1 for k in range(5))
        value = both(low(i0, i1), high(i2, i3))
        assert digit == str(last[0](i4, value) if last else value)
