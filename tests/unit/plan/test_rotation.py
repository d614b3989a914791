# SPDX-License-Identifier: BSD-2-Clause
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pysnn_hw.errors import PlanError
from pysnn_hw.ir.snn import ConvView, Pool
from pysnn_hw.plan.geometry import with_wide_groups
from pysnn_hw.plan.rotation import RotatedAxis, rotated_geometry


@st.composite
def axes(draw):
    kernel, stride = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, 2))
    pool = draw(st.integers(1, 2))
    size = draw(st.integers(1, 9))
    pool_stride = draw(st.integers(pool, 3)) if pool > 1 else 1
    pooled = (size - pool) // pool_stride + 1
    assume(pooled >= 1 and pooled + 2 * padding >= kernel)
    outputs = (pooled + 2 * padding - kernel) // stride + 1
    banks = draw(st.integers(1, 5))
    return RotatedAxis(size, pool, pool_stride, kernel, stride, padding, outputs, banks)


@settings(max_examples=400, deadline=None)
@given(axes())
def test_every_output_is_touched_once_with_its_own_tap(axis):
    """By the definition of convolution, slot by slot through the rotation."""
    for coordinate, row in enumerate(axis.rows):
        got = []
        for step in range(row.steps):
            for bank in range(axis.banks):
                if row.valid[step][bank]:
                    output = (row.tiles[bank] + step) * axis.banks + bank
                    slot = (bank - row.turn) % axis.banks
                    got.append((output, axis.taps[row.weight + step][slot]))
        pooled, offset = divmod(coordinate, axis.pool_stride)
        inside = offset < axis.pool and pooled <= (axis.size - axis.pool) // axis.pool_stride
        want = [
            (o, pooled + axis.padding - axis.stride * o)
            for o in range(axis.outputs)
            if inside and 0 <= pooled + axis.padding - axis.stride * o < axis.kernel
        ]
        assert sorted(got) == want == axis.touched(coordinate)
        assert row.steps <= axis.most_steps
    used = {r.weight + s for r in axis.rows for s in range(r.steps)}
    assert used <= set(range(len(axis.taps)))
    assert all(any(k is not None for k in row) for row in axis.taps)


def test_banks_hold_what_the_kernel_reaches_without_copies():
    axis = RotatedAxis(32, 1, 1, 3, 1, 1, 32, 3)
    assert axis.taps == ((2, 1, 0),)
    assert {row.turn for row in axis.rows} == {0, 1, 2}
    assert all(row.steps == 1 for row in axis.rows)


def test_a_strided_kernel_has_a_row_per_phase():
    axis = RotatedAxis(8, 1, 1, 3, 2, 1, 4, 3)
    assert axis.taps == ((2, 0, None), (None, 1, None))
    walked = RotatedAxis(8, 1, 1, 3, 2, 1, 4, 1)
    assert walked.taps == ((2,), (0,), (1,))
    point = RotatedAxis(8, 1, 1, 1, 2, 0, 4, 1)
    assert point.taps == ((0,),)


def accumulate(geometry, spikes):
    """Membranes (C, H, W) after all ``spikes``, by tables alone."""
    p, c_out = geometry.lanes, geometry.conv.weight.shape[0]
    _, height, width = geometry.conv.out_shape
    found = np.zeros((c_out, height, width), np.int64)
    words = geometry.weight_words()
    sizes = geometry.group_banks, geometry.y.banks, geometry.x.banks
    for c, y, x in np.argwhere(spikes):
        row, column = geometry.y.rows[y], geometry.x.rows[x]
        for sy in range(row.steps):
            for sx in range(column.steps):
                for group in range(geometry.group_steps):
                    base = (row.weight + sy) * len(geometry.x.taps) + column.weight + sx
                    base = (base * geometry.group_steps + group) * geometry.source_channels + c
                    target = c // p * geometry.group_step + group * geometry.group_banks
                    for bg, by, bx in np.ndindex(*sizes):
                        inside = row.valid[sy][by] and column.valid[sx][bx]
                        if not inside or group * sizes[0] + bg >= geometry.out_groups:
                            continue
                        word = target + bg
                        out_y = (row.tiles[by] + sy) * geometry.y.banks + by
                        out_x = (column.tiles[bx] + sx) * geometry.x.banks + bx
                        slot_y = (by - row.turn) % geometry.y.banks
                        slot_x = (bx - column.turn) % geometry.x.banks
                        slot = (bg * sizes[1] + slot_y) * sizes[2] + slot_x
                        found[word * p : (word + 1) * p, out_y, out_x] += (
                            words[base, slot] * spikes[c, y, x]
                        )
    return found


