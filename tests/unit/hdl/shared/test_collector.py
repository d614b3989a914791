# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random

import numpy as np
import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.shared.collector import Collector
from pysnn_hw.plan.layers import COPIES
from tests.unit.hdl.shared.test_core import events


@pytest.mark.parametrize("writes", [1.0, 0.4])
@pytest.mark.parametrize("shape", [(4, 3, 5), (2, 1, 1), (6, 4, 2)])
@pytest.mark.parametrize("timesteps", [1, 3])
def test_words_lie_in_order_whatever_is_silent(shape, timesteps, writes):
    rng, draw = np.random.default_rng(sum(shape)), random.Random(timesteps)
    images, lanes, base = 5, 2, 7
    spikes = rng.integers(0, 4, (images, timesteps, *shape))
    spikes[rng.random(spikes.shape) < 0.6] = 0
    spikes[1] = 0
    spikes[2] = 3
    words = shape[0] // lanes * shape[1] * shape[2]
    depth = base + COPIES * timesteps * words
    dut = Collector(shape, (0, 3), lanes=lanes, bits=2, base=base, depth=depth, timesteps=timesteps)
    items, memory = events(spikes, timesteps), {}
    room, seen, held = 0, [], 0

    async def bench(ctx):
        nonlocal room, held
        position, quiet = 0, 0
        while len(seen) < images and quiet < 2000:
            quiet += 1
            if draw.random() < 0.1 and room < images:
                room += 1
            free = room > len(seen) and held < COPIES
            ctx.set(dut.free, free)
            offer = position < len(items) and draw.random() < 0.8
            ctx.set(dut.i.valid, offer)
            if offer:
                ctx.set(dut.i.payload, items[position])
            ready = draw.random() < writes
            ctx.set(dut.write.ready, ready)
            if offer and ctx.get(dut.i.ready):
                position += 1
            if ready and ctx.get(dut.write.valid):
                assert free
                word = ctx.get(dut.write.p.word)
                values = [int(word[p]) for p in range(lanes)]
                memory[int(ctx.get(dut.write.p.address))] = values
                assert ctx.get(dut.write.p.some) == any(values)
            if ctx.get(dut.filled):
                number = len(seen)
                start = base + number % COPIES * timesteps * words
                seen.append([memory.get(start + k) for k in range(timesteps * words)])
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    want = spikes.transpose(0, 1, 3, 4, 2).reshape(images, -1, lanes).tolist()
    assert seen == want


def test_lanes_divide_channels_and_words_fit():
    common = {"bits": 2, "base": 0, "timesteps": 1}
    with pytest.raises(ValueError, match="lanes must divide the 4 channels, not be 3"):
        Collector((4, 2, 2), (0, 3), lanes=3, depth=99, **common)
    with pytest.raises(ValueError, match="words up to 16 do not fit a memory of 15"):
        Collector((4, 2, 2), (0, 3), lanes=2, depth=15, **common)
