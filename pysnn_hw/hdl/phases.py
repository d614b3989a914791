# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""The phases of a fire core, and which timestep of an image it is in."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.events import EventKind

__all__ = ["Phases"]


class Phases(wiring.Component):
    """*init* (after reset: a scan that writes what memories start from), *accumulate*, *fire*.

    Timesteps are told apart by the markers that end the incoming events or, in a core that keeps a
    constant current, counted.

    Parameters
    ----------
    repeats
        Timesteps per image that the core runs by itself; 1 if markers tell.
    probe
        Timesteps of the probe run among them; 0 without one.

    Members
    -------
    settled : In(1), marker : In(EventKind), finished : In(1)
        All events of the timestep are in the membranes, and what ended them; the end of a scan has
        left the pipeline.
    enable : Out(1), scanning : Out(1)
        Events may be accumulated; the membranes belong to the scan.
    resume : Out(1), start : Out(1)
        For a cycle: events may go on; a scan begins.
    initial : Out(1)
        This scan only writes start values.
    fresh, final : Out(1)
        The first timestep after a start, the last one of an image.
    probing, deciding : Out(1)
        A timestep of the probe run, the last one of it; low without one.
    ending : Out(EventKind)
        The marker that follows this timestep's spikes.
    """

    def __init__(self, *, repeats: int, probe: int = 0):
        if repeats < 1 or probe < 0:
            raise ValueError(f"repeats must be at least 1 and probe 0, not {repeats} and {probe}")
        self.repeats, self.probe = repeats, probe
        super().__init__(
            {
                "settled": In(1),
                "marker": In(EventKind),
                "finished": In(1),
                "enable": Out(1),
                "scanning": Out(1),
                "resume": Out(1),
                "start": Out(1),
                "initial": Out(1),
                "fresh": Out(1, init=1),
                "final": Out(1),
                "probing": Out(1, init=int(probe > 0)),
                "deciding": Out(1),
                "ending": Out(EventKind),
            }
        )

    def elaborate(self, platform):
        m = Module()
        step = Signal(range(max(2, self.repeats)))
        with m.FSM(name="phase"):
            with m.State("reset"):
                m.d.comb += self.start.eq(1)
                m.d.sync += self.initial.eq(1)
                m.next = "init"
            with m.State("init"):
                m.d.comb += self.scanning.eq(1)
                with m.If(self.finished):
                    m.d.sync += self.initial.eq(0)
                    m.next = "accumulate"
            with m.State("accumulate"):
                m.d.comb += self.enable.eq(1)
                with m.If(self.settled):
                    m.d.comb += self.start.eq(1)
                    m.d.sync += self._first_step(step)
                    m.next = "fire"
            with m.State("fire"):
                m.d.comb += self.scanning.eq(1)
                with m.If(self.finished):
                    m.d.sync += self.fresh.eq(self.final | self.deciding)
                    if self.probe:
                        m.d.sync += self.probing.eq(self.final | (self.probing & ~self.deciding))
                    with m.If(step == self.repeats - 1):
                        m.d.comb += self.resume.eq(1)
                        m.next = "accumulate"
                    if self.repeats > 1:
                        with m.Else():
                            m.d.comb += self.start.eq(1)
                            m.d.sync += self._next_step(step)
        kind = Mux(self.deciding, EventKind.PROBE, EventKind.STEP) if self.probe else EventKind.STEP
        m.d.comb += self.ending.eq(Mux(self.final, EventKind.INFERENCE, kind))
        return m

    def _first_step(self, step):
        """Which step follows an accumulate phase."""
        if self.repeats > 1:
            assignments = [step.eq(0), self.final.eq(0)]
            return [*assignments, self.deciding.eq(self.probe == 1)] if self.probe else assignments
        assignments = [self.final.eq(self.marker == EventKind.INFERENCE)]
        if self.probe:
            assignments.append(self.deciding.eq(self.marker == EventKind.PROBE))
        return assignments

    def _next_step(self, step):
        """Which step follows step number ``step``."""
        assignments = [step.eq(step + 1), self.final.eq(step == self.repeats - 2)]
        if self.probe:
            last = step == self.probe - 2 if self.probe > 1 else 0
            assignments.append(self.deciding.eq(last))
        return assignments
