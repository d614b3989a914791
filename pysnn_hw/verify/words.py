# SPDX-License-Identifier: BSD-2-Clause
"""Arrays as the words that an accelerator's ports carry, and back.

A word is what one port shows in one cycle: fields side by side, least significant first, padded
to whole 32-bit words (uint32, last axis).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pysnn_hw.ir.snn import Array

Words = npt.NDArray[np.uint32]


def words_for(bits: int) -> int:
    """32-bit words that hold ``bits``."""
    return -(-bits // 32)


def pack(values: Array, bits: int) -> Words:
    """Pack the last axis: (..., P) integers into (..., words_for(P * bits)) words.

    Negative values are two's complement; each must fit ``bits``.
    """
    *lead, lanes = values.shape
    masked = values.astype(np.int64).astype(np.uint64)
    shifts = np.arange(bits, dtype=np.uint64)
    flat = (masked[..., None] >> shifts).astype(np.uint8) & np.uint8(1)
    flat = flat.reshape(*lead, lanes * bits)
    padding = words_for(lanes * bits) * 32 - lanes * bits
    if padding:
        flat = np.concatenate([flat, np.zeros((*lead, padding), np.uint8)], axis=-1)
    packed = np.packbits(flat, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u4")


def unpack(words: Words, lanes: int, bits: int, *, signed: bool) -> Array:
    """Inverse of `pack`: (..., W) words into (..., lanes) int64."""
    flat = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
    fields = flat[..., : lanes * bits].reshape(*words.shape[:-1], lanes, bits).astype(np.int64)
    weights = np.left_shift(np.int64(1), np.arange(bits, dtype=np.int64))
    if signed:
        weights[-1] = -weights[-1]
    return np.asarray(fields @ weights)


def in_scan_order(maps: Array, order: Array, lanes: int) -> Array:
    """(..., C, H, W) into (..., words, lanes) by ``order``, the (y, x, group) of each word."""
    *lead, channels, height, width = maps.shape
    grouped = maps.reshape(*lead, channels // lanes, lanes, height, width)
    moved = np.moveaxis(grouped, -3, -1)  # (..., groups, H, W, lanes)
    y, x, group = order.T
    return np.asarray(moved[..., group, y, x, :])
