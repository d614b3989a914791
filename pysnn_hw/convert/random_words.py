# SPDX-License-Identifier: BSD-2-Clause
"""The hardware's generator of random words, many at a time.

A 32-bit xorshift generator: ``x ^= x << 13; x ^= x >> 17; x ^= x << 5``. Its steps are linear over
bits, so that a jump of any length is a matrix, and words already known give as many more.
"""

from __future__ import annotations

import numpy as np

from pysnn_hw.ir.snn import Array

BITS = 32


def random_words(seed: int, count: int) -> Array:
    """The ``count`` states that follow ``seed``, uint32."""
    words = _step(np.array([seed], np.uint32))
    # Where the jump by as many steps as there are words takes each single bit.
    jump = _step(np.uint32(1) << np.arange(BITS, dtype=np.uint32))
    while len(words) < count:
        words = np.concatenate([words, _jumped(words, jump)])
        jump = _jumped(jump, jump)
    return words[:count]


def _step(words: Array) -> Array:
    words = words ^ words << np.uint32(13)
    words = words ^ words >> np.uint32(17)
    return np.asarray(words ^ words << np.uint32(5))


def _jumped(words: Array, jump: Array) -> Array:
    found = np.zeros_like(words)
    for bit in range(BITS):
        found ^= (words >> np.uint32(bit) & np.uint32(1)) * jump[bit]
    return found
