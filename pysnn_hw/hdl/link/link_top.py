# SPDX-License-Identifier: BSD-2-Clause
"""The whole link: UART pins on one side, the streams of an accelerator on the other."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.link.cobs_decoder import CobsDecoder
from pysnn_hw.hdl.link.command_handler import CommandHandler
from pysnn_hw.hdl.link.frame_receiver import FrameReceiver
from pysnn_hw.hdl.link.frame_transmitter import FrameTransmitter
from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.hdl.link.protocol import CRC_BYTES
from pysnn_hw.hdl.link.reply_writer import ReplyWriter
from pysnn_hw.hdl.link.uart_receiver import UartReceiver
from pysnn_hw.hdl.link.uart_transmitter import UartTransmitter

__all__ = ["LinkTop"]


class LinkTop(wiring.Component):
    """Answers the frames of docs/link.md.

    An image reaches the accelerator only when all of its frame has arrived and its checksum is
    right; the next frame is received meanwhile. Whatever arrives, every good frame gets its one
    reply and every bad one is reported.

    Parameters
    ----------
    parameters
        See `LinkParameters`.

    Members
    -------
    rx : In(1, init=1)
        UART pin from the host; not synchronous.
    tx : Out(1, init=1)
        UART pin to the host.
    image : Out(stream.Signature(parameters.image_layout))
        To the accelerator.
    result : In(stream.Signature(parameters.result_layout))
        From the accelerator.
    cycles : In(32)
        From a `CycleCounter` beside the accelerator. It is read when it has stood still for some
        cycles, so it may come from another clock domain.
    boot : Out(stream.Signature(parameters.boot_layout))
        Bytes for memories, each acknowledged by ``ready``. Only if ``address_width`` is not 0.
    loaded : In(1)
        The memories are loaded. Only if there is ``boot``.
    """

    def __init__(self, parameters: LinkParameters) -> None:
        self.parameters = parameters
        members = {
            "rx": In(1, init=1),
            "tx": Out(1, init=1),
            "image": Out(stream.Signature(parameters.image_layout)),
            "result": In(stream.Signature(parameters.result_layout)),
            "cycles": In(32),
        }
        if parameters.address_width:
            members["boot"] = Out(stream.Signature(parameters.boot_layout))
            members["loaded"] = In(1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.submodules.uart_receiver = uart_receiver = UartReceiver(p.divisor)
        m.submodules.decoder = decoder = CobsDecoder(p.timeout_cycles)
        m.submodules.receiver = receiver = FrameReceiver(p.max_request)
        m.submodules.handler = handler = CommandHandler(p)
        m.submodules.writer = writer = ReplyWriter(p)
        m.submodules.transmitter = transmitter = FrameTransmitter(p.max_reply - CRC_BYTES)
        m.submodules.uart_transmitter = uart_transmitter = UartTransmitter(p.divisor)

        m.d.comb += [uart_receiver.rx.eq(self.rx), self.tx.eq(uart_transmitter.tx)]
        wiring.connect(m, uart_receiver.o, decoder.i)
        wiring.connect(m, decoder.o, receiver.i)
        wiring.connect(m, receiver.o, handler.request)
        wiring.connect(m, receiver.errors, handler.errors)
        wiring.connect(m, handler.outcome, writer.i)
        wiring.connect(m, writer.o, transmitter.i)
        wiring.connect(m, transmitter.o, uart_transmitter.i)

        wiring.connect(m, handler.image, wiring.flipped(self.image))
        wiring.connect(m, wiring.flipped(self.result), writer.result)
        m.d.comb += writer.cycles.eq(self.cycles)
        if p.address_width:
            wiring.connect(m, handler.boot, wiring.flipped(self.boot))
            m.d.comb += [handler.loaded.eq(self.loaded), writer.loaded.eq(self.loaded)]
        else:
            m.d.comb += writer.loaded.eq(1)
        return m
