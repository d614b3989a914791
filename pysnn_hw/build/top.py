# SPDX-License-Identifier: BSD-2-Clause
"""What surrounds an accelerator on a board: clocks, reset, pins, and the link to the host."""

import math
from typing import Any

from amaranth.hdl import ClockDomain, Const, DomainRenamer, Elaboratable, Module, Signal
from amaranth.lib import io, wiring
from amaranth.lib.fifo import AsyncFIFO
from amaranth.lib.wiring import In, Out

from pysnn_hw.errors import BoardError
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.boot import FlashBoot
from pysnn_hw.hdl.clock import ClockGenerator, PllSettings
from pysnn_hw.hdl.crossing import StreamCrossing
from pysnn_hw.hdl.link.cycle_counter import count_cycles
from pysnn_hw.hdl.link.link_top import LinkTop
from pysnn_hw.hdl.link.network import link_parameters
from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.hdl.link.result_buffer import ResultBuffer
from pysnn_hw.hdl.load import LoadArbiter
from pysnn_hw.plan.board import Board

__all__ = ["BoardTop", "LinkedAccelerator", "linked", "uart_divisor"]


_FLASH_WAKE_SECONDS = 35e-6


def uart_divisor(board: Board) -> int:
    """Cycles of the board's oscillator in one UART bit.

    Raises
    ------
    BoardError
        If the board has no UART.
    """
    if board.link is None:
        raise BoardError(f"board {board.name}", "has no UART link, its processor is the host")
    return round(board.clock.hz / board.link.baud)


def linked(accelerator: Accelerator, board: Board) -> "LinkedAccelerator":
    """An accelerator behind the link of a board.

    Memories without initial contents are filled from the board's flash if there is one, else by
    the host. The link does not tell the accelerator's clock: it is known only after routing.
    """
    width = accelerator.load_decoder.address_width if accelerator.booted else 0
    parameters = link_parameters(accelerator.net, divisor=uart_divisor(board), address_width=width)
    flash = None
    if accelerator.booted and board.flash:
        flash = FlashBoot(
            board.flash.boot_offset,
            accelerator.load_decoder.length,
            wake_cycles=math.ceil(_FLASH_WAKE_SECONDS * board.clock.hz),
        )
    return LinkedAccelerator(accelerator, parameters, flash)


class LinkedAccelerator(wiring.Component):  # type: ignore[misc]
    """An accelerator in domain ``sync`` and the link to its host in domain ``board``.

    The link runs from the oscillator, so its baud rate and time-outs are exact and do not depend
    on the clock that the accelerator turns out to reach. Images cross in an asynchronous FIFO,
    results and boot bytes one by one (`StreamCrossing`).
    The cycles that the link tells are those of the accelerator.

    Parameters
    ----------
    accelerator
        As for `pysnn_hw.hdl.link.uart_top.UartTop`.
    parameters
        See `LinkParameters`; clock and divisor are those of the oscillator. An
        ``address_width`` says that the accelerator has memories to be loaded.
    flash
        Reads their contents from the board's flash at power-up; without it the host must
        upload them.

    Members
    -------
    rx, tx : In(1), Out(1)
        UART pins.
    flash_cs, flash_clk, flash_mosi, flash_miso
        Pins of the flash. Only with ``flash``.
    """

    crossing_depth = 4

    def __init__(
        self,
        accelerator: wiring.Component,
        parameters: LinkParameters,
        flash: FlashBoot | None = None,
    ) -> None:
        if flash and not parameters.address_width:
            raise ValueError("there is a flash to load from, but no memory to load")
        self.accelerator, self.parameters, self.flash = accelerator, parameters, flash
        members = {"rx": In(1, init=1), "tx": Out(1, init=1)}
        if flash:
            members |= {f"flash_{pin}": Out(1) for pin in ("cs", "clk", "mosi")}
            members["flash_miso"] = In(1)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        """Connects the parts."""
        m = Module()
        m.submodules.accelerator = accelerator = self.accelerator
        link = LinkTop(self.parameters)
        m.submodules.link = DomainRenamer("board")(link)
        m.d.comb += [link.rx.eq(self.rx), self.tx.eq(link.tx)]
        self._cross(m, "image", link.image, "board", accelerator.i, "sync")
        m.submodules.results = results = ResultBuffer(self.parameters)
        m.d.comb += [
            results.i.valid.eq(accelerator.o.valid),
            accelerator.o.ready.eq(results.i.ready),
            *_assign_fields(results.i.p, accelerator.o.p),
            # Crosses without synchroniser: the link reads it when it stands still.
            link.cycles.eq(count_cycles(m, accelerator)),
        ]
        self._hand_over(m, "result", results.o, "sync", link.result, "board")
        if self.parameters.address_width:
            self._load(m, link, accelerator)
        return m

    def _load(self, m: Module, link: LinkTop, accelerator: Any) -> None:
        arbiter = LoadArbiter(accelerator.load_decoder.length, flash=self.flash is not None)
        m.submodules.arbiter = DomainRenamer("board")(arbiter)
        wiring.connect(m, link.boot, arbiter.link)
        self._hand_over(m, "boot", arbiter.o, "board", accelerator.boot, "sync")
        m.d.comb += link.loaded.eq(arbiter.loaded)
        if self.flash:
            m.submodules.flash = DomainRenamer("board")(self.flash)
            wiring.connect(m, self.flash.o, arbiter.flash)
            m.d.comb += [
                arbiter.flash_done.eq(self.flash.done),
                arbiter.flash_error.eq(self.flash.error),
                self.flash_cs.eq(self.flash.cs),
                self.flash_clk.eq(self.flash.clk),
                self.flash_mosi.eq(self.flash.mosi),
                self.flash.miso.eq(self.flash_miso),
            ]

    def _hand_over(
        self, m: Module, name: str, source: Any, source_domain: str, sink: Any, sink_domain: str
    ) -> None:
        """A stream whose transfers are far apart, or which nobody waits for."""
        crossing = StreamCrossing(sink.p.shape(), source=source_domain, sink=sink_domain)
        m.submodules[f"{name}_crossing"] = crossing
        m.d.comb += [
            *_assign_fields(crossing.i.p, source.p),
            crossing.i.valid.eq(source.valid),
            source.ready.eq(crossing.i.ready),
            sink.p.eq(crossing.o.p),
            sink.valid.eq(crossing.o.valid),
            crossing.o.ready.eq(sink.ready),
        ]

    def _cross(
        self, m: Module, name: str, source: Any, source_domain: str, sink: Any, sink_domain: str
    ) -> None:
        """A stream that must not be slower than the slower clock."""
        layout = sink.p.shape()
        m.submodules[f"{name}_crossing"] = fifo = AsyncFIFO(
            width=layout.size,
            depth=self.crossing_depth,
            w_domain=source_domain,
            r_domain=sink_domain,
        )
        word = Signal(layout, name=f"{name}_word")
        m.d.comb += _assign_fields(word, source.p)
        m.d.comb += [
            fifo.w_data.eq(word),
            fifo.w_en.eq(source.valid),
            source.ready.eq(fifo.w_rdy),
            sink.p.eq(fifo.r_data),
            sink.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(sink.ready),
        ]


