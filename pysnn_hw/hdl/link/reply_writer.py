# SPDX-License-Identifier: BSD-2-Clause
"""Writes the replies to the host."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.link.cobs_encoder import frame_byte
from pysnn_hw.hdl.link.outcome import OutcomeKind, outcome
from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.hdl.link.protocol import ERROR_REPLY, REPLY, SCORE_BYTES

__all__ = ["ReplyWriter"]


class ReplyWriter(wiring.Component):
    """Turns each outcome, with the results of the accelerator if it has any, into a reply.

    One byte per cycle; a score takes four cycles, and is taken from the accelerator in the last
    of them. The outcome is held until the reply is complete.

    Parameters
    ----------
    parameters
        See `LinkParameters`.

    Members
    -------
    i : In(stream.Signature(outcome))
    result : In(stream.Signature(parameters.result_layout))
        From the accelerator; read only for an outcome of kind INFER.
    cycles : In(32)
        Duration of the last result; read after that result was taken.
    loaded : In(1)
        Whether the memories are loaded.
    o : Out(stream.Signature(frame_byte))
        Replies without checksum.
    """

    def __init__(self, parameters: LinkParameters) -> None:
        self.parameters = parameters
        super().__init__(
            {
                "i": In(stream.Signature(outcome)),
                "result": In(stream.Signature(parameters.result_layout)),
                "cycles": In(32),
                "loaded": In(1),
                "o": Out(stream.Signature(frame_byte)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        outcome, result, o = self.i.p, self.result, self.o
        step = Signal(range(self.parameters.info.layout.size))
        winner, error = Signal(16), Signal()
        score = Signal(8 * SCORE_BYTES)
        m.d.comb += score.eq(result.p.score)  # extends the sign
        moves, ends = Signal(), Signal()
        m.d.comb += [moves.eq(o.valid & o.ready), ends.eq(moves & o.p.last)]
        m.d.comb += self.i.ready.eq(ends)
        with m.If(moves):
            m.d.sync += step.eq(step + 1)

        with m.FSM():
            with m.State("TYPE"):
                is_error = outcome.kind == OutcomeKind.ERROR
                m.d.comb += [
                    o.valid.eq(self.i.valid),
                    o.p.data.eq(Mux(is_error, ERROR_REPLY, REPLY | outcome.kind.as_value())),
                ]
                with m.If(moves):
                    m.next = "SEQUENCE"
            with m.State("SEQUENCE"):
                m.d.comb += [
                    o.valid.eq(1),
                    o.p.data.eq(outcome.sequence),
                    o.p.last.eq(outcome.kind == OutcomeKind.WRITE),
                ]
                with m.If(moves):
                    m.d.sync += step.eq(0)
                    m.next = "PAYLOAD"
                    with m.If(outcome.kind == OutcomeKind.INFER):
                        m.next = "SCORES"
                    with m.If(ends):
                        m.next = "TYPE"
            with m.State("SCORES"):
                m.d.comb += [o.valid.eq(result.valid), o.p.data.eq(score.word_select(step[:2], 8))]
                with m.If(moves & (step == SCORE_BYTES - 1)):
                    m.d.comb += result.ready.eq(1)
                    m.d.sync += [step.eq(0), winner.eq(result.p.winner), error.eq(result.p.error)]
                    with m.If(result.p.last):
                        m.next = "PAYLOAD"
            with m.State("PAYLOAD"):
                m.d.comb += o.valid.eq(1)
                with m.Switch(outcome.kind):
                    with m.Case(OutcomeKind.INFO):
                        *constants, _ = self.parameters.info.pack()
                        self._select(m, step, [*constants, self.loaded])
                    with m.Case(OutcomeKind.INFER):
                        cycles = [self.cycles.word_select(k, 8) for k in range(4)]
                        self._select(m, step, [winner[:8], winner[8:], error, *cycles])
                    with m.Default():
                        self._select(m, step, [outcome.code, outcome.count])
                with m.If(ends):
                    m.next = "TYPE"
        return m

    def _select(self, m, step, values):
        """Offer ``values[step]``; the last one ends the reply."""
        with m.Switch(step):
            for k, value in enumerate(values):
                with m.Case(k):
                    m.d.comb += self.o.p.data.eq(value)
        m.d.comb += self.o.p.last.eq(step == len(values) - 1)
