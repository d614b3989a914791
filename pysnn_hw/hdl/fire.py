# SPDX-License-Identifier: BSD-2-Clause
"""Fire pipeline: ``s = clip(floor(u / theta), 0, hi)`` without a divider."""

from amaranth.hdl import Array, C, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.ir.snn import Array as IntArray

__all__ = ["FirePipeline", "select", "stage_weights"]


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


def select(values: IntArray, group: Signal, shape):
    """``values[group]``: a constant per channel group, as a ROM in logic."""
    if len(set(values.tolist())) == 1:
        return C(int(values[0]), shape)
    return Array(C(int(v), shape) for v in values)[group]


class FirePipeline(wiring.Component):
    """Fires one word of ``lanes`` neurons per advance; soft reset.

    One compare-subtract stage per entry of `stage_weights` (n stages for n-bit spikes; for n = 1
    this is the textbook integrate-and-fire neuron), then a clamp stage if asked for. Everything
    moves when ``advance`` is high and holds otherwise; `latency` advances from ``u`` to ``spikes``.

    Parameters
    ----------
    thresholds
        Integers (groups, lanes), each > 0.
    bits
        Width of the membranes.
    spike_max
        Largest spike value.
    clamp
        (v_min, v_max) to apply after firing, or None where the width analysis proves it idle.

    Members
    -------
    advance : In(1)
    group : In(unsigned)
        Channel group of ``u``.
    u : In(ArrayLayout(signed(bits), lanes))
    spikes : Out(ArrayLayout(unsigned(n), lanes))
    residue : Out(ArrayLayout(signed(bits), lanes))
        Membranes after the reset.
    """

    def __init__(self, thresholds: IntArray, *, bits: int, spike_max: int, clamp=None):
        if thresholds.min() < 1:
            raise ValueError(f"thresholds must be at least 1, not {thresholds.min()}")
        if spike_max < 1:
            raise ValueError(f"spike_max must be at least 1, not {spike_max!r}")
        self.thresholds, self.bits, self.spike_max, self.clamp = thresholds, bits, spike_max, clamp
        self.groups, self.lanes = thresholds.shape
        self.spike_shape = unsigned(spike_max.bit_length())
        self.weights = stage_weights(spike_max)
        self.latency = len(self.weights) + (clamp is not None)
        super().__init__(
            {
                "advance": In(1),
                "group": In(range(max(2, self.groups))),
                "u": In(data.ArrayLayout(signed(bits), self.lanes)),
                "spikes": Out(data.ArrayLayout(self.spike_shape, self.lanes)),
                "residue": Out(data.ArrayLayout(signed(bits), self.lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        group = self.group
        u = [self.u[p] for p in range(self.lanes)]
        count = [C(0, self.spike_shape) for _ in range(self.lanes)]
        for number, weight in enumerate(self.weights):
            u, count = self._stage(m, number, weight, group, u, count)
            next_group = Signal.like(self.group, name=f"group_{number}")
            with m.If(self.advance):
                m.d.sync += next_group.eq(group)
            group = next_group
        if self.clamp is not None:
            u, count = self._clamp(m, u, count)
        for p in range(self.lanes):
            m.d.comb += [self.spikes[p].eq(count[p]), self.residue[p].eq(u[p])]
        return m

    def _stage(self, m, number, weight, group, u, count):
        """Subtracts ``weight * theta`` where the membrane holds that much."""
        next_u, next_count = [], []
        for p in range(self.lanes):
            multiple = self.thresholds[:, p] * weight
            bound_bits = int(multiple.max()).bit_length() + 1
            bound = select(multiple, group, signed(bound_bits))
            rest = Signal(signed(max(self.bits, bound_bits) + 1), name=f"rest_{number}_{p}")
            after = Signal(signed(self.bits), name=f"u_{number}_{p}")
            emitted = Signal(self.spike_shape, name=f"count_{number}_{p}")
            fires = ~rest[-1]
            m.d.comb += rest.eq(u[p] - bound)
            with m.If(self.advance):
                m.d.sync += after.eq(Mux(fires, rest, u[p]))
                # The remaining range of the count is weight * fires, so an addition never carries
                # further than its own bits.
                m.d.sync += emitted.eq(count[p] + Mux(fires, weight, 0))
            next_u.append(after)
            next_count.append(emitted)
        return next_u, next_count

    def _clamp(self, m, u, count):
        low, high = self.clamp
        next_u, next_count = [], []
        for p in range(self.lanes):
            after = Signal(signed(self.bits), name=f"clamped_{p}")
            emitted = Signal(self.spike_shape, name=f"emitted_{p}")
            with m.If(self.advance):
                m.d.sync += emitted.eq(count[p])
                with m.If(u[p] < low):
                    m.d.sync += after.eq(low)
                with m.Elif(u[p] > high):
                    m.d.sync += after.eq(high)
                with m.Else():
                    m.d.sync += after.eq(u[p])
            next_u.append(after)
            next_count.append(emitted)
        return next_u, next_count
