# SPDX-License-Identifier: BSD-2-Clause
"""Parameters that make components as small as their control allows."""

from __future__ import annotations

from amaranth.hdl import unsigned

from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.hdl.load import Region, place
from pysnn_hw.hdl.spec import CoreSpec
from pysnn_hw.ir.snn import Input, Pool
from pysnn_hw.plan.geometry import ProjectionGeometry, ScanGeometry
from pysnn_hw.plan.layers import LayerProgram
from tests.configurations import configuration
from tests.unit.hdl.shared.programs import network, program

WORD = unsigned(2)
"""Where nothing looks at a payload, two bits stand for any."""

SOURCE = Input((1, 2, 2), (1,), 0, 3)
RANDOM = Input((1, 2, 2), (1,), 0, 3, "bernoulli", 5)
EVENTS = Input((1, 2, 2), (0,), 0, 3, "events")
MAP = (4, 2, 2)
SPIKES = (0, 3)
POOL = Pool("max", (2, 2), (1, 1))

LINK = LinkParameters(
    image_length=2,
    minimum=0,
    maximum=300,
    classes=2,
    divisor=4,
    address_width=3,
    score_bits=3,
    timeout_bytes=1,
)
"""Two bytes per integer and a memory to write, so that all states are there."""


def regions() -> tuple[Region, ...]:
    """One memory of two words."""
    return place([("weights", 2, 1)])


def spec(name: str, *, readout: bool = False) -> CoreSpec:
    """The last core that fires of the configuration of that name, or its readout."""
    found = configuration(name)
    kind = "readout" if readout else "fire"
    last = [p.name for p in found.net.populations if p.kind == kind][-1]
    return CoreSpec(found.net, found.schedule, found.schedule.core_of(last))


def walked(name: str) -> tuple[ProjectionGeometry, ScanGeometry, tuple[int, int]]:
    """First projection into that core, membranes, range of the values of events."""
    core = spec(name)
    first = core.synapses[0]
    return first.geometry, core.scan, first.value_range


def layers(banks: tuple[int, int] = (1, 1)) -> LayerProgram:
    """A program of two layers, of binary spikes and one timestep."""
    return program(network("chain", 1, 1), banks=banks)
