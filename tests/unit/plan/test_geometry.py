# SPDX-License-Identifier: BSD-2-Clause
"""The tables against a direct convolution: every tap lands where it should, none twice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.errors import PlanError
from pysnn_hw.ir.snn import FixedNetwork, Input, Pool, Population, Projection
from pysnn_hw.plan.geometry import (
    Axis,
    ScanGeometry,
    fits_lanes,
    projection_geometry,
    with_wide_groups,
)


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    pool = draw(st.integers(1, 3))
    pool_stride = pool + draw(st.integers(0, 1))
    size = draw(st.integers(pool, 12))
    pooled = (size - pool) // pool_stride + 1
    kernel = draw(st.integers(1, 5))
    stride = draw(st.integers(1, 3))
    padding = draw(st.integers(0, kernel - 1))
    total = pooled + padding + draw(st.integers(0, kernel - 1))
    outputs = (total - kernel) // stride + 1 if total >= kernel else 0
    if outputs < 1:
        outputs, kernel, padding = pooled, 1, 0
        stride = 1
    free = Axis(size, pool, pool_stride, kernel, stride, padding, outputs, 1)
    banks = draw(st.sampled_from([1, free.reach, free.reach + 1]))
    return Axis(size, pool, pool_stride, kernel, stride, padding, outputs, banks)


@settings(max_examples=300, deadline=None)
@given(axis=axes())
def test_rows_reach_exactly_the_taps_of_the_convolution(axis: Axis) -> None:
    want = {
        (position, output, k)
        for position in range(axis.size)
        for output in range(axis.outputs)
        for k in range(axis.kernel)
        if _pooled(axis, position) is not None
        and _pooled(axis, position) == output * axis.stride + k - axis.padding
    }
    got = set()
    for position, row in enumerate(axis.rows):
        for step in range(row.steps):
            for bank in range(axis.banks):
                if not row.valid[bank]:
                    continue
                if axis.banks == 1:
                    # Walking: the next output, the kernel index one stride lower.
                    entry = (position, row.tiles[0] + step, row.weight - step * axis.stride)
                else:
                    k = axis.phases[row.weight][bank]
                    assert k is not None
                    entry = (position, row.tiles[bank] * axis.banks + bank, k)
                assert entry not in got
                got.add(entry)
    assert got == want


def _pooled(axis: Axis, position: int) -> int | None:
    window, offset = divmod(position, axis.pool_stride)
    inside = window * axis.pool_stride + axis.pool <= axis.size
    return window if offset < axis.pool and inside else None


def test_banked_axis_needs_as_many_banks_as_an_event_reaches() -> None:
    with pytest.raises(PlanError, match="2 banks cannot hold 3 outputs"):
        Axis(8, 1, 1, 3, 1, 1, 8, 2)


def test_overlapping_windows_cannot_be_readdressed() -> None:
    with pytest.raises(PlanError, match="use stride = kernel"):
        Axis(8, 3, 2, 1, 1, 0, 3, 1)


def _network(projection: Projection, source_shape: tuple[int, int, int]) -> FixedNetwork:
    out = projection.as_conv(source_shape).out_shape
    ones = np.ones(1, np.int64)
    target = Population("n0", "fire", out, ones, ones, ones, 1)
    return FixedNetwork(1, Input(source_shape, (0,) * source_shape[0]), (target,), (projection,))


@pytest.mark.parametrize("banked", [False, True])
@pytest.mark.parametrize(
    ("groups", "lanes"), [(1, 2), (1, 4), (2, 2), (4, 1), (4, 2), (4, 4), (2, 4)]
)
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 3)])
def test_weight_memory_and_steps_compute_the_convolution(
    banked: bool, groups: int, lanes: int, stride: tuple[int, int]
) -> None:
    rng = np.random.default_rng(7)
    shape = (4, 6, 7)
    weight = rng.integers(-99, 99, (4, 4 // groups, 3, 3))
    projection = Projection("p", "input", "n0", "conv2d", weight, stride, (1, 0, 1, 2), groups)
    net = _network(projection, shape)
    view = projection.as_conv(shape)
    reach = [min(-(-3 // s), o) for s, o in zip(stride, view.out_shape[1:], strict=True)]
    banks = (reach[0], reach[1]) if banked else (1, 1)
    geometry = projection_geometry(net, projection, lanes=lanes, banks=banks, pool_at_sender=False)
    words = geometry.weight_words()
    scan = ScanGeometry(view.out_shape, lanes, banks, (1, 1))
    memory = np.zeros((banks[0], banks[1], scan.bank_words(), lanes), np.int64)
    image = rng.integers(0, 9, shape)
    cycles = np.zeros(shape[1:], np.int64)
    for c, y, x in np.ndindex(shape):
        row, column = geometry.y.rows[y], geometry.x.rows[x]
        for step_y, step_x, group in np.ndindex(row.steps, column.steps, geometry.groups_per_event):
            cycles[y, x] += c == 0
            weight_row = row.weight - step_y * stride[0] if banks[0] == 1 else row.weight
            weight_column = column.weight - step_x * stride[1] if banks[1] == 1 else column.weight
            address = (weight_row * len(geometry.x.phases) + weight_column) * shape[0] + c
            word = words[address * geometry.groups_per_event + group]
            for by, bx in np.ndindex(banks):
                if row.valid[by] and column.valid[bx]:
                    tile_y = row.tiles[by] + (step_y if banks[0] == 1 else 0)
                    tile_x = column.tiles[bx] + (step_x if banks[1] == 1 else 0)
                    at = (tile_y * geometry.x.tiles + tile_x) * scan.groups
                    at += geometry.first_group(c) + group
                    memory[by, bx, at] += word[by, bx] * image[c, y, x]
    want = _convolve(image, view.weight, stride, view.padding, groups, view.out_shape)
    for y, x, g in scan.order():
        got = memory[y % banks[0], x % banks[1], scan.address(y, x, g)]
        assert (got == want[g * lanes : (g + 1) * lanes, y, x]).all()
    assert (cycles == geometry.steps()).all()


def _convolve(image, weight, stride, padding, groups, out_shape):  # type: ignore[no-untyped-def]
    top, left, bottom, right = padding
    padded = np.pad(image, ((0, 0), (top, bottom), (left, right)))
    out = np.zeros(out_shape, np.int64)
    per_in, per_out = weight.shape[1], weight.shape[0] // groups
    for co, y, x in np.ndindex(out_shape):
        first = co // per_out * per_in
        window = padded[
            first : first + per_in,
            y * stride[0] : y * stride[0] + weight.shape[2],
            x * stride[1] : x * stride[1] + weight.shape[3],
        ]
        out[co, y, x] = (window * weight[co]).sum()
    return out


def test_lanes_must_divide_the_channels() -> None:
    projection = Projection("p", "input", "n0", "linear", np.ones((10, 4), np.int64))
    net = _network(projection, (1, 2, 2))
    with pytest.raises(PlanError, match="3 lanes do not divide its 10"):
        projection_geometry(net, projection, lanes=3, banks=(1, 1), pool_at_sender=False)


def test_pooling_belongs_to_one_side() -> None:
    pool = Pool("max", (2, 2), (2, 2))
    projection = Projection("p", "input", "n0", "linear", np.ones((2, 4), np.int64), pool=pool)
    net = _network(projection, (1, 4, 4))
    with pytest.raises(PlanError, match="maximum pooling happens at the sender"):
        projection_geometry(net, projection, lanes=1, banks=(1, 1), pool_at_sender=False)
    with pytest.raises(PlanError, match="the input is pooled by re-addressing"):
        projection_geometry(net, projection, lanes=1, banks=(1, 1), pool_at_sender=True)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    groups=st.integers(1, 3),
    window=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    banks=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_scan_visits_every_word_once_at_an_address_of_its_own(
    height: int, width: int, groups: int, window: tuple[int, int], banks: tuple[int, int]
) -> None:
    scan = ScanGeometry((groups * 2, height, width), 2, banks, window)
    order = [tuple(int(v) for v in row) for row in scan.order()]
    assert sorted(order) == sorted(np.ndindex(height, width, groups))
    assert len(order) == scan.words
    places = {(y % banks[0], x % banks[1], scan.address(y, x, g)) for y, x, g in order}
    assert len(places) == scan.words
    assert max(place[2] for place in places) < scan.bank_words()
    windows = [(y // window[0], x // window[1], g) for y, x, g in order]
    runs = [key for i, key in enumerate(windows) if i == 0 or windows[i - 1] != key]
    assert len(runs) == len(set(runs))


def test_groups_are_joined_no_further_than_lanes_need() -> None:
    net = _network(
        Projection("p", "input", "n0", "identity", np.arange(1, 7, dtype=np.int64)), (6, 2, 2)
    )
    conv = net.projections[0].as_conv((6, 2, 2))
    assert with_wide_groups(conv, 1) is conv
    wide = with_wide_groups(conv, 3)
    assert wide.groups == 2
    np.testing.assert_array_equal(wide.weight[3:, :, 0, 0], np.diag([4, 5, 6]))
    assert [lanes for lanes in range(1, 9) if fits_lanes(conv, lanes)] == [1, 2, 3, 6]
