# SPDX-License-Identifier: BSD-2-Clause
"""OrangeCrab r0.2 with a UART on the pins that the Feather form factor has for one."""

from typing import Any, ClassVar

from amaranth.build import Attrs
from amaranth_boards.orangecrab_r0_2 import OrangeCrabR0_2_25FPlatform
from amaranth_boards.resources import UARTResource

__all__ = ["OrangeCrabPlatform"]


class OrangeCrabPlatform(OrangeCrabR0_2_25FPlatform):  # type: ignore[misc]
    """LFE5U-25F; RX is pin 0 of the header, TX pin 1."""

    resources: ClassVar[list[Any]] = [
        *OrangeCrabR0_2_25FPlatform.resources,
        UARTResource(0, rx="N17", tx="M18", attrs=Attrs(IO_TYPE="LVCMOS33", PULLMODE="UP")),
    ]
