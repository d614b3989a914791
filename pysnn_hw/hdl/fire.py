# SPDX-License-Identifier: BSD-2-Clause
"""Fire pipeline: ``s = clip(floor(u / theta), lo, hi)`` without a divider."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Array, C, Cat, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.ir.snn import PLAIN, Neuron
from pysnn_hw.ir.snn import Array as IntArray
from pysnn_hw.plan.latency import neuron_folds

__all__ = ["FirePipeline", "ThresholdPort", "select", "stage_weights"]


def stage_weights(spike_max: int) -> list[int]:
    """Multiples of the threshold that the compare-subtract stages test, largest first.

    Each stage may subtract half (rounded up) of what can still be emitted, so ``n`` stages reach
    every count ``0 .. spike_max`` exactly; for ``spike_max = 2**n - 1`` they are the powers of two.
    """
    weights = []
    left = spike_max
    while left > 0:
        weights.append(-(-left // 2))
        left //= 2
    return weights


@dataclass(frozen=True)
class ThresholdPort:
    """Thresholds that come with each word: for how many lanes, and the largest there is."""

    lanes: int
    largest: int

    @property
    def shape(self) -> Shape:
        """Shape of one threshold."""
        return unsigned(self.largest.bit_length())


def select(values: IntArray, group: Signal, shape):
    """``values[group]``: a constant per channel group, as a ROM in logic."""
    if len(set(values.tolist())) == 1:
        return C(int(values[0]), shape)
    return Array(C(int(v), shape) for v in values)[group]


class FirePipeline(wiring.Component):
    """Fires one word of ``lanes`` neurons per advance.

    Stages: *fold* (only for signed and strict neurons), one compare-subtract stage per entry of
    `stage_weights` (n stages for n-bit spikes; for n = 1 this is the textbook integrate-and-fire
    neuron), *unfold* (after *fold*, and for hard reset), *clamp* (if asked for). Everything moves
    when ``advance`` is high and holds otherwise; `latency` advances from ``u`` to ``spikes``.

    The compare stages only know how to take positive multiples of the threshold from a membrane.
    A negative one is folded to ``~u + theta``, which holds m thresholds exactly if m negative
    spikes are due; a strict neuron's membrane to ``u - 1``.

    Parameters
    ----------
    thresholds
        Integers (groups, lanes), each > 0: constants in logic. A `ThresholdPort` where they are too
        many for that: then they come in with ``u`` and go along.
    bits
        Width of the membranes.
    spike_max
        Largest spike value.
    neuron
        How it fires. Its leak has no place here.
    clamp
        (v_min, v_max) to apply after firing, or None where the width analysis proves it idle.
    emitted_bits
        Width of the sums of emitted spikes; only for polarity ``memory``.

    Members
    -------
    advance : In(1)
    group : In(unsigned)
        Channel group of ``u``. Only with constant thresholds.
    theta : In(ArrayLayout(unsigned, lanes))
        Thresholds of ``u``. Only with a `ThresholdPort`.
    u : In(ArrayLayout(signed(bits), lanes))
    emitted : In(ArrayLayout(unsigned(emitted_bits), lanes))
        What each neuron has emitted before. Only with ``emitted_bits``.
    spikes : Out(ArrayLayout(spike_shape, lanes))
    residue : Out(ArrayLayout(signed(bits), lanes))
        Membranes after the reset.
    emitted_after : Out(ArrayLayout(unsigned(emitted_bits), lanes))
        ``emitted`` with this step's spikes. Only with ``emitted_bits``.
    """

    def __init__(
        self,
        thresholds: IntArray | ThresholdPort,
        *,
        bits: int,
        spike_max: int,
        neuron: Neuron = PLAIN,
        clamp=None,
        emitted_bits: int = 0,
    ):
        members: dict[str, Any] = {"advance": In(1)}
        if isinstance(thresholds, ThresholdPort):
            self.port: ThresholdPort | None = thresholds
            self.lanes, self.largest = thresholds.lanes, thresholds.largest
            members["theta"] = In(data.ArrayLayout(thresholds.shape, self.lanes))
        else:
            if thresholds.min() < 1:
                raise ValueError(f"thresholds must be at least 1, not {thresholds.min()}")
            self.port, self.thresholds = None, thresholds
            self.lanes, self.largest = thresholds.shape[1], int(thresholds.max())
            members["group"] = In(range(max(2, thresholds.shape[0])))
        if spike_max < 1:
            raise ValueError(f"spike_max must be at least 1, not {spike_max!r}")
        if (neuron.polarity == "memory") != (emitted_bits > 0):
            raise ValueError("emitted_bits belong to neurons of polarity 'memory'")
        self.bits, self.spike_max, self.clamp = bits, spike_max, clamp
        self.neuron, self.emitted_bits = neuron, emitted_bits
        signed_spikes = neuron.polarity != "positive"
        self.spike_shape = Shape(spike_max.bit_length() + signed_spikes, signed_spikes)
        self.weights = stage_weights(spike_max)
        self.folds = neuron_folds(neuron)
        self.unfolds = self.folds or neuron.reset == "hard"
        self.latency = len(self.weights) + self.folds + self.unfolds + (clamp is not None)
        members |= {
            "u": In(data.ArrayLayout(signed(bits), self.lanes)),
            "spikes": Out(data.ArrayLayout(self.spike_shape, self.lanes)),
            "residue": Out(data.ArrayLayout(signed(bits), self.lanes)),
        }
        if emitted_bits:
            counts = data.ArrayLayout(unsigned(emitted_bits), self.lanes)
            members |= {"emitted": In(counts), "emitted_after": Out(counts)}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        group = self.group if self.port is None else self.theta.as_value()

        def next_group(name):
            later = Signal.like(group, name=name, reset_less=True)
            with m.If(self.advance):
                m.d.sync += later.eq(group)
            return later

        states = [
            _State(self.u[p], C(0, len(self.weights)), C(0, 1), self._budget(p))
            for p in range(self.lanes)
        ]
        if self.folds:
            states = [self._fold(m, p, group, s) for p, s in enumerate(states)]
            group = next_group("group_fold")
        for number, weight in enumerate(self.weights):
            states = [self._stage(m, p, number, weight, group, s) for p, s in enumerate(states)]
            group = next_group(f"group_{number}")
        if self.unfolds:
            states = [self._unfold(m, p, group, s) for p, s in enumerate(states)]
        if self.clamp is not None:
            states = [self._clamp(m, p, s) for p, s in enumerate(states)]
        for p, state in enumerate(states):
            m.d.comb += [self.spikes[p].eq(state.count), self.residue[p].eq(state.u)]
            if self.emitted_bits:
                m.d.comb += self.emitted_after[p].eq(state.emitted)
        return m

    def _budget(self, p):
        return self.emitted[p] if self.emitted_bits else C(0, 1)

    def _threshold(self, p, group, multiple=1):
        """``group`` is that of the word, or its thresholds if they go along."""
        if self.port is not None:
            theta = group.word_select(p, self.port.shape.width)
            if multiple & (multiple - 1) == 0:
                return Cat(C(0, multiple.bit_length() - 1), theta, C(0, 1)).as_signed()
            return Cat(theta * multiple, C(0, 1)).as_signed()
        values = self.thresholds[:, p] * multiple
        return select(values, group, signed(int(values.max()).bit_length() + 1))

    @property
    def _folded_bits(self):
        """Width of a folded membrane."""
        if not self.folds:
            return self.bits
        return max(self.bits, self.largest.bit_length() + 1) + 1

    def _fold(self, m, p, group, state):
        """Turns the membrane into what the compare stages can take thresholds from."""
        u = state.u - 1 if self.neuron.strict else state.u
        later = _State(
            _register(signed(self._folded_bits), f"folded_{p}"),
            state.count,
            _register(1, f"negative_fold_{p}") if self.neuron.polarity != "positive" else C(0, 1),
            self._later_budget(f"emitted_fold_{p}"),
        )
        with m.If(self.advance):
            m.d.sync += self._keep_budget(later, state)
            m.d.sync += later.u.eq(u)
            if self.neuron.polarity != "positive":
                m.d.sync += later.negative.eq(u < 0)
                with m.If(u < 0):
                    m.d.sync += later.u.eq(~u + self._threshold(p, group))
        return later

    def _stage(self, m, p, number, weight, group, state):
        """Subtracts ``weight * theta`` where the membrane holds that much."""
        bound = self._threshold(p, group, weight)
        rest = Signal(signed(max(len(state.u), len(bound)) + 1), name=f"rest_{number}_{p}")
        fires = Signal(name=f"fires_{number}_{p}")
        later = _State(
            _register(signed(self._folded_bits), f"u_{number}_{p}"),
            _register(len(self.weights), f"count_{number}_{p}"),
            C(0, 1),
            self._later_budget(f"emitted_{number}_{p}"),
        )
        m.d.comb += [rest.eq(state.u - bound), fires.eq(~rest[-1])]
        if self.neuron.polarity != "positive":
            later.negative = _register(1, f"negative_{number}_{p}")
        if self.emitted_bits:
            m.d.comb += fires.eq(~rest[-1] & (~state.negative | (state.emitted >= weight)))
        with m.If(self.advance):
            m.d.sync += later.u.eq(Mux(fires, rest, state.u))
            # The remaining range of the count is weight * fires, so an addition never carries
            # further than its own bits.
            m.d.sync += later.count.eq(state.count + Mux(fires, weight, 0))
            if self.neuron.polarity != "positive":
                m.d.sync += later.negative.eq(state.negative)
            m.d.sync += self._keep_budget(later, state)
            if self.emitted_bits:
                with m.If(fires & state.negative):
                    m.d.sync += later.emitted.eq(state.emitted - weight)
        return later

    def _unfold(self, m, p, group, state):
        """Undoes `_fold`, gives the count its sign, resets hard."""
        later = _State(
            _register(signed(self.bits), f"unfolded_{p}"),
            _register(self.spike_shape, f"spike_{p}"),
            C(0, 1),
            self._later_budget(f"emitted_unfold_{p}"),
        )
        with m.If(self.advance):
            m.d.sync += [
                later.u.eq(state.u + 1 if self.neuron.strict else state.u),
                later.count.eq(state.count),
            ]
            if self.emitted_bits:
                m.d.sync += later.emitted.eq(state.emitted + Mux(state.negative, 0, state.count))
            if self.neuron.polarity != "positive":
                with m.If(state.negative):
                    m.d.sync += [
                        later.u.eq(~state.u + self._threshold(p, group)),
                        later.count.eq(-state.count),
                    ]
            if self.neuron.reset == "hard":
                with m.If(state.count != 0):
                    m.d.sync += later.u.eq(0)
        return later

    def _clamp(self, m, p, state):
        low, high = self.clamp
        later = _State(
            _register(signed(self.bits), f"clamped_{p}"),
            _register(self.spike_shape, f"emitted_spike_{p}"),
            C(0, 1),
            self._later_budget(f"emitted_clamp_{p}"),
        )
        with m.If(self.advance):
            m.d.sync += later.count.eq(state.count)
            m.d.sync += self._keep_budget(later, state)
            with m.If(state.u < low):
                m.d.sync += later.u.eq(low)
            with m.Elif(state.u > high):
                m.d.sync += later.u.eq(high)
            with m.Else():
                m.d.sync += later.u.eq(state.u)
        return later

    def _later_budget(self, name):
        return _register(self.emitted_bits, name) if self.emitted_bits else C(0, 1)

    def _keep_budget(self, later, state):
        return [later.emitted.eq(state.emitted)] if self.emitted_bits else []


def _register(shape, name):
    """Of a lane; who sends words in knows which of them count."""
    return Signal(shape, name=name, reset_less=True)


@dataclass
class _State:
    """One lane between two stages: what is left of the membrane, spikes so far, whether they are
    negative, and what may still be taken back.
    """

    u: Value
    count: Value
    negative: Value
    emitted: Value
