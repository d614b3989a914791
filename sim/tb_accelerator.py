# SPDX-License-Identifier: BSD-2-Clause
"""An accelerator against golden: every spike, every final membrane, every score.

The environment variable PYSNN_VECTORS names a JSON file: ``inputs`` (a list of words per image),
``outputs``, ``steps`` (timesteps that count per image, if there is early exit), ``boot`` (words for
the memories that start empty) and ``probes`` (``port``, ``words``, ``spikes``, ``membranes``);
words are integers, so nothing here depends on widths or formats.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from sim.streams import ProbeMonitor, collect, drive

_QUIET_CYCLES = 100
_LATE_CYCLES = 100_000  # results may leave before an image's last timesteps are through


def _vectors() -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads(Path(os.environ["PYSNN_VECTORS"]).read_text())
    return vectors


async def _reset(dut: Any) -> None:
    dut.i__valid.value = dut.i__payload.value = dut.o__ready.value = dut.pause.value = 0
    if hasattr(dut, "boot__valid"):
        dut.boot__valid.value = dut.boot__payload.value = 0
    dut.rst.value = 1
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)


async def _boot(dut: Any, words: Sequence[int]) -> None:
    """Fill the memories that start empty, if there are any."""
    if words:
        await drive(dut, "boot", words, random.Random(0), 1.0)
        while not dut.loaded.value:
            await RisingEdge(dut.clk)


async def _hold_up(dut: Any, rng: random.Random, chance: float) -> None:
    """Pause each stream inside, at random in every cycle, until cancelled."""
    while True:
        bits = (rng.random() < chance for _ in range(len(dut.pause)))
        dut.pause.value = sum(bit << k for k, bit in enumerate(bits))
        await RisingEdge(dut.clk)


async def _exits(dut: Any, steps: list[int]) -> None:
    """Note how many timesteps count for each image, until cancelled."""
    while True:
        await ReadOnly()
        if dut.readout_exit.value:
            steps.append(int(dut.readout_steps.value))
        await RisingEdge(dut.clk)


async def _run(dut: Any, offer: float, take: float, pause: float = 0.0) -> None:
    vectors = _vectors()
    await _reset(dut)
    await _boot(dut, vectors["boot"])
    rng = random.Random(cocotb.RANDOM_SEED)
    monitors = [
        ProbeMonitor(dut, p["port"], p["spikes"], p["membranes"], p["words"])
        for p in vectors["probes"]
    ]
    watches = [cocotb.start_soon(monitor.watch()) for monitor in monitors]
    steps: list[int] = []
    if vectors["steps"]:
        watches.append(cocotb.start_soon(_exits(dut, steps)))
    words = [word for image in vectors["inputs"] for word in image]
    sender = cocotb.start_soon(drive(dut, "i", words, rng, offer))
    holder = cocotb.start_soon(_hold_up(dut, random.Random(rng.random()), pause))
    got = await collect(dut, "o", len(vectors["outputs"]), rng, take)
    await sender
    holder.cancel()
    dut.pause.value = 0
    dut.o__ready.value = 1
    for _ in range(_LATE_CYCLES if vectors["steps"] else 0):
        if all(monitor.left == 0 for monitor in monitors):
            break
        await RisingEdge(dut.clk)
    for _ in range(_QUIET_CYCLES):
        await RisingEdge(dut.clk)
        assert not dut.o__valid.value, "a score too many"
    for watch in watches:
        watch.cancel()
    for k, (have, want) in enumerate(zip(got, vectors["outputs"], strict=True)):
        assert have == want, f"output transfer {k}: expected {want:#x}, got {have:#x}"
    assert steps == vectors["steps"], f"steps: expected {vectors['steps']}, got {steps}"
    for monitor in monitors:
        assert monitor.left == 0, f"{monitor.port}: {monitor.left} words missing"


@cocotb.test()
async def full_speed(dut: Any) -> None:
    """No gaps, output always taken."""
    Clock(dut.clk, 10, unit="ns").start()
    await _run(dut, 1.0, 1.0)


@cocotb.test()
async def starved(dut: Any) -> None:
    """Long random gaps between inputs."""
    Clock(dut.clk, 10, unit="ns").start()
    await _run(dut, 0.2, 0.8)


@cocotb.test()
async def stalled(dut: Any) -> None:
    """An output that is rarely taken: back-pressure reaches up to the input."""
    Clock(dut.clk, 10, unit="ns").start()
    await _run(dut, 1.0, 0.02)


@cocotb.test()
async def held_up(dut: Any) -> None:
    """Every stream between encoder, cores and readout pauses at random."""
    Clock(dut.clk, 10, unit="ns").start()
    await _run(dut, 0.9, 0.9, 0.7)


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """A reset while images are inside leaves nothing behind."""
    Clock(dut.clk, 10, unit="ns").start()
    vectors = _vectors()
    await _reset(dut)
    await _boot(dut, vectors["boot"])
    rng = random.Random(cocotb.RANDOM_SEED)
    words = [word for image in vectors["inputs"] for word in image]
    sender = cocotb.start_soon(drive(dut, "i", words[: len(words) * 2 // 3], rng, 0.9))
    for _ in range(len(words)):
        await RisingEdge(dut.clk)
    sender.cancel()
    await _run(dut, 1.0, 0.9)
