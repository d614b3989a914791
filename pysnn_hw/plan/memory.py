# SPDX-License-Identifier: BSD-2-Clause
"""Memory blocks of each device family, and how a memory is cut into them."""

from __future__ import annotations

from typing import Literal

Family = Literal["ecp5", "gatemate", "gowin", "ice40", "nexus", "xilinx7"]

BLOCK_SHAPES: dict[Family, tuple[tuple[int, int], ...]] = {
    "ecp5": ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
    # Half of a CC_BRAM_40K.
    "gatemate": ((512, 40), (1024, 20), (2048, 10), (4096, 5), (8192, 2), (16384, 1)),
    "gowin": ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
    "ice40": ((256, 16), (512, 8), (1024, 4), (2048, 2)),
    "nexus": ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
    # RAMB18E1; an RAMB36E1 is two of them, with their words side by side or one behind the other.
    "xilinx7": ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
}
"""(depth, width) of one memory block in each of its port configurations."""

SPRAM_SHAPE = (16384, 16)
"""(depth, width) of one iCE40 UltraPlus SPRAM."""


def slice_width(family: Family, depth: int) -> int:
    """Width of the slices that a memory of ``depth`` words is cut into.

    The widest port of which one block holds the whole depth: so no multiplexer between blocks
    follows their slow outputs. Deeper memories than any block keep the narrowest port.
    """
    fitting = [width for words, width in BLOCK_SHAPES[family] if words >= depth]
    return max(fitting) if fitting else BLOCK_SHAPES[family][-1][1]


def block_count(family: Family, depth: int, width: int) -> int:
    """Memory blocks of a ``depth`` x ``width`` memory cut by `slice_width`."""
    port = slice_width(family, depth)
    words = next(words for words, bits in BLOCK_SHAPES[family] if bits == port)
    return -(-depth // words) * -(-width // port)


def tiling(family: Family, depth: int, width: int) -> tuple[int, int]:
    """(rows, block depth) of the cheapest cut of a deep memory into rows of blocks.

    A row holds ``block depth`` words; a multiplexer chooses between rows. Of cuts that take as many
    blocks, the one with the fewest rows.
    """
    found = []
    for words, bits in BLOCK_SHAPES[family]:
        rows = -(-depth // words)
        found.append((rows * -(-width // bits), rows, words))
    _, rows, words = min(found)
    return rows, words
