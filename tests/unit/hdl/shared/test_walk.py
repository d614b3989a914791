# SPDX-License-Identifier: BSD-2-Clause
"""Reader and walker together: every accumulate step of every pass, from spikes in a memory."""

import random

import numpy as np
import pytest
from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from pysnn_hw.hdl.gate import StreamGate
from pysnn_hw.hdl.shared.layouts import pass_layout, pass_words, spike_bits, turns
from pysnn_hw.hdl.shared.reader import SpikeReader
from pysnn_hw.hdl.shared.walker import LayerWalker
from pysnn_hw.plan.layer_cycles import pass_cycles
from tests.unit.hdl.shared.programs import network, program


class Both(wiring.Component):
    """Reader, a gate that may hold it up, and walker."""

    def __init__(self, compiled):
        self.reader = SpikeReader(compiled, family="ecp5")
        self.walker = LayerWalker(compiled)
        members = {
            name: self.reader.signature.members[name]
            for name in (
                "start",
                "descriptor",
                "source",
                "read_address",
                "read_data",
                "some",
            )
        }
        members |= {name: self.walker.signature.members[name] for name in ("valid", "step", "done")}
        super().__init__({**members, "pause": In(1), "waiting": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader, m.submodules.walker = self.reader, self.walker
        m.submodules.gate = gate = StreamGate(self.reader.o.p.shape())
        wiring.connect(m, self.reader.o, gate.i)
        wiring.connect(m, gate.o, self.walker.i)
        m.d.comb += [
            gate.pause.eq(self.pause),
            self.waiting.eq(self.reader.o.valid),
            self.walker.descriptor.eq(self.descriptor),
            self.reader.descriptor.eq(self.descriptor),
        ]
        for name in ("start", "source", "read_data", "some"):
            m.d.comb += getattr(self.reader, name).eq(getattr(self, name))
        m.d.comb += self.read_address.eq(self.reader.read_address)
        for name in ("valid", "step", "done"):
            m.d.comb += Value.cast(getattr(self, name)).eq(getattr(self.walker, name))
        return m


def expected(compiled, p, spikes):
    """Steps of a pass from its tables: (touched words, weight, turns, value), in order."""
    g, found = p.geometry, []
    for y in range(spikes.shape[1]):
        for x in range(spikes.shape[2]):
            for c in np.flatnonzero(spikes[:, y, x]):
                row, column = g.y.rows[y], g.x.rows[x]
                for sy in range(row.steps):
                    for sx in range(column.steps):
                        for group in range(g.group_steps):
                            found.append(step(compiled, p, (row, sy), (column, sx), int(c), group))
                            found[-1] += (int(spikes[c, y, x]),)
    return found


def step(compiled, p, y, x, c, group):
    g = p.geometry
    (row, sy), (column, sx) = y, x
    target = c // compiled.lanes * g.group_step + group
    touched, turned = [], []
    for k, j, i in np.ndindex(g.group_banks, g.y.banks, g.x.banks):
        bank = (k * g.y.banks + j) * g.x.banks + i
        slot = (j - row.turn) % g.y.banks * g.x.banks + (i - column.turn) % g.x.banks
        inside = row.valid[sy][j] and column.valid[sx][i]
        if inside and group * g.group_banks + k < g.out_groups:
            tile = (row.tiles[j] + sy) * g.x.tiles + column.tiles[i] + sx
            touched.append((bank, tile * g.tile_words + target))
            turned.append((bank, k * g.y.banks * g.x.banks + slot))
    weight = (row.weight + sy) * len(g.x.taps) + column.weight + sx
    weight = (weight * g.group_steps + group) * g.source_channels + c + p.weight_base
    return (tuple(touched), weight, tuple(turned))


@pytest.mark.parametrize("banks", [(1, 1), (1, 3), (3, 3)])
@pytest.mark.parametrize("shape", ["residual", "wide"])
@pytest.mark.parametrize("pauses", [0.0, 0.6])
@pytest.mark.parametrize("lanes", [2, 16])
def test_every_step_of_every_pass(shape, banks, pauses, lanes):
    """And, without pauses, when the pass ends, as `pass_cycles` says."""
    compiled = program(network(shape, 1, 3, scale=lanes // 2), lanes=lanes, banks=banks)
    rng = np.random.default_rng(sum(banks))
    draw = random.Random(1)
    layout, words, bits = pass_layout(compiled), pass_words(compiled), spike_bits(compiled)
    dut, known = Both(compiled), turns(compiled)[0]
    got, want, cycles, predicted = [], [], [], []

    async def bench(ctx):
        memory, fetched = {}, [0] * SpikeReader.latency
        for p, word in zip(compiled.passes, words, strict=True):
            channels, height, width = p.geometry.source_shape
            spikes = rng.integers(0, 4, (channels, height, width))
            spikes[rng.random(spikes.shape) < rng.choice([0.2, 0.7, 0.95])] = 0
            want.append(expected(compiled, p, spikes))
            predicted.append(pass_cycles(p, spikes, lanes))
            base = int(rng.integers(0, 5))
            grouped = spikes.transpose(1, 2, 0).reshape(-1, compiled.lanes)
            for k, values in enumerate(grouped):
                memory[base + k] = sum(int(v) << bits * i for i, v in enumerate(values))
            ctx.set(dut.descriptor, layout.const(word))
            ctx.set(dut.source, base)
            ctx.set(dut.start, 1)
            found, done, taken = [], False, 0
            while not done:
                ctx.set(dut.read_data, fetched[0])
                ctx.set(dut.some, fetched[0] != 0)
                ctx.set(dut.pause, draw.random() < pauses)
                fetched = [*fetched[1:], memory.get(ctx.get(dut.read_address), 0)]
                if ctx.get(dut.valid):
                    s = ctx.get(dut.step)
                    touched = tuple(
                        (b, int(s.address[b]))
                        for b in range(compiled.banks)
                        if int(s.mask) >> b & 1
                    )
                    slots = known[int(s.turn)]
                    turned = tuple((b, slots[b]) for b, _ in touched)
                    found.append((touched, int(s.weight), turned, int(s.value)))
                done = bool(ctx.get(dut.done))
                await ctx.tick()
                ctx.set(dut.start, 0)
                taken += 1
            got.append(found)
            cycles.append(taken)

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert sum(len(steps) for steps in want) > 300
    for found, steps in zip(got, want, strict=True):
        assert found == steps
    if pauses == 0:
        assert [taken - 1 for taken in cycles] == predicted
        # A step a cycle, but for the words that are dropped and the pipeline's length.
        for taken, p, steps in zip(cycles, compiled.passes, want, strict=True):
            assert taken <= max(len(steps), p.source.words) + p.source.words + 13
