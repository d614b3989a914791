# SPDX-License-Identifier: BSD-2-Clause
"""A make-believe PYNQ: registers and DMA engine of an `AxiCore` in Amaranth's simulator."""

from __future__ import annotations

import random
import sys
import types
from collections import deque
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.sim import Simulator

from pysnn_hw.build.vivado.core import driver_text

PATIENCE = 200_000
"""Steps of the simulator within which a register must answer."""


class Clocked(wiring.Component):
    """The core with its clock and reset from the simulator's."""

    def __init__(self, core: Any) -> None:
        self.core = core
        members = dict(core.signature.members.items())
        super().__init__({k: v for k, v in members.items() if k not in ("aclk", "aresetn")})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.host = ClockDomain()
        m.submodules.core = core = self.core
        m.d.comb += [core.aclk.eq(ClockSignal("host")), core.aresetn.eq(~ResetSignal("host"))]
        for name, member in self.signature.members.items():
            inner, outer = getattr(core, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if member.flow is wiring.In else outer.eq(inner)
        return m


class SimulatedBoard:
    """Processor and DMA engine around a core; time passes while they wait."""

    def __init__(self, core: Any, *, offer: float = 0.8, take: float = 0.6) -> None:
        self.dut, self.rng = Clocked(core), random.Random(7)
        self.requests: deque[tuple[str, int, int]] = deque()
        self.replies: deque[int] = deque()
        self.outgoing: deque[tuple[int, bool]] = deque()
        self.incoming: list[tuple[int, bool]] = []
        self.receiving = False
        self.paces = offer, take

    @cached_property
    def sim(self) -> Simulator:
        """Made when time first passes."""
        sim = Simulator(self.dut)
        sim.add_clock(1e-8, domain="host")
        for bench in (self._bus, self._source(self.paces[0]), self._sink(self.paces[1])):
            sim.add_testbench(bench, background=True)
        sim.add_testbench(self._for_ever)
        return sim

    async def _for_ever(self, ctx: Any) -> None:
        while True:
            await ctx.tick("host")

    async def _bus(self, ctx: Any) -> None:
        dut = self.dut
        ctx.set(dut.s_axi_bready, 1)
        ctx.set(dut.s_axi_rready, 1)
        while True:
            if not self.requests:
                await ctx.tick("host")
                continue
            kind, address, value = self.requests.popleft()
            channel = "ar" if kind == "read" else "aw"
            ctx.set(getattr(dut, f"s_axi_{channel}addr"), address)
            ctx.set(getattr(dut, f"s_axi_{channel}valid"), 1)
            ctx.set(dut.s_axi_wvalid, kind == "write")
            ctx.set(dut.s_axi_wdata, value)
            ctx.set(dut.s_axi_wstrb, 0b1111)
            ready = 0
            while not ready:
                _, _, ready = await ctx.tick("host").sample(getattr(dut, f"s_axi_{channel}ready"))
            ctx.set(getattr(dut, f"s_axi_{channel}valid"), 0)
            ctx.set(dut.s_axi_wvalid, 0)
            answer = dut.s_axi_rvalid if kind == "read" else dut.s_axi_bvalid
            valid = 0
            while not valid:
                _, _, valid, word = await ctx.tick("host").sample(answer, dut.s_axi_rdata)
            self.replies.append(word)

    def _source(self, offer: float) -> Any:
        async def bench(ctx: Any) -> None:
            dut = self.dut
            while True:
                if not self.outgoing or self.rng.random() >= offer:
                    await ctx.tick("host")
                    continue
                data, last = self.outgoing.popleft()
                ctx.set(dut.s_axis_tdata, data)
                ctx.set(dut.s_axis_tlast, last)
                ctx.set(dut.s_axis_tvalid, 1)
                ready = 0
                while not ready:
                    _, _, ready = await ctx.tick("host").sample(dut.s_axis_tready)
                ctx.set(dut.s_axis_tvalid, 0)

        return bench

    def _sink(self, take: float) -> Any:
        async def bench(ctx: Any) -> None:
            dut = self.dut
            while True:
                ready = self.receiving and self.rng.random() < take
                ctx.set(dut.m_axis_tready, ready)
                sample = ctx.tick("host").sample(
                    dut.m_axis_tvalid, dut.m_axis_tdata, dut.m_axis_tlast
                )
                _, _, valid, data, last = await sample
                if valid and ready:
                    self.incoming.append((data, bool(last)))
                    self.receiving = not last

        return bench

    def pass_time(self, steps: int = 50) -> None:
        for _ in range(steps):
            self.sim.advance()

    def access(self, kind: str, address: int, value: int = 0) -> int:
        self.requests.append((kind, address, value))
        for _ in range(PATIENCE):
            if self.replies:
                return self.replies.popleft()
            self.sim.advance()
        raise AssertionError(f"no answer to a {kind} of {address:#x}")


class Buffer(np.ndarray):  # type: ignore[type-arg]
    """What `pynq.allocate` gives."""

    freed = False

    def freebuffer(self) -> None:
        self.freed = True


def allocate(shape: tuple[int, ...], dtype: Any) -> Buffer:
    return np.full(shape, 99, dtype).view(Buffer)


class SendChannel:
    def __init__(self, board: SimulatedBoard) -> None:
        self.board = board

    def transfer(self, words: Buffer) -> None:
        assert not words.freed
        plain = [int(w) for w in words]
        self.board.outgoing.extend((w, k == len(plain) - 1) for k, w in enumerate(plain))

    @property
    def idle(self) -> bool:
        self.board.pass_time()
        return not self.board.outgoing

    def wait(self) -> None:
        assert self.idle


class ReceiveChannel:
    """Done when a packet has ended; it must be as long as the buffer."""

    def __init__(self, board: SimulatedBoard) -> None:
        self.board, self.target = board, None

    def transfer(self, target: Buffer) -> None:
        self.target, self.board.receiving = target, True
        self.board.incoming.clear()

    @property
    def idle(self) -> bool:
        self.board.pass_time()
        return not self.board.receiving

    def wait(self) -> None:
        words = [word for word, _ in self.board.incoming]
        assert len(words) == self.target.size
        assert not self.target.freed
        self.target.flat[:] = np.array(words, np.uint32).view(np.int32)


def pynq_on(board: SimulatedBoard) -> types.ModuleType:
    """A module that looks like PYNQ to the driver."""
    drivers: dict[str, type] = {}

    class DefaultIP:
        def __init_subclass__(cls) -> None:
            drivers.update(dict.fromkeys(cls.bindto, cls))

        def __init__(self, description: dict[str, Any]) -> None:
            self.base = description["phys_addr"]

        def read(self, offset: int = 0) -> int:
            return board.access("read", offset)

        def write(self, offset: int, value: int) -> None:
            board.access("write", offset, value)

    class Overlay:
        def __init__(self, bitfile: str) -> None:
            description = {"phys_addr": 0x43C00000, "type": "pysnn_hw:user:pysnn_accelerator:1.0"}
            self.accelerator = drivers[description["type"]](description)
            self.dma = types.SimpleNamespace(
                sendchannel=SendChannel(board), recvchannel=ReceiveChannel(board)
            )

    module = types.ModuleType("pynq")
    module.__dict__.update(DefaultIP=DefaultIP, Overlay=Overlay, allocate=allocate)
    return module


def load_driver(core: Any, pynq: types.ModuleType | None, monkeypatch: Any) -> types.ModuleType:
    """The generated driver, imported where ``pynq`` is installed (or is not, if None)."""
    monkeypatch.setitem(sys.modules, "pynq", pynq)
    module = types.ModuleType("pysnn_overlay")
    exec(compile(driver_text(core), "pysnn_overlay.py", "exec"), module.__dict__)
    return module
