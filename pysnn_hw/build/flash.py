# SPDX-License-Identifier: BSD-2-Clause
"""The contents of a configuration flash: bitstream and boot image in one file."""

from pysnn_hw.errors import PlanError
from pysnn_hw.hdl.boot import boot_image
from pysnn_hw.plan.board import Board

__all__ = ["flash_image"]

_ERASED = b"\xff"


def flash_image(bitstream: bytes, contents: bytes, board: Board) -> bytes:
    """The bitstream at address 0 and the boot image of ``contents`` at the board's offset.

    Raises
    ------
    PlanError
        If the board has no such flash, or the bitstream reaches into the boot image.
    """
    if board.flash is None:
        raise PlanError(board.title, "has no flash for a boot image")
    offset = board.flash.boot_offset
    if len(bitstream) > offset:
        raise PlanError(
            board.title,
            f"the bitstream has {len(bitstream)} bytes, the boot image starts at {offset}",
            "set a larger flash.boot_offset in the board file",
        )
    return bitstream.ljust(offset, _ERASED) + boot_image(contents)
