# SPDX-License-Identifier: BSD-2-Clause
"""An SPI flash in a few lines, for testbenches that look at its pins once a cycle."""

from __future__ import annotations


class SpiFlash:
    """Asleep until command 0xAB, then command 0x03 reads at one address; SPI mode 0.

    Parameters
    ----------
    offset
        The address at which everybody must read.
    reads
        What lies there, one entry per read command (they differ when reading fails).
    wake_cycles
        How long it takes to wake up.
    """

    def __init__(self, offset: int, reads: list[bytes], *, wake_cycles: int) -> None:
        self.offset, self.reads, self.wake_cycles = offset, reads, wake_cycles
        self.commands: list[int] = []
        self._now = 0
        self._awake_since: int | None = None
        self._bits: list[int] = []
        self._clk = 0
        self._out: list[int] = []
        self._level = 1

    def cycle(self, cs: int, clk: int, mosi: int) -> int:
        """Level of the flash's output, given the levels of its inputs (``cs`` active high)."""
        self._now += 1
        rising, falling = cs and clk > self._clk, cs and clk < self._clk
        self._clk = clk
        if not cs:
            if self._value(0, 8) == 0xAB and len(self._bits) == 8:
                self.commands.append(0xAB)
                self._awake_since = self._now
            self._bits, self._out, self._level = [], [], 1
        elif rising and len(self._bits) < 32:
            self._bits.append(mosi)
            if len(self._bits) == 32 and self._value(0, 8) == 0x03:
                self._read()
        elif falling and self._out:
            self._level = self._out.pop(0)
        return self._level

    def _value(self, start: int, stop: int) -> int:
        return int("".join(map(str, self._bits[start:stop])) or "0", 2)

    def _read(self) -> None:
        assert self._awake_since is not None, "read while asleep"
        assert self._now - self._awake_since >= self.wake_cycles, "read too soon after waking"
        assert self._value(8, 32) == self.offset
        self.commands.append(0x03)
        self._out = [int(bit) for byte in self.reads.pop(0) for bit in f"{byte:08b}"]
