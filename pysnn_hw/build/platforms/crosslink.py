# SPDX-License-Identifier: BSD-2-Clause
"""Lattice CrossLink-NX evaluation board."""

from typing import Any, ClassVar

from amaranth.build import Attrs, Clock, Pins, Resource
from amaranth.vendor import LatticePlatform
from amaranth_boards.resources import UARTResource

__all__ = ["CrosslinkNxEvnPlatform"]


class CrosslinkNxEvnPlatform(LatticePlatform):  # type: ignore[misc]
    """LIFCL-40; the UART is port B of its FT2232H, once R15 and R17 are fitted, not R18 and R19."""

    device = "LIFCL-40"
    package = "BG400"
    speed = "9"
    grade = "C"
    default_clk = "clk12"
    resources: ClassVar[list[Any]] = [
        Resource("clk12", 0, Pins("L13", dir="i"), Clock(12e6), Attrs(IO_TYPE="LVCMOS33")),
        UARTResource(0, rx="F16", tx="F18", attrs=Attrs(IO_TYPE="LVCMOS33")),
    ]
    connectors: ClassVar[list[Any]] = []
