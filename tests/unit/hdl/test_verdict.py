# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""What a probe run says of each neuron, at and around zero and the threshold."""

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import unsigned
from amaranth.sim import Simulator

from pysnn_hw.hdl.verdict import Verdict

BITS = 9
THRESHOLDS = np.array([[20, 7, 1], [100, 33, 64]])


def _shift(v: int, theta: int, fired: bool) -> int:
    if v >= theta:
        return theta
    return -theta if v < 0 and fired else 0


def _drive(rule: str, check: Any) -> None:
    """Random words around the corners, and ``check(word, outputs before, outputs after)``."""
    dut = Verdict(rule, THRESHOLDS, bits=BITS, spike_shape=unsigned(2))
    rng = random.Random(3)

    async def bench(ctx: Any) -> None:
        before: Any = None
        for _ in range(1500):
            group = rng.randrange(2)
            theta = THRESHOLDS[group].tolist()
            v = [rng.choice([-200, -1, 0, 1, t - 1, t, t + 1, 2 * t]) for t in theta]
            spikes = [rng.choice([0, 0, 1, 2, 3]) for _ in theta]
            flags = [rng.randrange(2) for _ in theta]
            advance, deciding = rng.random() < 0.8, rng.random() < 0.6
            ctx.set(dut.advance, advance)
            ctx.set(dut.deciding, deciding)
            ctx.set(dut.group, group)
            ctx.set(dut.flags, sum(flag << p for p, flag in enumerate(flags)))
            for p in range(3):
                ctx.set(dut.spikes[p], spikes[p])
                ctx.set(dut.residue[p], v[p])
            await ctx.tick()
            kept = [ctx.get(dut.kept) >> p & 1 for p in range(3)]
            adjust = [ctx.get(dut.adjust[p]) for p in range(3)] if rule == "shift" else None
            if not advance:
                assert before is None or (kept, adjust) == before
            else:
                check(v, theta, spikes, flags, deciding, kept, adjust)
            before = kept, adjust

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()


def test_mask_silences_what_ends_at_zero_or_below() -> None:
    def check(
        v: Any, theta: Any, spikes: Any, flags: Any, deciding: Any, kept: Any, _: Any
    ) -> None:
        assert kept == [int(potential <= 0) for potential in v]

    _drive("mask", check)


def test_shift_follows_the_rule_and_remembers_who_fired() -> None:
    seen: Counter[int] = Counter()

    def check(
        v: Any, theta: Any, spikes: Any, flags: Any, deciding: Any, kept: Any, adjust: Any
    ) -> None:
        fired = [bool(flag or spike) for flag, spike in zip(flags, spikes, strict=True)]
        assert kept == [int(f) for f in fired]
        expected = [_shift(*of) if deciding else 0 for of in zip(v, theta, fired, strict=True)]
        assert adjust == expected
        seen.update(np.sign(expected).tolist())

    _drive("shift", check)
    assert min(seen[-1], seen[0], seen[1]) > 100


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="'flip'"):
        Verdict("flip", THRESHOLDS, bits=BITS, spike_shape=unsigned(2))