def _assign_fields(target: Any, source: Any) -> list[Any]:
    # By name: the layouts agree in the names of their fields, not always in the order.
    return [target[name].eq(source[name]) for name, _ in target.shape()]


class BoardTop(Elaboratable):  # type: ignore[misc]
    """A design on the pins of a board.

    Parameters
    ----------
    design
        Elaboratable with ``rx`` and ``tx`` that uses the domains ``sync`` and ``board``; if its
        ``flash`` is not None, also with the flash pins of `LinkedAccelerator`.
    board
        See `Board`.
    pll
        What ``sync`` is made by.
    """

    def __init__(self, design: Any, board: Board, pll: PllSettings) -> None:
        if board.link is None:
            raise ValueError(f"board {board.name} has no link, and so no pins for a design")
        self.design, self.board, self.pll = design, board, pll
        self.uart = board.link.resource

    def elaborate(self, platform: Any) -> Module:
        """Connects the parts."""
        m = Module()
        pin = platform.request(self.board.clock.resource, 0, dir="-")
        # A PLL of the iCE40 at a pad is its own input buffer.
        at_pad = self.pll.kind == "SB_PLL40_2_PAD"
        clock_input = pin.io if at_pad else _input(m, "oscillator", pin)
        m.domains.board = ClockDomain(reset_less=True)
        m.domains.sync = ClockDomain()
        m.submodules.clocks = ClockGenerator(self.pll, clock_input)
        m.submodules.design = self.design
        uart = platform.request(self.uart, 0, dir="-")
        m.d.comb += self.design.rx.eq(_input(m, "rx", uart.rx))
        _output(m, "tx", uart.tx, self.design.tx)
        if getattr(self.design, "flash", None) and self.board.flash:
            flash = platform.request(self.board.flash.resource, 0, dir="-")
            _output(m, "flash_cs", flash.cs, self.design.flash_cs)
            _output(m, "flash_clk", flash.clk, self.design.flash_clk)
            _output(m, "flash_mosi", flash.copi, self.design.flash_mosi)
            m.d.comb += self.design.flash_miso.eq(_input(m, "flash_miso", flash.cipo))
            for name in ("wp", "hold"):  # inactive, where the board has these pins
                if hasattr(flash, name):
                    _output(m, f"flash_{name}", getattr(flash, name), Const(0))
        return m


def _input(m: Module, name: str, port: Any) -> Any:
    m.submodules[f"{name}_pin"] = pin = io.Buffer("i", port)
    return pin.i


def _output(m: Module, name: str, port: Any, level: Any) -> None:
    m.submodules[f"{name}_pin"] = pin = io.Buffer("o", port)
    m.d.comb += pin.o.eq(level)
