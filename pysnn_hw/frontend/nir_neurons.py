# SPDX-License-Identifier: BSD-2-Clause
"""NIR's neurons, taken by forward Euler steps of ``dt``, as neurons of the hardware.

With v the membrane, I what arrives in a step and a = dt / tau (IF: without the first two terms)::

    LIF   v <- v - a v + a v_leak + a R I        IF   v <- v + dt R I

A spike follows if v > v_threshold (or >=). The hardware's membrane is v - v_reset, so that a hard
reset goes to zero; it starts where v = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import Array
from pysnn_hw.frontend.nir_graph import Node
from pysnn_hw.frontend.nir_synapses import Signal, per_channel, spread
from pysnn_hw.ir.check import MAX_LEAK
from pysnn_hw.ir.snn import Neuron, Population

KINDS = ("IF", "LIF", "CubaLIF")
ROUNDING = 1e-6
"""Relative difference up to which numbers stored as float32 count as equal."""


@dataclass(frozen=True)
class Rules:
    """What NIR does not say, or says otherwise than most tools that write it.

    Attributes
    ----------
    reset
        ``soft`` subtracts the threshold, ``hard`` goes to ``v_reset``.
    strict
        A threshold must be exceeded (the text of NIR), not only met.
    dt
        Length of a timestep in the unit of tau and 1/R; 1 where the graph counts in timesteps.
    approximate_leak
        Take the nearest leak that is a power of two where none is exact.
    """

    reset: Literal["soft", "hard"]
    strict: bool
    dt: float
    approximate_leak: bool = False


def neurons(node: Node, x: Signal, rules: Rules) -> tuple[Population, Signal]:
    """The population of an ``IF``, ``LIF`` or ``CubaLIF``, and ``x`` scaled into its membrane.

    Raises
    ------
    ModelError
        If the neuron cannot be had exactly, naming what would do.
    """
    if x.integrated:
        raise node.refusal("follows an integrator", "only the output may be integrated")
    leak, share = (0, np.zeros(x.shape[0])) if node.kind == "IF" else _leak(node, x, rules)
    scaled = x.scaled(_charge(node, x, rules.dt))
    threshold, reset = _parameter(node, x, "v_threshold"), np.zeros(x.shape[0])
    if node.has("v_reset"):
        reset = _parameter(node, x, "v_reset")
    if rules.reset == "soft" and reset.any():
        problem = "has a v_reset other than 0, which a reset by subtraction does not use"
        raise node.refusal(problem, "set v_reset to 0, or give reset hard")
    if (threshold <= reset).any():
        raise node.refusal("has a v_threshold that is not above v_reset")
    bias = scaled.bias - share * reset
    if node.has("v_leak"):
        bias = bias + share * _parameter(node, x, "v_leak")
    population = Population(
        node.name,
        "fire",
        x.shape,
        bias,
        threshold - reset,
        0.0 - reset,
        1,
        neuron=Neuron(reset=rules.reset, strict=rules.strict, leak=leak),
    )
    return population, scaled


def integrator_gain(node: Node, x: Signal, dt: float) -> Array:
    """What an ``I`` node multiplies its input by, (C,)."""
    return _whole(_parameter(node, x, "r") * dt)


def _parameter(node: Node, x: Signal, name: str) -> Array:
    values = spread(node.array(name), x, node, f"its {name}")
    return per_channel(values, node, f"its {name}")


def _charge(node: Node, x: Signal, dt: float) -> Array:
    """What one unit of input adds to the membrane, (C,)."""
    r = _parameter(node, x, "r")
    if node.kind == "IF":
        return _whole(r * dt)
    tau = _parameter(node, x, "tau_mem" if node.kind == "CubaLIF" else "tau")
    gain = r * dt / tau
    if node.kind == "CubaLIF":
        synapse = _parameter(node, x, "tau_syn")
        if not np.allclose(synapse, dt, rtol=ROUNDING, atol=0):
            problem = f"its synapses have a memory of their own (tau_syn {synapse.max():g})"
            raise node.refusal(problem, f"only tau_syn equal to the timestep, {dt:g}, can be had")
        gain = gain * (_parameter(node, x, "w_in") if node.has("w_in") else 1.0)
    return _whole(gain)


def _leak(node: Node, x: Signal, rules: Rules) -> tuple[int, Array]:
    """The right shift that the membrane loses per step, and what share of it that is, (C,)."""
    tau = _parameter(node, x, "tau_mem" if node.kind == "CubaLIF" else "tau")
    if (tau <= 0).any():
        raise node.refusal("has a time constant that is not positive")
    share = rules.dt / tau
    shifts = {_shift(node, float(a), rules) for a in np.unique(share)}
    if len(shifts) > 1:
        problem = "has neurons of different time constants"
        raise node.refusal(problem, "give each layer one time constant")
    shift = shifts.pop()
    return shift, np.full(len(tau), 2.0**-shift)


def _shift(node: Node, share: float, rules: Rules) -> int:
    exponent = -math.log2(share)
    shift = round(exponent)
    if 1 <= shift <= MAX_LEAK and math.isclose(share, 2.0**-shift, rel_tol=ROUNDING):
        return shift
    low = min(max(math.floor(exponent), 1), MAX_LEAK)
    high = min(low + 1, MAX_LEAK)
    if rules.approximate_leak:
        return min((low, high), key=lambda k: abs(share - 2.0**-k))
    tau = rules.dt / share
    choices = " or ".join(f"{tau / 2**k:.6g} (1/{2**k})" for k in sorted({low, high}))
    raise node.refusal(
        f"loses {share:.4g} of its membrane per step (dt / tau), and the hardware loses a power of "
        "two",
        f"give dt {choices}, or accept the nearest with approximate_leak",
    )


def _whole(gain: Array) -> Array:
    """``gain``, where it is 1 but for the rounding of tau and r, exactly 1."""
    return np.where(np.isclose(gain, 1.0, rtol=ROUNDING, atol=0), 1.0, gain)


def check_rules(
    where: str,
    reset: str | None,
    strict: bool | None,
    dt: float | None,
    timesteps: int | None,
    approximate_leak: bool,
) -> tuple[Rules, int]:
    """The rules and the number of timesteps, all of them given.

    Raises
    ------
    ModelError
        Naming everything that is missing at once, or what is wrong.
    """
    if reset is None or strict is None or dt is None or timesteps is None:
        missing = {
            "how neurons reset (reset: soft or hard)": reset is None,
            "whether a threshold must be exceeded or only met (strict)": strict is None,
            "how long a timestep is (dt: seconds, or 1 if its neurons count in steps)": dt is None,
            "how many timesteps to run (timesteps)": timesteps is None,
        }
        absent = [what for what, lacks in missing.items() if lacks]
        problem = f"does not say {', nor '.join(absent)}"
        raise ModelError(where, problem, "say it, because tools that write NIR differ in it")
    if reset not in ("soft", "hard"):
        raise ModelError("reset", f"{reset!r} is neither soft nor hard")
    if not (dt > 0 and math.isfinite(dt)):
        raise ModelError("dt", f"{dt!r} is not a positive number")
    rules = Rules("soft" if reset == "soft" else "hard", strict, dt, approximate_leak)
    return rules, timesteps
