# SPDX-License-Identifier: BSD-2-Clause
"""Colorlight i5 and i9: receiver cards on Muse Lab's extension board, whose UART is used."""

from typing import Any, ClassVar

from amaranth.build import Attrs, Clock, Pins, Resource
from amaranth.vendor import LatticeECP5Platform
from amaranth_boards.resources import UARTResource

__all__ = ["ColorlightI5Platform", "ColorlightI9Platform"]


class _ColorlightPlatform(LatticeECP5Platform):  # type: ignore[misc]
    package = "BG381"
    speed = "6"
    default_clk = "clk25"
    resources: ClassVar[list[Any]] = [
        Resource("clk25", 0, Pins("P3", dir="i"), Clock(25e6), Attrs(IO_TYPE="LVCMOS33")),
        UARTResource(0, rx="H18", tx="J17", attrs=Attrs(IO_TYPE="LVCMOS33", PULLMODE="UP")),
    ]
    connectors: ClassVar[list[Any]] = []


class ColorlightI5Platform(_ColorlightPlatform):
    """Version 7.0."""

    device = "LFE5U-25F"


class ColorlightI9Platform(_ColorlightPlatform):
    """Version 7.2."""

    device = "LFE5U-45F"
