# SPDX-License-Identifier: BSD-2-Clause
"""A core with AXI ports, between the public models of cocotbext-axi.

The environment variable PYSNN_VECTORS names a JSON file: ``packets`` (of words, each of any number
of images), ``results`` (words expected, per packet), ``registers`` (offset and value of those that
never change), ``control``, ``status``, ``images`` and ``errors`` (offsets), and ``malformed``
(images of which the results say so).
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)


class Bench:
    """The core with a master of its registers and both ends of a DMA engine."""

    def __init__(self, dut: Any, pause_source: float, pause_sink: float) -> None:
        self.vectors = json.loads(Path(os.environ["PYSNN_VECTORS"]).read_text())
        self.dut = dut
        Clock(dut.aclk, 10, unit="ns").start()
        reset = {"reset": dut.aresetn, "reset_active_level": False}
        self.bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk, **reset)
        lanes = len(dut.s_axis_tdata) // self.vectors["lane_bits"]
        s_axis, m_axis = (AxiStreamBus.from_prefix(dut, name) for name in ("s_axis", "m_axis"))
        self.source = AxiStreamSource(s_axis, dut.aclk, byte_lanes=lanes, **reset)
        self.sink = AxiStreamSink(m_axis, dut.aclk, **reset)
        if pause_source:
            self.source.set_pause_generator(_pauses(cocotb.RANDOM_SEED, pause_source))
        if pause_sink:
            self.sink.set_pause_generator(_pauses(cocotb.RANDOM_SEED + 1, pause_sink))

    async def cycles(self, count: int) -> None:
        for _ in range(count):
            await RisingEdge(self.dut.aclk)

    async def start(self) -> None:
        self.dut.aresetn.value = 0
        await self.cycles(4)
        self.dut.aresetn.value = 1
        await self.cycles(2)

    async def read(self, offset: int) -> int:
        return int.from_bytes((await self.bus.read(offset, 4)).data, "little")

    async def exchange(self) -> None:
        """All packets in, all their results out."""
        for packet in self.vectors["packets"]:
            await self.source.send(AxiStreamFrame(packet))
        for k, expected in enumerate(self.vectors["results"]):
            frame = await self.sink.recv()
            words = memoryview(bytes(frame.tdata)).cast("I").tolist()
            assert words == expected, f"packet {k}: {words}, expected {expected}"
        await self.cycles(300)
        assert self.sink.empty(), "a result too many"


def _pauses(seed: int, chance: float) -> Iterator[bool]:
    rng = random.Random(seed)
    return (rng.random() < chance for _ in itertools.count())


async def _whole(dut: Any, pause_source: float, pause_sink: float) -> None:
    bench = Bench(dut, pause_source, pause_sink)
    vectors = bench.vectors
    await bench.start()
    for offset, value in vectors["registers"]:
        assert await bench.read(offset) == value, f"register {offset:#x}"
    await bench.exchange()
    assert await bench.read(vectors["images"]) == vectors["count"]
    assert await bench.read(vectors["errors"]) == vectors["malformed"]
    assert await bench.read(vectors["status"]) == (2 if vectors["malformed"] else 0)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def full_speed(dut: Any) -> None:
    """Nobody pauses."""
    await _whole(dut, 0.0, 0.0)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def slow_both(dut: Any) -> None:
    """Words come with gaps, results are taken now and then."""
    await _whole(dut, 0.4, 0.7)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def reset_by_register(dut: Any) -> None:
    """In the middle of an image: what was inside is gone, and all works as before."""
    bench = Bench(dut, 0.0, 0.0)
    vectors = bench.vectors
    await bench.start()
    await bench.source.send(AxiStreamFrame(vectors["packets"][0][:3]))
    await bench.cycles(10)
    assert await bench.read(vectors["status"]) & 1
    await bench.bus.write(vectors["control"], (1).to_bytes(4, "little"))
    assert await bench.read(vectors["control"]) == 1
    while await bench.read(vectors["control"]):
        pass
    assert await bench.read(vectors["status"]) == 0
    await bench.exchange()
    assert await bench.read(vectors["images"]) == vectors["count"]
