# SPDX-License-Identifier: BSD-2-Clause
"""Carries out the requests of the host."""

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.link.frame_receiver import error_report
from pysnn_hw.hdl.link.outcome import OutcomeKind, outcome
from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.hdl.link.protocol import ADDRESS_BYTES, ErrorCode, Request

__all__ = ["CommandHandler", "request_byte"]


def request_byte(parameters: LinkParameters) -> data.StructLayout:
    """Layout of a byte of a request: ``left`` more of the same request follow."""
    left = unsigned(parameters.max_request.bit_length())
    return data.StructLayout({"data": 8, "left": left})


class CommandHandler(wiring.Component):
    """Takes one request at a time, does it, and hands over what came of it.

    A request of the wrong length or type touches neither the accelerator nor a memory. The
    integers of an image go out one per cycle (one in two cycles if they take two bytes).
    Errors of reception have precedence over requests.

    Parameters
    ----------
    parameters
        See `LinkParameters`.

    Members
    -------
    request : In(stream.Signature(request_byte(parameters)))
        Requests with good checksums, at least two bytes each: type, sequence, payload.
    errors : In(stream.Signature(error_report))
        Frames that did not become requests.
    image : Out(stream.Signature(parameters.image_layout))
        To the accelerator.
    outcome : Out(stream.Signature(outcome))
        One per request and per error report; the next is begun when it has been taken.
    boot : Out(stream.Signature(parameters.boot_layout))
        Bytes of WRITE requests, each acknowledged by ``ready``. Only if there is an address.
    loaded : In(1)
        Without it, INFER is refused. Only if there is ``boot``.
    """

    def __init__(self, parameters: LinkParameters) -> None:
        self.parameters = parameters
        members = {
            "request": In(stream.Signature(request_byte(parameters))),
            "errors": In(stream.Signature(error_report)),
            "image": Out(stream.Signature(parameters.image_layout)),
            "outcome": Out(stream.Signature(outcome)),
        }
        if parameters.address_width:
            members["boot"] = Out(stream.Signature(parameters.boot_layout))
            members["loaded"] = In(1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        request, done = self.request, Signal(outcome, init={"count": 1})
        take_final = Signal()
        m.d.comb += take_final.eq(request.valid & request.ready & (request.p.left == 0))

        with m.FSM():
            with m.State("TYPE"):
                with m.If(self.errors.valid):
                    m.d.comb += [
                        self.outcome.valid.eq(1),
                        self.outcome.p.kind.eq(OutcomeKind.ERROR),
                        self.outcome.p.sequence.eq(self.errors.p.sequence),
                        self.outcome.p.code.eq(self.errors.p.code),
                        self.outcome.p.count.eq(self.errors.p.count),
                        self.errors.ready.eq(self.outcome.ready),
                    ]
                with m.Elif(request.valid):
                    m.d.comb += request.ready.eq(1)
                    m.d.sync += [
                        done.kind.eq(OutcomeKind.ERROR),
                        done.code.eq(ErrorCode.UNKNOWN_TYPE),
                    ]
                    with m.Switch(request.p.data):
                        for known in self._known_requests():
                            with m.Case(int(known)):
                                m.d.sync += done.kind.eq(OutcomeKind(known))
                    m.next = "SEQUENCE"
            with m.State("SEQUENCE"):
                m.d.comb += request.ready.eq(1)
                m.d.sync += done.sequence.eq(request.p.data)
                with m.If(request.valid):
                    self._check(m, done)
            with m.State("DISCARD"):
                m.d.comb += request.ready.eq(1)
                with m.If(take_final):
                    m.next = "DONE"
            with m.State("INFER"):
                self._feed_image(m)
                with m.If(take_final):
                    m.next = "DONE"
            if self.parameters.address_width:
                with m.State("WRITE"):
                    self._write_memory(m)
                    with m.If(take_final):
                        m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += [self.outcome.valid.eq(1), self.outcome.p.eq(done)]
                with m.If(self.outcome.ready):
                    m.next = "TYPE"
        return m

    def _known_requests(self) -> list[Request]:
        known = [Request.INFO, Request.INFER]
        return [*known, Request.WRITE] if self.parameters.address_width else known

    def _check(self, m, done):
        """Go on with a request of the right length and type; refuse any other."""
        left = self.request.p.left

        def refuse(code):
            m.d.sync += [done.kind.eq(OutcomeKind.ERROR), done.code.eq(code)]

        with m.If(left == 0):
            m.next = "DONE"
        with m.Else():
            m.next = "DISCARD"
        with m.Switch(done.kind):
            with m.Case(OutcomeKind.INFO):
                with m.If(left != 0):
                    refuse(ErrorCode.BAD_LENGTH)
            with m.Case(OutcomeKind.INFER):
                with m.If(left != self.parameters.image_bytes):
                    refuse(ErrorCode.BAD_LENGTH)
                with m.Elif(~self.loaded if self.parameters.address_width else 0):
                    refuse(ErrorCode.NOT_READY)
                with m.Else():
                    m.next = "INFER"
            with m.Case(OutcomeKind.WRITE):
                with m.If(left <= ADDRESS_BYTES):
                    refuse(ErrorCode.BAD_LENGTH)
                with m.Else():
                    m.next = "WRITE" if self.parameters.address_width else "DISCARD"

    def _feed_image(self, m):
        """Pass the rest of the request to the accelerator."""
        request, image = self.request, self.image
        m.d.comb += image.p.last.eq(request.p.left == 0)
        if self.parameters.value_bytes == 1:
            m.d.comb += [
                image.p.value.eq(request.p.data),
                image.valid.eq(request.valid),
                request.ready.eq(image.ready),
            ]
            return
        low_byte, is_high = Signal(8), Signal()
        m.d.comb += [
            is_high.eq(~request.p.left[0]),  # payloads have an even number of bytes
            image.p.value.eq(Cat(low_byte, request.p.data)),
            image.valid.eq(request.valid & is_high),
            request.ready.eq(image.ready | ~is_high),
        ]
        with m.If(request.valid & ~is_high):
            m.d.sync += low_byte.eq(request.p.data)

    def _write_memory(self, m):
        """Take the address, then offer each byte of the rest of the request."""
        request, boot = self.request, self.boot
        address = Signal(self.parameters.address_width)
        step = Signal(range(ADDRESS_BYTES + 1))
        m.d.comb += [boot.p.address.eq(address), boot.p.data.eq(request.p.data)]
        with m.If(step == ADDRESS_BYTES):
            m.d.comb += [boot.valid.eq(request.valid), request.ready.eq(boot.ready)]
            with m.If(request.valid & request.ready):
                m.d.sync += address.eq(address + 1)
                with m.If(request.p.left == 0):
                    m.d.sync += step.eq(0)
        with m.Else():
            m.d.comb += request.ready.eq(1)
            with m.If(request.valid):
                m.d.sync += step.eq(step + 1)
                with m.Switch(step):
                    for k in range(0, self.parameters.address_width, 8):
                        with m.Case(k // 8):
                            m.d.sync += address[k : k + 8].eq(request.p.data)
