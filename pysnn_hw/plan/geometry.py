# SPDX-License-Identifier: BSD-2-Clause
"""Which event touches which outputs, weights and memory words: tables, no arithmetic in hardware.

A convolution's two axes are independent, so everything an event at (y, x) does follows from one
table row per axis. An axis is either *walked* (one output after another) or *banked* (B
interleaved membrane banks, output ``o`` in bank ``o mod B``, so that all outputs an event touches
are updated in the same cycle). Pooling by re-addressing, strides, padding and map borders are all
folded into the tables.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from pysnn_hw.errors import PlanError
from pysnn_hw.ir.snn import INPUT, Array, ConvView, Projection, Shape, SnnNetwork


@dataclass(frozen=True)
class AxisRow:
    """What an event at one coordinate does along one axis.

    Attributes
    ----------
    steps
        Outputs to walk; 1 on a banked axis; 0 if the event touches nothing.
    tiles
        Per bank, the first tile to touch (output index // banks).
    valid
        Per bank, whether it is touched at all.
    weight
        Row of the weight memory of the first step.
    """

    steps: int
    tiles: tuple[int, ...]
    valid: tuple[bool, ...]
    weight: int


@dataclass(frozen=True)
class Axis:
    """One axis of one projection.

    Parameters
    ----------
    size
        Source coordinates ``0 .. size - 1``, as events carry them.
    pool, pool_stride
        Window and stride of pooling done by re-addressing (1, 1 if none).
    kernel, stride, padding
        Of the convolution; padding is the leading one.
    outputs
        Size of the target map along this axis.
    banks
        1 for a walked axis, else at least `reach`.
    """

    size: int
    pool: int
    pool_stride: int
    kernel: int
    stride: int
    padding: int
    outputs: int
    banks: int

    def __post_init__(self) -> None:
        if self.pool_stride < self.pool:
            raise PlanError(
                "pooling",
                "overlapping windows cannot be re-addressed",
                "pool at the sender, or use stride = kernel",
            )
        if self.banks != 1 and self.banks < self.reach:
            raise PlanError(
                "banks", f"{self.banks} banks cannot hold {self.reach} outputs of one event"
            )

    @property
    def reach(self) -> int:
        """Most outputs that one event can touch: ceil(kernel / stride), within the map."""
        return min(-(-self.kernel // self.stride), self.outputs)

    @property
    def tiles(self) -> int:
        """Membrane words per bank along this axis."""
        return -(-self.outputs // self.banks)

    def touched(self, coordinate: int) -> list[tuple[int, int]]:
        """(output, kernel index) pairs of an event, in ascending output order."""
        pooled, offset = divmod(coordinate, self.pool_stride)
        limit = (self.size - self.pool) // self.pool_stride + 1
        if offset >= self.pool or pooled >= limit:
            return []
        position = pooled + self.padding
        first = max(0, -(-(position - self.kernel + 1) // self.stride))
        last = min(self.outputs - 1, position // self.stride)
        return [(o, position - self.stride * o) for o in range(first, last + 1)]

    @property
    def phases(self) -> tuple[tuple[int | None, ...], ...]:
        """Weight rows of a banked axis: per row and bank, the kernel index (None: no tap).

        Two coordinates share a row when no bank needs different taps for them.
        """
        return _phases(self)

    def needed(self, coordinate: int) -> tuple[int | None, ...] | None:
        taps: list[int | None] = [None] * self.banks
        pairs = self.touched(coordinate)
        for output, k in pairs:
            taps[output % self.banks] = k
        return tuple(taps) if pairs else None

    @property
    def rows(self) -> tuple[AxisRow, ...]:
        """The table: one row per source coordinate."""
        return _rows(self)


# Layers of the same shape share their tables: a planner asks for many thousands.
@lru_cache(maxsize=4096)
def _phases(axis: Axis) -> tuple[tuple[int | None, ...], ...]:
    if axis.banks == 1:
        return tuple((k,) for k in range(axis.kernel))
    rows: list[list[int | None]] = []
    for coordinate in range(axis.size):
        need = axis.needed(coordinate)
        if need is not None and _fit(rows, need) is None:
            rows.append(list(need))
    return tuple(tuple(row) for row in rows)


def _fit(rows: list[list[int | None]], need: tuple[int | None, ...]) -> int | None:
    """First row that agrees with ``need`` wherever both say something; it is merged in."""
    for index, row in enumerate(rows):
        pairs = list(zip(row, need, strict=True))
        if all(a is None or b is None or a == b for a, b in pairs):
            rows[index] = [a if b is None else b for a, b in pairs]
            return index
    return None


@lru_cache(maxsize=4096)
def _rows(axis: Axis) -> tuple[AxisRow, ...]:
    return tuple(_row(axis, c) for c in range(axis.size))


def _row(axis: Axis, coordinate: int) -> AxisRow:
    pairs = axis.touched(coordinate)
    if not pairs:
        return AxisRow(0, (0,) * axis.banks, (False,) * axis.banks, 0)
    if axis.banks == 1:
        output, k = pairs[0]
        return AxisRow(len(pairs), (output,), (True,), k)
    tiles, valid = [0] * axis.banks, [False] * axis.banks
    for output, _ in pairs:
        tiles[output % axis.banks] = output // axis.banks
        valid[output % axis.banks] = True
    need = axis.needed(coordinate)
    weight = next(
        i
        for i, row in enumerate(axis.phases)
        if need is not None and all(b is None or a == b for a, b in zip(row, need, strict=True))
    )
    return AxisRow(1, tuple(tiles), tuple(valid), weight)


@dataclass(frozen=True, eq=False)
class ProjectionGeometry:
    """All tables of one projection, for ``lanes`` channels side by side and (by, bx) banks.

    Attributes
    ----------
    source_shape
        Map that events come from: after pooling if the sender pools, else before.
    conv
        The projection as a grouped convolution, of groups that fill words (`with_wide_groups`).
    readdressed
        Sum pooling is done by re-addressing (in the tables) rather than by the sender.
    """

    source_shape: Shape
    conv: ConvView
    lanes: int
    y: Axis
    x: Axis
    readdressed: bool

    @property
    def groups_per_event(self) -> int:
        """Words of ``lanes`` channels that one event touches at one position."""
        return int(self.conv.weight.shape[0]) // self.conv.groups // self.lanes

    @property
    def channel_groups(self) -> int:
        """Words of ``lanes`` channels at one position of the target."""
        return int(self.conv.weight.shape[0]) // self.lanes

    @property
    def weight_depth(self) -> int:
        """Words of the weight memory."""
        return (
            len(self.y.phases) * len(self.x.phases) * self.conv.in_shape[0] * self.groups_per_event
        )

    def first_group(self, channel: int) -> int:
        """First target word that an event of input ``channel`` touches."""
        per_group = self.conv.in_shape[0] // self.conv.groups
        return channel // per_group * self.groups_per_event

    def steps(self) -> Array:
        """Accumulate cycles of an event at (y, x), int64 (H, W); zero where it touches nothing."""
        y = np.array([row.steps for row in self.y.rows], np.int64)
        x = np.array([row.steps for row in self.x.rows], np.int64)
        return np.asarray(y[:, None] * x[None, :] * self.groups_per_event)

    def weight_words(self) -> Array:
        """Weight memory contents, int64 (depth, by, bx, lanes).

        Word address: ((y row * x rows + x row) * C_in + channel) * groups_per_event + group.
        """
        weight = self.conv.weight
        c_in, groups, p = self.conv.in_shape[0], self.groups_per_event, self.lanes
        per_group = c_in // self.conv.groups
        out = np.zeros(
            (len(self.y.phases), len(self.x.phases), c_in, groups, self.y.banks, self.x.banks, p),
            np.int64,
        )
        for iy, y_taps in enumerate(self.y.phases):
            for ix, x_taps in enumerate(self.x.phases):
                for by, ky in enumerate(y_taps):
                    for bx, kx in enumerate(x_taps):
                        if ky is None or kx is None:
                            continue
                        taps = weight[:, :, ky, kx]  # (C_out, C_in / groups)
                        for c in range(c_in):
                            block = c // per_group * groups * p
                            column = taps[block : block + groups * p, c % per_group]
                            out[iy, ix, c, :, by, bx, :] = column.reshape(groups, p)
        return out.reshape(-1, self.y.banks, self.x.banks, p)


def fits_lanes(conv: ConvView, lanes: int) -> bool:
    """Whether a core of so many lanes can run ``conv``: whole groups, or parts, fill its words."""
    per_group = conv.weight.shape[0] // conv.groups
    return lanes >= 1 and conv.groups % (lanes // math.gcd(per_group, lanes)) == 0


def with_wide_groups(conv: ConvView, lanes: int) -> ConvView:
    """``conv`` with as few groups joined as it takes for lanes to divide a group's outputs.

    Joined groups see each other's inputs with weight zero. So a depthwise or identity projection
    keeps pace with the convolution beside it: an event takes a word, of which it fills one lane.
    """
    per_group = conv.weight.shape[0] // conv.groups
    joined = lanes // math.gcd(per_group, lanes)
    if joined == 1:
        return conv
    c_out, c_in, kh, kw = conv.weight.shape
    blocks = conv.weight.reshape(conv.groups // joined, joined, per_group, c_in, kh, kw)
    weight = np.zeros((*blocks.shape[:3], joined, c_in, kh, kw), conv.weight.dtype)
    for k in range(joined):
        weight[:, k, :, k] = blocks[:, k]
    weight = weight.reshape(c_out, joined * c_in, kh, kw)
    return replace(conv, weight=weight, groups=conv.groups // joined)


# A planner tries the same layers in many cores.
@lru_cache(maxsize=8192)
def projection_geometry(
    net: SnnNetwork,
    projection: Projection,
    *,
    lanes: int,
    banks: tuple[int, int],
    pool_at_sender: bool,
) -> ProjectionGeometry:
    """Tables of ``projection`` for a core with ``lanes`` channels and ``banks`` (by, bx).

    Raises
    ------
    PlanError
        If lanes do not divide the channels, the banks are too few, or the pooling cannot be done
        where the plan wants it.
    """
    shape = net.shape_of(projection.source)
    conv = projection.as_conv(shape)
    if not fits_lanes(conv, lanes):
        raise PlanError(
            f"projection {projection.name}",
            f"{lanes} lanes do not divide its {conv.weight.shape[0]} output channels evenly",
            f"it has {conv.groups} groups; use a divisor of its channels",
        )
    conv = with_wide_groups(conv, lanes)
    pool = projection.pool
    readdressed = pool is not None and not pool_at_sender
    if pool is not None and readdressed and pool.mode != "sum":
        raise PlanError(f"projection {projection.name}", "maximum pooling happens at the sender")
    if pool is not None and pool_at_sender and projection.source == INPUT:
        raise PlanError(f"projection {projection.name}", "the input is pooled by re-addressing")
    kernel, step = (pool.kernel, pool.stride) if pool and readdressed else ((1, 1), (1, 1))
    source = shape if readdressed or pool is None else conv.in_shape
    axes = [
        Axis(
            size=source[1 + a],
            pool=kernel[a],
            pool_stride=step[a],
            kernel=int(conv.weight.shape[2 + a]),
            stride=conv.stride[a],
            padding=conv.padding[a],
            outputs=conv.out_shape[1 + a],
            banks=banks[a],
        )
        for a in (0, 1)
    ]
    return ProjectionGeometry(source, conv, lanes, axes[0], axes[1], readdressed)


@dataclass(frozen=True)
class ScanGeometry:
    """Order in which a core fires its neurons, one word of ``lanes`` channels per cycle.

    For each pooling window (row by row), for each channel group, for each position of the window
    (row by row). Without pooling at the sender a window is one position. Incomplete windows at the
    far edges are scanned too (their neurons exist), but nothing of them is sent.
    """

    shape: Shape
    lanes: int
    banks: tuple[int, int]
    window: tuple[int, int]

    @property
    def groups(self) -> int:
        """Words per position."""
        return self.shape[0] // self.lanes

    @property
    def words(self) -> int:
        """Words of the whole population."""
        return self.shape[1] * self.shape[2] * self.groups

    @property
    def out_shape(self) -> Shape:
        """Shape of the map that is sent."""
        return self.shape[0], self.shape[1] // self.window[0], self.shape[2] // self.window[1]

    def order(self) -> Array:
        """(y, x, group) of each word, int64 (words, 3)."""
        _, h, w = self.shape
        kh, kw = self.window
        out = [
            (y, x, g)
            for y0 in range(0, h, kh)
            for x0 in range(0, w, kw)
            for g in range(self.groups)
            for y in range(y0, min(y0 + kh, h))
            for x in range(x0, min(x0 + kw, w))
        ]
        return np.array(out, np.int64).reshape(-1, 3)

    def bank_words(self) -> int:
        """Depth of one membrane bank."""
        tiles_y = -(-self.shape[1] // self.banks[0])
        tiles_x = -(-self.shape[2] // self.banks[1])
        return tiles_y * tiles_x * self.groups

    def address(self, y: int, x: int, group: int) -> int:
        """Word address inside its bank."""
        tiles_x = -(-self.shape[2] // self.banks[1])
        return ((y // self.banks[0]) * tiles_x + x // self.banks[1]) * self.groups + group
