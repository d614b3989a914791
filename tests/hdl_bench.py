# SPDX-License-Identifier: BSD-2-Clause
"""Drives stream components in Amaranth's simulator under random gaps and back-pressure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amaranth.lib import data
from amaranth.sim import Simulator

PACES = [(1.0, 1.0), (0.5, 1.0), (1.0, 0.3), (0.6, 0.6)]
"""(probability that a producer offers, probability that a consumer takes) worth testing.

A consumer of less than one half is also never ready before it sees an offer.
"""


@dataclass
class Traffic:
    """What was seen: payloads as plain Python values, and the cycle of each transfer."""

    payloads: dict[str, list[Any]] = field(default_factory=dict)
    cycles: dict[str, list[int]] = field(default_factory=dict)

    def record(self, name: str, payload: Any, cycle: int) -> None:
        self.payloads[name].append(payload)
        self.cycles[name].append(cycle)


def plain(value: Any) -> Any:
    """A payload as nested dicts, lists and scalars."""
    if not isinstance(value, data.Const):
        return value
    layout = data.Layout.cast(value.shape())
    fields = {key: plain(value[key]) for key, _ in layout}
    return list(fields.values()) if isinstance(layout, data.ArrayLayout) else fields


def run(
    dut: Any,
    inputs: Mapping[str, Sequence[Any]],
    outputs: Mapping[str, int],
    *,
    seed: int = 0,
    pace: tuple[float, float] = (1.0, 1.0),
    takes: Mapping[str, float] | None = None,
    max_cycles: int = 50_000,
    surplus_cycles: int = 40,
) -> Traffic:
    """Send ``inputs`` and take ``outputs[name]`` transfers from each output stream.

    ``takes`` overrules the pace at which single outputs are taken.

    Fails when an output offers more than it should (``surplus_cycles`` later), when it drops or
    changes an offer that was not taken, and when nothing ends within ``max_cycles``.
    """
    traffic = Traffic()
    for name in (*inputs, *outputs):
        traffic.payloads[name], traffic.cycles[name] = [], []
    offer, every = pace

    def driver(name: str, items: Sequence[Any]) -> Any:
        stream, rng = getattr(dut, name), random.Random(f"{seed} drive {name}")

        async def drive(ctx: Any) -> None:
            cycle = 0
            for item in items:
                while rng.random() >= offer:
                    await ctx.tick()
                    cycle += 1
                ctx.set(stream.valid, 1)
                ctx.set(stream.payload, item)
                ready = 0
                while not ready:
                    _, _, ready = await ctx.tick().sample(stream.ready)
                    cycle += 1
                traffic.record(name, item, cycle - 1)
                ctx.set(stream.valid, 0)

        return drive

    def collector(name: str, count: int) -> Any:
        stream, rng = getattr(dut, name), random.Random(f"{seed} collect {name}")
        take = (takes or {}).get(name, every)

        async def collect(ctx: Any) -> None:
            cycle, quiet, pending = 0, 0, None
            while quiet < surplus_cycles:
                ready = rng.random() < take and (take >= 0.5 or pending is not None)
                ctx.set(stream.ready, ready)
                _, _, valid, payload = await ctx.tick().sample(stream.valid, stream.payload)
                if pending is not None:
                    assert valid, f"{name}: offer withdrawn in cycle {cycle}"
                    assert plain(payload) == pending, f"{name}: offer changed in cycle {cycle}"
                pending = plain(payload) if valid and not ready else None
                if valid and ready:
                    traffic.record(name, plain(payload), cycle)
                quiet = quiet + 1 if len(traffic.payloads[name]) >= count else 0
                cycle += 1
            extra = traffic.payloads[name][count:]
            assert not extra, f"{name}: surplus transfers {extra[:3]}"

        return collect

    async def watchdog(ctx: Any) -> None:
        for _ in range(max_cycles):
            await ctx.tick()
        got = {name: len(traffic.payloads[name]) for name in traffic.payloads}
        raise AssertionError(f"no end after {max_cycles} cycles, transfers so far: {got}")

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    for name, items in inputs.items():
        sim.add_testbench(driver(name, items))
    for name, count in outputs.items():
        sim.add_testbench(collector(name, count))
    sim.add_testbench(watchdog, background=True)
    sim.run()
    return traffic
