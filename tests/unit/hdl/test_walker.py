# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""The walker against its tables: every step, in order, without a bubble; markers wait."""

import random
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.events import EventKind
from pysnn_hw.hdl.walker import TapWalker
from pysnn_hw.ir.snn import FixedNetwork, Input, Pool, Population, Projection
from pysnn_hw.plan.geometry import ProjectionGeometry, ScanGeometry, projection_geometry

CASES: dict[str, dict[str, Any]] = {
    "walked": {"kernel": (3, 3), "padding": (1, 1, 1, 1)},
    "banked": {"kernel": (3, 3), "padding": (1, 1, 1, 1), "banks": (3, 3)},
    "columns banked": {"kernel": (3, 3), "padding": (1, 1, 1, 1), "banks": (1, 3)},
    "stride": {"kernel": (3, 2), "stride": (2, 3), "padding": (0, 1, 0, 0), "banks": (2, 1)},
    "skipped inputs": {"kernel": (1, 1), "stride": (2, 2)},
    "depthwise": {"kernel": (3, 3), "groups": 4, "lanes": 1},
    "readdressed": {"kernel": (2, 2), "pool": Pool("sum", (2, 2), (2, 2))},
    "one word": {"kernel": (6, 5), "lanes": 4},
}


def _geometry(
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    groups: int = 1,
    lanes: int = 2,
    banks: tuple[int, int] = (1, 1),
    pool: Pool | None = None,
) -> tuple[ProjectionGeometry, ScanGeometry]:
    shape = (4, 6, 5)
    weight = np.ones((4, 4 // groups, *kernel), np.int64)
    projection = Projection("p", "n", "m", "conv2d", weight, stride, padding, groups, pool)
    ones = np.ones(1, np.int64)
    out = projection.as_conv(shape).out_shape
    source = Population("n", "fire", shape, ones, ones, ones, 3)
    target = Population("m", "fire", out, ones, ones, ones, 3)
    net = FixedNetwork(1, Input((1, 1, 1), (0,)), (source, target), (projection,))
    geometry = projection_geometry(net, projection, lanes=lanes, banks=banks, pool_at_sender=False)
    return geometry, ScanGeometry(out, lanes, banks, (1, 1))


def _want(geometry: ProjectionGeometry, scan: ScanGeometry, event: dict[str, Any]) -> list[Any]:
    """(touched (bank, address) pairs, weight address, value) of each step."""
    row, column = geometry.y.rows[event["y"]], geometry.x.rows[event["x"]]
    by, bx = scan.banks
    steps = []
    for step_y, step_x, group in np.ndindex(row.steps, column.steps, geometry.groups_per_event):
        words = []
        for j, i in np.ndindex(by, bx):
            if row.valid[j] and column.valid[i]:
                y = (row.tiles[j] + (step_y if by == 1 else 0)) * by + j
                x = (column.tiles[i] + (step_x if bx == 1 else 0)) * bx + i
                group_at = geometry.first_group(event["c"]) + group
                words.append((j * bx + i, scan.address(y, x, group_at)))
        weight_row = row.weight - (step_y * geometry.y.stride if by == 1 else 0)
        weight_column = column.weight - (step_x * geometry.x.stride if bx == 1 else 0)
        address = weight_row * len(geometry.x.phases) + weight_column
        address = address * geometry.conv.in_shape[0] + event["c"]
        steps.append((words, address * geometry.groups_per_event + group, event["value"]))
    return steps


def _events(geometry: ProjectionGeometry, rng: random.Random) -> list[dict[str, Any]]:
    c, h, w = geometry.source_shape
    corners = [(y, x) for y in (0, h - 1) for x in (0, w - 1)]
    places = corners + [(rng.randrange(h), rng.randrange(w)) for _ in range(40)]
    return [
        {
            "kind": EventKind.SPIKE,
            "y": y,
            "x": x,
            "c": rng.randrange(c),
            "value": rng.randint(1, 3),
        }
        for y, x in places
    ]


@pytest.mark.parametrize("ready_share", [1.0, 0.5])
@pytest.mark.parametrize("name", CASES)
def test_steps(name: str, ready_share: float) -> None:
    geometry, scan = _geometry(**CASES[name])
    dut = TapWalker(geometry, scan, value_range=(0, 3))
    rng = random.Random(name)
    events = _events(geometry, rng)
    marker = {"kind": EventKind.STEP, "y": 0, "x": 0, "c": 0, "value": 0}
    stream = [*events, marker, *events[:5], {**marker, "kind": EventKind.INFERENCE}]
    want = [s for e in [*events, *events[:5]] for s in _want(geometry, scan, e)]
    idle = any(len(_want(geometry, scan, e)) == 0 for e in events)
    assert idle == (name in {"skipped inputs", "stride", "readdressed"})
    got, cycles, markers = [], [], []

    async def send(ctx: Any) -> None:
        for event in stream:
            ctx.set(dut.i.valid, 1)
            ctx.set(dut.i.payload, event)
            ready = 0
            while not ready:
                _, _, ready = await ctx.tick().sample(dut.i.ready)
        ctx.set(dut.i.valid, 0)

    async def take(ctx: Any) -> None:
        cycle = 0
        while len(markers) < 2:
            ctx.set(dut.o.ready, rng.random() < ready_share)
            reached = ctx.get(dut.marker)
            resume = reached != EventKind.SPIKE and rng.random() < 0.5
            ctx.set(dut.resume, resume)
            if resume:
                markers.append((reached, len(got)))
            _, _, valid, ready, p = await ctx.tick().sample(dut.o.valid, dut.o.ready, dut.o.payload)
            if valid and ready:
                words = [(b, p.address[b]) for b in range(len(p.address)) if p.mask >> b & 1]
                got.append((words, p.weight, p.value))
                cycles.append(cycle)
            cycle += 1

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(send, background=True)
    sim.add_testbench(take)
    sim.run()
    assert got == want
    first = len([s for e in events for s in _want(geometry, scan, e)])
    assert markers == [(EventKind.STEP, first), (EventKind.INFERENCE, len(want))]
    if ready_share == 1.0 and not idle:
        assert cycles[first - 1] - cycles[0] == first - 1, "a bubble between steps"
        per_event = [len(_want(geometry, scan, e)) for e in events]
        assert per_event == [geometry.steps()[e["y"], e["x"]] for e in events]


def test_geometry_and_membranes_must_agree() -> None:
    geometry, _ = _geometry(kernel=(3, 3))
    with pytest.raises(ValueError, match="geometry has 2 lanes and 1x1 banks"):
        TapWalker(geometry, ScanGeometry((4, 4, 3), 2, (3, 3), (1, 1)), value_range=(0, 1))
