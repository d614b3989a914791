# SPDX-License-Identifier: BSD-2-Clause
"""Tables of a projection whose weights are stored once and rotated to the membrane banks.

Along an axis with B interleaved banks the outputs that an event touches are consecutive, so any B
of them lie in B different banks. An event takes them B at a time. Weights are stored in the order
of the outputs, "slot" j of a step for the j-th of its outputs, and turned by the bank of the first
one: a rotation of whole words instead of a copy of the weights for every alignment. One bank is
the special case of an axis that is walked output by output.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from pysnn_hw.errors import PlanError
from pysnn_hw.ir.snn import Array, ConvView, Pool, Shape


@dataclass(frozen=True)
class RotatedRow:
    """What an event at one coordinate does along one axis.

    Attributes
    ----------
    steps
        Times that up to B outputs are taken; 0 if the event touches nothing.
    tiles
        Per bank, tile (output index // B) of its output in the first step; one more in each step
        after that. It may lie outside the map where ``valid`` says so.
    valid
        Per step and bank, whether there is an output to touch.
    turn
        Bank of slot 0.
    weight
        Row of the weight memory of the first step; one more in each step after that.
    """

    steps: int
    tiles: tuple[int, ...]
    valid: tuple[tuple[bool, ...], ...]
    turn: int
    weight: int


NOTHING = RotatedRow(0, (), (), 0, 0)


@dataclass(frozen=True)
class RotatedAxis:
    """One axis of one projection.

    Parameters
    ----------
    size
        Source coordinates ``0 .. size - 1``, as they are stored.
    pool, pool_stride
        Window and stride of sum pooling by re-addressing (1, 1 if none).
    kernel, stride, padding
        Of the convolution; padding is the leading one.
    outputs
        Size of the target map along this axis.
    banks
        Interleaved membrane banks, B.
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
                "pooling", "overlapping windows cannot be re-addressed", "give it a core of its own"
            )

    @property
    def reach(self) -> int:
        """Outputs that an event far from the borders touches, at most: ceil(kernel / stride)."""
        return -(-self.kernel // self.stride)

    @property
    def most_steps(self) -> int:
        """Steps of an event far from the borders."""
        return -(-self.reach // self.banks)

    @property
    def tiles(self) -> int:
        """Membrane words per bank along this axis."""
        return -(-self.outputs // self.banks)

    @cached_property
    def taps(self) -> tuple[tuple[int | None, ...], ...]:
        """Weight rows: per row and slot the kernel index, None where there is none.

        For each phase (position modulo stride) one row per step, but for those without any tap.
        """
        return tuple(row for phase in range(self.stride) for row in self._phase(phase))

    def _phase(self, phase: int) -> list[tuple[int | None, ...]]:
        """Rows of one phase: taps from the last to the first, which is the order of outputs."""
        ordered = [phase + self.stride * (self.reach - 1 - j) for j in range(self.reach)]
        slots: list[int | None] = [k if k < self.kernel else None for k in ordered]
        slots += [None] * (self.most_steps * self.banks - self.reach)
        rows = [
            tuple(slots[s : s + self.banks])
            for s in range(0, self.most_steps * self.banks, self.banks)
        ]
        return [row for row in rows if any(k is not None for k in row)]

    @cached_property
    def _first_rows(self) -> tuple[int, ...]:
        """Per phase, the row of step 0 (which may be one that does not exist)."""
        first, done = [], 0
        for phase in range(self.stride):
            rows = len(self._phase(phase))
            # Only the first step of a phase can be without taps: the others have smaller ones.
            first.append(done - (self.most_steps - rows if rows else 0))
            done += rows
        return tuple(first)

    @property
    def rows(self) -> tuple[RotatedRow, ...]:
        """The table: one row per source coordinate."""
        return _rows(self)

    def touched(self, coordinate: int) -> list[tuple[int, int]]:
        """(output, kernel index) pairs of an event, in ascending output order."""
        position = self._position(coordinate)
        if position is None:
            return []
        first = max(0, -(-(position - self.kernel + 1) // self.stride))
        last = min(self.outputs - 1, position // self.stride)
        return [(o, position - self.stride * o) for o in range(first, last + 1)]

    def _position(self, coordinate: int) -> int | None:
        pooled, offset = divmod(coordinate, self.pool_stride)
        limit = (self.size - self.pool) // self.pool_stride + 1
        if offset >= self.pool or pooled >= limit:
            return None
        return pooled + self.padding

    def row(self, coordinate: int) -> RotatedRow:
        """What an event at ``coordinate`` does."""
        position, pairs = self._position(coordinate), self.touched(coordinate)
        if position is None or not pairs:
            return NOTHING
        # Slot 0 of step 0 stands for the output that the last tap would touch.
        origin = position // self.stride - (self.reach - 1)
        outputs = {o for o, _ in pairs}
        first_step = (min(outputs) - origin) // self.banks
        last_step = (max(outputs) - origin) // self.banks
        start = origin + first_step * self.banks
        slots = [start + j for j in range(self.banks)]
        by_bank = sorted(slots, key=lambda o: o % self.banks)
        return RotatedRow(
            steps=last_step - first_step + 1,
            tiles=tuple(o // self.banks for o in by_bank),
            valid=tuple(
                tuple(o + s * self.banks in outputs for o in by_bank)
                for s in range(last_step - first_step + 1)
            ),
            turn=start % self.banks,
            weight=self._first_rows[position % self.stride] + first_step,
        )


# Layers of the same shape share their tables: a planner asks for many thousands.
@lru_cache(maxsize=8192)
def _rows(axis: RotatedAxis) -> tuple[RotatedRow, ...]:
    return tuple(axis.row(c) for c in range(axis.size))


@dataclass(frozen=True, eq=False)
class RotatedGeometry:
    """All tables of one projection, for words of ``lanes`` channels in interleaved banks.

    Bank ``(g mod group_banks, y mod y.banks, x mod x.banks)`` holds word g of position (y, x).

    Attributes
    ----------
    source_shape
        Map that spikes come from, before pooling.
    conv
        The projection as a grouped convolution: one group, or groups that fill a word.
    """

    source_shape: Shape
    conv: ConvView
    lanes: int
    y: RotatedAxis
    x: RotatedAxis
    group_banks: int = 1

    @property
    def banks(self) -> int:
        """All of them."""
        return self.group_banks * self.y.banks * self.x.banks

    @property
    def out_groups(self) -> int:
        """Words of ``lanes`` channels that one event touches at one position."""
        return int(self.conv.weight.shape[0]) // self.conv.groups // self.lanes

    @property
    def group_steps(self) -> int:
        """Cycles that these take, ``group_banks`` words at a time."""
        return -(-self.out_groups // self.group_banks)

    @property
    def channel_groups(self) -> int:
        """Words of ``lanes`` channels at one position of the target."""
        return int(self.conv.weight.shape[0]) // self.lanes

    @property
    def tile_words(self) -> int:
        """Words of a bank at one of its positions."""
        return -(-self.channel_groups // self.group_banks)

    @property
    def group_step(self) -> int:
        """Target words between those of neighbouring source words; 0: all touch the same ones."""
        return 0 if self.conv.groups == 1 else self.out_groups

    @property
    def source_channels(self) -> int:
        """Channels of the source, filled up to whole words: a row of the weight memory each."""
        return -(-self.source_shape[0] // self.lanes) * self.lanes

    @property
    def weight_depth(self) -> int:
        """Words of the weight memory."""
        return len(self.y.taps) * len(self.x.taps) * self.group_steps * self.source_channels

    def weight_words(self) -> Array:
        """Weight memory contents, int64 (depth, banks, lanes), slots as banks (group, y, x).

        Word address: ((y row * x rows + x row) * group_steps + step) * source_channels + channel,
        so that a channel is no more than the low end of an address.
        """
        weight, p = self.conv.weight, self.lanes
        c_in, per_group = self.conv.in_shape[0], self.conv.weight.shape[1]
        span, filled = self.out_groups * p, self.group_steps * self.group_banks * p
        out = np.zeros(
            (
                len(self.y.taps),
                len(self.x.taps),
                self.group_steps,
                self.source_channels,
                self.group_banks,
                self.y.banks,
                self.x.banks,
                p,
            ),
            np.int64,
        )
        for iy, y_taps in enumerate(self.y.taps):
            for ix, x_taps in enumerate(self.x.taps):
                for by, ky in enumerate(y_taps):
                    for bx, kx in enumerate(x_taps):
                        if ky is None or kx is None:
                            continue
                        taps = weight[:, :, ky, kx]
                        for c in range(c_in):
                            block = c // per_group * span
                            column = taps[block : block + span, c % per_group]
                            column = np.pad(column, (0, filled - span))
                            out[iy, ix, :, c, :, by, bx, :] = column.reshape(
                                self.group_steps, self.group_banks, p
                            )
        return out.reshape(-1, self.banks, p)

    @cached_property
    def _steps(self) -> Array:
        y = np.array([row.steps for row in self.y.rows], np.int64)
        x = np.array([row.steps for row in self.x.rows], np.int64)
        return np.asarray(y[:, None] * x[None, :] * self.group_steps)

    def steps(self) -> Array:
        """Accumulate cycles of an event at (y, x), int64 (H, W); zero where it touches nothing."""
        return self._steps


def rotated_geometry(
    where: str,
    conv: ConvView,
    shape: Shape,
    pool: Pool | None,
    lanes: int,
    banks: tuple[int, int, int],
) -> RotatedGeometry:
    """Tables of a projection from a map of ``shape``, seen as ``conv`` behind sum pooling.

    ``banks`` are those of channel groups, rows and columns.

    Raises
    ------
    PlanError
        If lanes do not divide the target's channels, groups neither are one nor fill words (of one
        bank), or the pooling cannot be re-addressed.
    """
    channels, per_group = conv.weight.shape[:2]
    if channels % lanes:
        raise PlanError(where, f"{lanes} lanes do not divide its {channels} output channels")
    if conv.groups > 1 and (per_group != lanes or channels // conv.groups % lanes or banks[0] > 1):
        raise PlanError(
            where,
            f"its {conv.groups} groups do not fill words of {lanes} channels",
            "give its population a core of its own",
        )
    if pool is not None and pool.mode != "sum":
        raise PlanError(where, "maximum pooling happens at a sender", "give that a core of its own")
    kernel, stride = (pool.kernel, pool.stride) if pool is not None else ((1, 1), (1, 1))
    axes = [
        RotatedAxis(
            size=shape[1 + a],
            pool=kernel[a],
            pool_stride=stride[a],
            kernel=int(conv.weight.shape[2 + a]),
            stride=conv.stride[a],
            padding=conv.padding[a],
            outputs=conv.out_shape[1 + a],
            banks=banks[1 + a],
        )
        for a in (0, 1)
    ]
    return RotatedGeometry(shape, conv, lanes, axes[0], axes[1], banks[0])
