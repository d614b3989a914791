# SPDX-License-Identifier: BSD-2-Clause
"""Boards that amaranth-boards does not have; the platform of any board."""

import importlib
from typing import Any

from pysnn_hw.errors import BoardError
from pysnn_hw.plan.board import Board

__all__ = ["platform_of"]


def platform_of(board: Board, **options: Any) -> Any:
    """The Amaranth platform that knows the pins of a board.

    Raises
    ------
    BoardError
        If the board is known by its processor only.
    """
    if board.platform is None:
        raise BoardError(f"board {board.name}", "has no pins of its own, only a processor's")
    module, cls = board.platform.split(":")
    return getattr(importlib.import_module(module), cls)(**options)
