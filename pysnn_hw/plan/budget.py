# SPDX-License-Identifier: BSD-2-Clause
"""What a board has left for an accelerator, and what a whole design takes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.plan.board import Board
from pysnn_hw.plan.cost import Cost, memory_cost
from pysnn_hw.plan.memory import Family
from pysnn_hw.plan.network_cost import network_cost
from pysnn_hw.plan.schedule import Schedule

RESOURCES = ("lut", "bram", "dsp", "spram")
"""Fields of `Cost` that a board has a limit for; flip-flops come with LUTs."""

LINK_COST = {
    "ecp5": Cost(lut=1200, ff=700),
    "gatemate": Cost(lut=2300, ff=900, bram=2),
    "gowin": Cost(lut=1550, ff=900),
    "ice40": Cost(lut=1250, ff=900, bram=2),
    "nexus": Cost(lut=1200, ff=700),
    "xilinx7": Cost(lut=1200, ff=900, bram=3),
}
"""Host link and clock crossings, but for the buffer of what is received."""

REQUEST_BYTES = 4
"""Header and checksum of a request that brings an image over a UART."""

BOOT_COST = {
    "ecp5": Cost(),
    "gatemate": Cost(),
    "gowin": Cost(),
    "ice40": Cost(lut=450, ff=300, bram=1),
    "nexus": Cost(),
    "xilinx7": Cost(),
}
"""What loads weights into memories that a bitstream cannot fill, if there are any."""

LUT_LIMIT = {
    "ecp5": 0.80,
    "gatemate": 0.50,
    "gowin": 0.65,
    "ice40": 0.97,
    "nexus": 0.80,
    "xilinx7": 0.80,
}
"""Share of the LUTs that a design may use and still place and route at speed. Two are guesses on
the safe side: of Gowin's cells only three quarters have a flip-flop and a carry, and nextpnr's
router for GateMate takes free cells for bridges."""

BLOCK_LIMIT = {
    "ecp5": 0.92,
    "gatemate": 1.0,
    "gowin": 1.0,
    "ice40": 0.9,
    "nexus": 1.0,
    "xilinx7": 1.0,
}
"""Share of the memory blocks, likewise: the last ones lie far from the logic. Of a ResNet20 that
took 207 of 208 on an ECP5-85, nextpnr had routed a thirtieth when others are done; designs with 51
of 56 on a 25F are routed."""

DSP_PRICE = {
    "ecp5": 3.0,
    "gatemate": 3.0,
    "gowin": 3.0,
    "ice40": 0.1,
    "nexus": 3.0,
    "xilinx7": 3.0,
}
"""A large device has logic to spare, and the ways to and from the few columns of multipliers would
limit the clock: they are the last resort there. A small one needs every logic cell."""

_REMEDIES = {
    "lut": "use fewer weight bits or fewer levels (n), or a larger board",
    "bram": "use fewer weight bits or a smaller network, or a larger board",
    "dsp": "use fewer lanes",
    "spram": "use fewer weight bits or a smaller network, or a larger board",
}


@dataclass(frozen=True)
class Shortfall:
    """A resource of which the design needs more than the board has."""

    resource: str
    needed: int
    available: int
    remedy: str

    def __str__(self) -> str:
        return (
            f"needs {self.needed} {self.resource} of {self.available} "
            f"({self.needed - self.available} too many); {self.remedy}"
        )


def available(board: Board) -> dict[str, int]:
    """How much of each of `RESOURCES` a design may take."""
    budget, family = board.budget, board.device.family
    return {
        "lut": int(budget.luts * LUT_LIMIT[family]),
        "bram": int(budget.bram.count * BLOCK_LIMIT[family]),
        "dsp": budget.dsps,
        "spram": budget.spram.count if budget.spram is not None else 0,
    }


def shortfalls(board: Board, cost: Cost) -> tuple[Shortfall, ...]:
    """The resources of which ``cost`` exceeds the board's budget."""
    result = []
    for name, most in available(board).items():
        needed = round(getattr(cost, name))
        if needed > most:
            result.append(Shortfall(name.upper(), needed, most, _REMEDIES[name]))
    return tuple(result)


def link_cost(net: FixedNetwork, family: Family) -> Cost:
    """What brings images of ``net`` to an accelerator, and its scores away."""
    if family == "xilinx7":  # streams of a processor
        return LINK_COST[family]
    low, high = net.input.minimum, net.input.maximum
    narrow = 0 <= low <= high <= 255 or -128 <= low <= high <= 127
    request = math.prod(net.input.shape) * (1 if narrow else 2) + REQUEST_BYTES
    return LINK_COST[family] + memory_cost(family, "block", 1 << request.bit_length(), 8)


def surroundings_cost(net: FixedNetwork, schedule: Schedule) -> Cost:
    """What stands around an accelerator: link, clock, and what fills its memories."""
    booted = any(i.weight_memory == "spram" for core in schedule.cores for i in core.inputs)
    link = link_cost(net, schedule.family)
    return link + BOOT_COST[schedule.family] if booted else link


def total_cost(net: FixedNetwork, schedule: Schedule) -> Cost:
    """Cost of a schedule with everything around it."""
    return network_cost(net, schedule, schedule.family) + surroundings_cost(net, schedule)


def share(board: Board, cost: Cost) -> float:
    """The largest share of a memory or of the logic that ``cost`` takes."""
    limits = available(board)
    return float(max(getattr(cost, n) / max(limits[n], 1) for n in ("lut", "bram", "spram")))


def price(board: Board, cost: Cost) -> float:
    """What ``cost`` is worth on this board: the sum of its shares, scarce things dearer."""
    limits = available(board)
    weights = {"lut": 1.0, "bram": 1.0, "dsp": DSP_PRICE[board.device.family], "spram": 0.3}
    return float(sum(weights[n] * getattr(cost, n) / max(limits[n], 1) for n in RESOURCES))
