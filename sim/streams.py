# SPDX-License-Identifier: BSD-2-Clause
"""Drivers and monitors of Amaranth streams (`<name>__valid`, `__ready`, `__payload`) for cocotb."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from cocotb.triggers import ReadOnly, RisingEdge


async def drive(
    dut: Any, name: str, words: Sequence[int], rng: random.Random, offer: float
) -> None:
    """Send ``words``; between transfers pause for a random time (``offer``: chance per cycle).

    An offer once made stands until it is taken.
    """
    valid, ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
    payload = getattr(dut, f"{name}__payload")
    for word in words:
        while rng.random() >= offer:
            await RisingEdge(dut.clk)
        valid.value = 1
        payload.value = word
        while True:
            await ReadOnly()
            taken = bool(ready.value)
            await RisingEdge(dut.clk)
            if taken:
                break
        valid.value = 0


async def collect(dut: Any, name: str, count: int, rng: random.Random, take: float) -> list[int]:
    """Take ``count`` transfers with random back-pressure (``take``: chance of ready per cycle).

    Fails if an offer is withdrawn or changed before it is taken.
    """
    valid, ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
    payload = getattr(dut, f"{name}__payload")
    words: list[int] = []
    offered = None
    while len(words) < count:
        willing = rng.random() < take
        ready.value = willing
        await ReadOnly()
        word = int(payload.value) if valid.value else None
        assert offered is None or word == offered, f"{name}: offer {offered} became {word}"
        offered = None if willing else word
        await RisingEdge(dut.clk)
        if willing and word is not None:
            words.append(word)
    ready.value = 0
    return words


class ProbeMonitor:
    """Compares every word that one population fires, as it fires.

    Parameters
    ----------
    dut, port
        The design, and the prefix of the probe's ports.
    spikes, membranes
        Expected words: all spikes in order; the membranes of last timesteps in order.
    words
        Words per timestep.
    """

    def __init__(
        self, dut: Any, port: str, spikes: Sequence[int], membranes: Sequence[int], words: int
    ) -> None:
        self.dut, self.port, self.words = dut, port, words
        self.expected = {"spikes": iter(spikes), "membranes": iter(membranes)}
        self.left = len(spikes)
        self.fired = 0

    def _check(self, what: str, expected: Iterator[int]) -> None:
        got = int(getattr(self.dut, f"{self.port}__{what}").value)
        want = next(expected, None)
        at = f"{self.port}: {what}, word {self.fired % self.words}, step {self.fired // self.words}"
        assert got == want, f"{at}: expected {want}, got {got}"

    async def watch(self) -> None:
        """Run until cancelled."""
        valid, final = (getattr(self.dut, f"{self.port}__{n}") for n in ("valid", "final"))
        index = getattr(self.dut, f"{self.port}__index")
        while True:
            await ReadOnly()
            if valid.value:
                assert int(index.value) == self.fired % self.words, f"{self.port}: out of turn"
                self._check("spikes", self.expected["spikes"])
                if final.value:
                    self._check("membranes", self.expected["membranes"])
                self.fired += 1
                self.left -= 1
            await RisingEdge(self.dut.clk)