def direct(conv, spikes):
    """The convolution, term by term."""
    c_out, per_group, kh, kw = conv.weight.shape
    top, left, bottom, right = conv.padding
    padded = np.pad(spikes, ((0, 0), (top, bottom), (left, right)))
    _, height, width = conv.out_shape
    found = np.zeros((c_out, height, width), np.int64)
    for o in range(c_out):
        first = o // (c_out // conv.groups) * per_group
        for y in range(height):
            for x in range(width):
                y0, x0 = y * conv.stride[0], x * conv.stride[1]
                window = padded[first : first + per_group, y0 : y0 + kh, x0 : x0 + kw]
                found[o, y, x] = (window * conv.weight[o]).sum()
    return found


CASES = {
    "3x3 in 1x3 banks": ((4, 3, 3, 3), (1, 1), (1, 1, 1, 1), 1, (3, 6, 7), (1, 1, 3)),
    "3x3 in 3x3 banks": ((4, 2, 3, 3), (1, 1), (1, 1, 1, 1), 1, (2, 5, 6), (1, 3, 3)),
    "stride 2, one-sided padding": ((4, 4, 3, 3), (2, 2), (0, 0, 1, 1), 1, (4, 8, 8), (1, 1, 3)),
    "1x1 stride 2": ((8, 4, 1, 1), (2, 2), (0, 0, 0, 0), 1, (4, 7, 8), (1, 1, 3)),
    "5x5 in 2x2 banks": ((2, 1, 5, 5), (1, 1), (2, 2, 2, 2), 1, (1, 6, 6), (1, 2, 2)),
    "depthwise": ((4, 1, 3, 3), (1, 1), (1, 1, 1, 1), 4, (4, 5, 5), (1, 1, 3)),
    "whole map": ((4, 3, 4, 4), (1, 1), (0, 0, 0, 0), 1, (3, 4, 4), (1, 1, 1)),
    "groups in banks": ((6, 3, 3, 3), (2, 2), (1, 1, 1, 1), 1, (3, 6, 7), (3, 1, 1)),
    "more groups than banks": ((10, 3, 1, 1), (1, 1), (0, 0, 0, 0), 1, (3, 3, 4), (2, 1, 1)),
    "groups and columns": ((6, 2, 3, 3), (1, 1), (1, 1, 1, 1), 1, (2, 4, 5), (2, 1, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_tables_are_the_convolution(name):
    shape, stride, padding, groups, source, banks = CASES[name]
    rng = np.random.default_rng(len(name))
    conv = ConvView(rng.integers(-9, 10, shape), stride, padding, groups, source)
    wide = with_wide_groups(conv, 2)
    geometry = rotated_geometry(name, wide, source, None, 2, banks)
    spikes = rng.integers(0, 4, source)
    np.testing.assert_array_equal(accumulate(geometry, spikes), direct(conv, spikes))


def test_pooling_is_readdressed():
    rng = np.random.default_rng(0)
    conv = ConvView(rng.integers(-9, 10, (2, 2, 3, 3)), (1, 1), (1, 1, 1, 1), 1, (2, 3, 4))
    pool = Pool("sum", (2, 2), (2, 2))
    geometry = rotated_geometry("p", conv, (2, 7, 8), pool, 2, (1, 1, 3))
    spikes = rng.integers(0, 4, (2, 7, 8))
    pooled = spikes[:, :6].reshape(2, 3, 2, 4, 2).sum((2, 4))
    np.testing.assert_array_equal(accumulate(geometry, spikes), direct(conv, pooled))


def test_what_has_no_tables_is_refused():
    weight = np.ones((4, 2, 1, 1), np.int64)
    grouped = ConvView(weight, (1, 1), (0, 0, 0, 0), 2, (4, 4, 4))
    with pytest.raises(PlanError, match="3 lanes do not divide its 4 output channels"):
        rotated_geometry("p", grouped, (4, 4, 4), None, 3, (1, 1, 1))
    with pytest.raises(PlanError, match="its 2 groups do not fill words of 4 channels"):
        rotated_geometry("p", grouped, (4, 4, 4), None, 4, (1, 1, 1))
    plain = ConvView(weight[:, :, :, :], (1, 1), (0, 0, 0, 0), 1, (2, 4, 4))
    with pytest.raises(PlanError, match="maximum pooling"):
        rotated_geometry("p", plain, (2, 8, 8), Pool("max", (2, 2), (2, 2)), 2, (1, 1, 1))
    with pytest.raises(PlanError, match="overlapping"):
        rotated_geometry("p", plain, (2, 5, 5), Pool("sum", (2, 2), (1, 1)), 2, (1, 1, 1))
