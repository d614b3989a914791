# SPDX-License-Identifier: BSD-2-Clause
"""What the sequencer starts, in which order and at which addresses, against the program."""

import random

import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.shared.sequencer import LayerSequencer
from tests.unit.hdl.shared.programs import network, program

IMAGES = 3


def address(region, timesteps, step, image):
    """Where the spikes of a step lie; those from outside in two places by turns."""
    copy = image % 2 if region.outside else 0
    return region.base + (copy * timesteps + step) * region.words


def expected(compiled):
    timesteps, found = compiled.net.timesteps, []
    for image in range(IMAGES):
        for number, layer in enumerate(compiled.layers):
            for step in range(timesteps):
                found += [
                    ("read", number, address(p.source, timesteps, step, image))
                    for p in layer.passes
                ]
                residual = target = None
                if layer.residual is not None:
                    residual = address(layer.residual.source, timesteps, step, image)
                if layer.target is not None:
                    target = address(layer.target, timesteps, step, image)
                found.append(("fire", number, residual, target, step == 0, step == timesteps - 1))
        found.append(("release",))
    return found


@pytest.mark.parametrize("timesteps", [1, 3])
@pytest.mark.parametrize("shape", ["residual", "wide", "chain"])
def test_runs_the_program(shape, timesteps):
    compiled = program(network(shape, timesteps, 3))
    dut, draw = LayerSequencer(compiled), random.Random(timesteps)
    found, cleared = [], []

    async def bench(ctx):
        reply, wait, released = "", 0, 0
        while released < IMAGES:
            ctx.set(dut.available, draw.random() < 0.3)
            due = bool(reply) and wait == 0
            ctx.set(dut.accumulated, due and reply == "accumulated")
            ctx.set(dut.fired, due and reply == "fired")
            wait -= 1
            if due:
                reply = ""
            number = ctx.get(dut.number)
            if ctx.get(dut.clearing):
                assert ctx.get(dut.scanning)
                cleared.append(ctx.get(dut.clear_address))
            if ctx.get(dut.read):
                found.append(("read", number, ctx.get(dut.source)))
                assert not ctx.get(dut.scanning)
                reply, wait = "accumulated", draw.randint(1, 9)
            if ctx.get(dut.fire):
                layer = compiled.layers[number]
                residual = ctx.get(dut.residual) if layer.residual is not None else None
                target = ctx.get(dut.target) if layer.target is not None else None
                assert ctx.get(dut.layer.keeps) == (layer.target is not None)
                assert ctx.get(dut.layer.sends) == layer.sends
                first, final = bool(ctx.get(dut.first)), bool(ctx.get(dut.final))
                found.append(("fire", number, residual, target, first, final))
                reply, wait = "fired", draw.randint(1, 9)
            if ctx.get(dut.release):
                found.append(("release",))
                released += 1
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert cleared == list(range(compiled.bank_words))
    assert found == expected(compiled)
