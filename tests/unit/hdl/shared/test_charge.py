# SPDX-License-Identifier: BSD-2-Clause
import random

import numpy as np
import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.shared.charge import Charge
from pysnn_hw.hdl.shared.layouts import constant_layout, constant_words
from pysnn_hw.ir.snn import PLAIN, Neuron
from tests.unit.hdl.shared.programs import network, program


@pytest.mark.parametrize(
    ("shape", "spike_max", "neuron"),
    [
        ("residual", 15, PLAIN),
        ("residual", 1, PLAIN),
        ("residual", 3, Neuron("signed")),
        ("chain", 3, PLAIN),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_adds_constants_and_what_comes_from_neuron_to_neuron(shape, spike_max, neuron, first):
    compiled = program(network(shape, 2, spike_max, neuron))
    dut, draw = Charge(compiled), random.Random(spike_max)
    layout, known = constant_layout(compiled), constant_words(compiled)
    low, high = compiled.spike_range
    rows = []
    for _ in range(60):
        word = draw.choice(known)
        spikes = [draw.choice([low, high, 0, draw.randint(low, high)]) for _ in range(2)]
        rows.append((word, spikes, [draw.randint(-50, 50) for _ in range(2)]))
    want = []
    for word, spikes, membranes in rows:
        constant = np.array(word["start" if first else "bias"])
        u = constant + np.array(membranes)
        if dut.adds:
            u = u + np.array(word["factor"]) * spikes
        want.append((u.tolist(), word["theta"]))
    got = []

    async def bench(ctx):
        ctx.set(dut.first, first)
        for cycle in range(len(rows) + dut.latency):
            if cycle < len(rows):
                ctx.set(dut.constants, layout.const(rows[cycle][0]))
                ctx.set(dut.spikes, rows[cycle][1])
            if 1 <= cycle <= len(rows):  # membranes come a cycle later
                ctx.set(dut.membranes, rows[cycle - 1][2])
            if cycle >= dut.latency:
                u, theta = ctx.get(dut.u), ctx.get(dut.theta)
                got.append(([int(u[p]) for p in range(2)], [int(theta[p]) for p in range(2)]))
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert got == want
