# SPDX-License-Identifier: BSD-2-Clause
"""The pseudo-random generator of stochastic input and readout."""

from amaranth.hdl import Value

__all__ = ["xorshift32"]


def xorshift32(state: Value) -> Value:
    """Next state of Marsaglia's 32-bit generator with shifts 13, 17 and 5; never zero from others.

    Each bit of it is the exclusive or of a few bits of ``state``: two levels of logic.
    """
    state = state ^ (state << 13)[:32]
    state = state ^ (state >> 17)
    return state ^ (state << 5)[:32]
