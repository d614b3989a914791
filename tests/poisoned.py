# SPDX-License-Identifier: BSD-2-Clause
"""A block memory that is as bad as its users allow."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Signal, signed

from pysnn_hw.hdl.block_memory import BlockMemory


class PoisonedMemory(BlockMemory):
    """All bits are ones of a word that is read in the cycle of its write, if nobody may care."""

    def elaborate(self, platform: Any) -> Module:
        m: Module = super().elaborate(platform)
        if self.collides or self.init:
            return m
        collided = Signal()
        with m.If(self.read_enable):
            m.d.sync += collided.eq(self.write_enable & (self.read_address == self.write_address))
        with m.If(collided):
            m.d.comb += self.read_data.eq(Const(-1, signed(self.width)))
        return m
