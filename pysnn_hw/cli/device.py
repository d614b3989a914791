# SPDX-License-Identifier: BSD-2-Clause
"""Verbs about boards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table

from pysnn_hw.cli import options
from pysnn_hw.cli.console import answer, table

if TYPE_CHECKING:
    from pysnn_hw.api.devices import Boards


def boards(json: options.Json = False) -> None:
    """List the boards and what each has to give.

    Example: `pysnn-hw boards`
    """
    from pysnn_hw.api import boards as call

    answer(call(), as_text=_boards, json=json)


def _boards(found: Boards) -> Iterator[Table | str]:
    columns = ("board", "", "chip", "LUT", "FF", "block RAM", "kbit", "SPRAM kbit", "DSP")
    rows = table("", *columns, left=3)
    for b in found.boards:
        numbers = (b.lut, b.ff, b.bram, b.bram_kbit, b.spram_kbit, b.dsp)
        rows.add_row(b.name, b.title, b.device, *(f"{n:,}" for n in numbers))
    yield rows
