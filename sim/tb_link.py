# SPDX-License-Identifier: BSD-2-Clause
"""A design with UART pins, between the public models of cocotbext-uart.

The environment variable PYSNN_VECTORS names a JSON file: ``divisor`` (clock cycles of a bit) and
``steps``. Each step has ``send``, a list of hexadecimal strings to send and numbers of bytes of
silence to keep, and ``replies``, the bytes that must come back, up to and including the zero byte
that ends each. The next step begins when they have come.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.uart import UartSink, UartSource

_CLOCK_NS = 10


async def _receive(sink: UartSink) -> bytes:
    """Bytes up to the next zero."""
    received = bytearray()
    while not received.endswith(b"\x00"):
        received += await sink.read(1)
    return bytes(received)


@cocotb.test(timeout_time=200, timeout_unit="ms")
async def steps(dut: Any) -> None:
    """Every step is answered as it must be."""
    vectors = json.loads(Path(os.environ["PYSNN_VECTORS"]).read_text())
    byte_cycles = 10 * vectors["divisor"]
    baud = 1e9 / (vectors["divisor"] * _CLOCK_NS)
    Clock(dut.clk, _CLOCK_NS, unit="ns").start()
    source, sink = UartSource(dut.rx, baud=baud), UartSink(dut.tx, baud=baud)
    dut.rst.value = 1
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    await ClockCycles(dut.clk, byte_cycles)

    for k, step in enumerate(vectors["steps"]):
        for item in step["send"]:
            if isinstance(item, int):
                await source.wait()
                await ClockCycles(dut.clk, item * byte_cycles)
            else:
                await source.write(bytes.fromhex(item))
        for reply in step["replies"]:
            got = await with_timeout(_receive(sink), 20, "ms")
            assert got.hex() == reply, f"step {k}: got {got.hex()}, expected {reply}"
    await source.wait()
    await ClockCycles(dut.clk, 100 * byte_cycles)
    assert sink.empty(), "a byte too many"
