# SPDX-License-Identifier: BSD-2-Clause
"""Address-events: what moves on every stream between cores."""

from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import data, enum

from pysnn_hw.ir.snn import Shape as MapShape

__all__ = ["EventKind", "coordinate_shape", "event_layout", "value_shape"]


class EventKind(enum.Enum, shape=2):  # type: ignore[call-arg]
    """What an event says. Markers travel in line, so no side-band control exists."""

    SPIKE = 0
    """A (graded) spike of the neuron at (c, y, x)."""
    STEP = 1
    """End of a timestep that is not the last one."""
    INFERENCE = 2
    """End of the last timestep of an image."""
    PROBE = 3
    """End of the last timestep of a probe run; everything starts again."""


def coordinate_shape(size: int) -> Shape:
    """Unsigned shape for a coordinate in ``0 .. size - 1`` (at least one bit)."""
    return unsigned(max(1, (size - 1).bit_length()))


def value_shape(value_range: tuple[int, int]) -> Shape:
    """Smallest shape that holds every value of the inclusive range (at least one bit)."""
    lo, hi = value_range
    if lo < 0:
        return signed(max((-lo - 1).bit_length(), max(hi, 0).bit_length()) + 1)
    return unsigned(max(1, hi.bit_length()))


def event_layout(shape: MapShape, value_range: tuple[int, int]) -> data.StructLayout:
    """Layout of an event from a map of ``shape`` (C, H, W) with values in ``value_range``.

    In a marker (any kind but `EventKind.SPIKE`) all other fields are zero.
    """
    c, h, w = shape
    return data.StructLayout(
        {
            "kind": EventKind,
            "y": coordinate_shape(h),
            "x": coordinate_shape(w),
            "c": coordinate_shape(c),
            "value": value_shape(value_range),
        }
    )
