# SPDX-License-Identifier: BSD-2-Clause
"""An accelerator with AXI4-Stream ports, between the public models of cocotbext-axi.

The environment variable PYSNN_VECTORS names a JSON file: ``images`` (words to send, image by
image), ``scores`` (words expected, per image) and ``users`` (``tuser`` expected with ``tlast``).
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
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource


def _pauses(seed: int, chance: float) -> Iterator[bool]:
    rng = random.Random(seed)
    return (rng.random() < chance for _ in itertools.count())


async def _exchange(dut: Any, pause_source: float, pause_sink: float) -> None:
    vectors = json.loads(Path(os.environ["PYSNN_VECTORS"]).read_text())
    Clock(dut.clk, 10, unit="ns").start()
    s_axis, m_axis = (AxiStreamBus.from_prefix(dut, name) for name in ("s_axis", "m_axis"))
    source = AxiStreamSource(s_axis, dut.clk, dut.rst, byte_lanes=1)
    sink = AxiStreamSink(m_axis, dut.clk, dut.rst, byte_lanes=1)
    if pause_source:
        source.set_pause_generator(_pauses(cocotb.RANDOM_SEED, pause_source))
    if pause_sink:
        sink.set_pause_generator(_pauses(cocotb.RANDOM_SEED + 1, pause_sink))
    dut.rst.value = 1
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0

    for image in vectors["images"]:
        await source.send(AxiStreamFrame(image))
    for k, (scores, user) in enumerate(zip(vectors["scores"], vectors["users"], strict=True)):
        frame = await sink.recv(compact=False)
        assert list(frame.tdata) == scores, f"image {k}: scores {frame.tdata}, expected {scores}"
        assert frame.tuser[-1] == user, f"image {k}: tuser {frame.tuser[-1]}, expected {user}"
    for _ in range(300):
        await RisingEdge(dut.clk)
    assert sink.empty(), "a result too many"


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def full_speed(dut: Any) -> None:
    """Nobody pauses."""
    await _exchange(dut, 0.0, 0.0)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def slow_source(dut: Any) -> None:
    """Integers come with random gaps."""
    await _exchange(dut, 0.6, 0.0)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def slow_sink(dut: Any) -> None:
    """Scores are taken now and then only."""
    await _exchange(dut, 0.1, 0.9)
