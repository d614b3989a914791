# SPDX-License-Identifier: BSD-2-Clause
"""Registers that only delay."""

from typing import Any

from amaranth.hdl import Module, Signal

__all__ = ["COPIED", "delayed"]

COPIED = "copied"
"""Attribute of registers that are equal on purpose, each near what it drives; see
`synthesis_script`."""


def delayed(m: Module, signal: Any, cycles: int, name: str, *, flag: bool = False) -> Any:
    """``signal`` of so many cycles ago, through registers called after ``name``.

    Only a ``flag`` is reset: it says when what goes beside it counts.
    """
    for number in range(cycles):
        later = Signal.like(signal, name=f"{name}_{number + 1}", reset_less=not flag)
        m.d.sync += later.eq(signal)
        signal = later
    return signal
