# SPDX-License-Identifier: BSD-2-Clause
"""A random network with a random schedule, images and back-pressure: one number, one case."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pysnn_hw.errors import PlanError
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.plan.schedule import CorePlan, InputPort, Schedule, full_banks, simple_schedule
from pysnn_hw.verify import Pressure
from pysnn_hw.verify.design import Design
from tests.networks import random_images, random_network

_EXTRAS = ("v_init", "probe", "gate", "bernoulli", "events", "count", "sampled", "margin")
"""What the hardware can do of `tests.networks.EXTRAS`."""


@dataclass(frozen=True, eq=False)
class Case:
    """What to run; ``describe`` says it in a line."""

    seed: int
    net: FixedNetwork
    schedule: Schedule
    images: Array
    pressure: Pressure

    def describe(self) -> str:
        layers = ", ".join(
            f"{p.name} {p.shape}: {c.lanes} lanes of kind {c.lane_kind}, banks {c.banks}"
            for p, c in zip(self.net.populations, self.schedule.cores, strict=True)
        )
        top = max(p.spike_max for p in self.net.populations)
        probe = self.net.probe
        run = "" if probe is None else f"probe {probe.steps} {probe.rule}, "
        own = "own starts, " if any(p.v_init.ndim > 1 for p in self.net.populations) else ""
        steps = f"T {self.net.timesteps}, spikes to {top}"
        return f"seed {self.seed}: {steps}, {run}{own}{layers}"


def random_case(seed: int, *, images: int = 6) -> Case:
    """Draw until the hardware supports the network (it names what it does not)."""
    rng = np.random.default_rng(seed)
    while True:
        net = random_network(rng, extras=_EXTRAS, max_side=8)
        try:
            schedule = _schedule(rng, net)
            _ = Design(net, schedule).probes
        except PlanError:
            continue
        offer, take = rng.choice([0.05, 0.4, 1.0], 2).tolist()
        pressure = Pressure(offer, take, float(rng.choice([0.0, 0.3, 0.9])), seed)
        return Case(seed, net, schedule, random_images(rng, net, images), pressure)


def _schedule(rng: np.random.Generator, net: FixedNetwork) -> Schedule:
    start = simple_schedule(
        net, lanes=int(rng.integers(1, 7)), pool_at_sender=bool(rng.integers(2))
    )
    return Schedule(tuple(_core(rng, net, core) for core in start.cores))


def _core(rng: np.random.Generator, net: FixedNetwork, core: CorePlan) -> CorePlan:
    ranges = [net.value_range(p) for p in net.into(core.population)]
    kinds = ["lut", "dsp"]
    kinds += ["shift"] if min(low for low, _ in ranges) >= 0 else []
    kinds = ["add"] if set(ranges) == {(0, 1)} else kinds
    banks = tuple(full if rng.integers(2) else 1 for full in full_banks(net, core.population))
    memories = ["lut", "block"]
    ports = tuple(
        InputPort(p.projection, int(rng.choice([6, 9, 64])), memories[int(rng.integers(2))])
        for p in core.inputs
    )
    return replace(
        core,
        inputs=ports,
        banks=banks,
        lane_kind=kinds[int(rng.integers(len(kinds)))],
        membrane_memory=memories[int(rng.integers(2))],
    )
