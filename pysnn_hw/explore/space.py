# SPDX-License-Identifier: BSD-2-Clause
"""Which candidates make sense within the user's bounds, and which of them to try first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from typing import Any, Protocol

from pysnn_hw.convert.quantisation import MAX_BITS
from pysnn_hw.convert.recipe import MAX_LEVELS, MAX_TIMESTEPS, METHODS, Method
from pysnn_hw.errors import ModelError
from pysnn_hw.explore.candidate import OWN, THRESHOLDS, Candidate

TRAINED: tuple[Method, ...] = ("qcfs", "hybrid")
"""Methods that change the weights by training."""
ONE_STEP: tuple[Method, ...] = ("qcfs",)
"""Methods for a single timestep."""
MANY_STEPS: tuple[Method, ...] = tuple(m for m in METHODS if m in ("signed", "srp", "cos"))
"""Methods that differ from ``rate`` only over several timesteps."""
BINARY: tuple[Method, ...] = ("hybrid",)
"""Methods whose spikes are 0 or 1."""
LAYERWISE: tuple[Method, ...] = ("ecc",)
"""Methods with one threshold per layer."""

LEAST_CODES, MOST_CODES = 3, 255
"""A neuron counts to T (2**n - 1) in an inference: fewer say too little, more are of no use."""
LEAST_WEIGHT_BITS = 3
FEW_WEIGHT_BITS = 4
"""What a small board may have room for where it has none for more."""
TAUS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Initial membranes worth trying: a half rounds best, less than that saves spikes."""
ACTIVITIES = (0.0, 0.15, 0.25, 0.35, 0.5, 1.0)
"""Weights of operations in training worth trying."""


@dataclass(frozen=True)
class Limits:
    """What the user can afford; None leaves it open.

    Attributes
    ----------
    cycles, sops
        Per image, as predicted and as measured.
    timesteps, levels, weight_bits
        Of the network.
    """

    cycles: float | None = None
    sops: float | None = None
    timesteps: int = 8
    levels: int = 6
    weight_bits: int = 8

    def check(self) -> None:
        """Raise ModelError if nothing can lie within the limits."""
        for name, value, least, most in (
            ("max timesteps", self.timesteps, 1, MAX_TIMESTEPS),
            ("max levels", self.levels, 1, MAX_LEVELS),
            ("max weight bits", self.weight_bits, LEAST_WEIGHT_BITS, MAX_BITS),
        ):
            if not least <= value <= most:
                raise ModelError(name, f"must be {least}..{most}, not {value}")
        for name, bound in (("max cycles", self.cycles), ("max SOPs", self.sops)):
            if bound is not None and not bound > 0:
                raise ModelError(name, f"must be positive, not {bound:g}")


class Suggest(Protocol):
    """The part of an Optuna trial that `Space.draw` uses."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


@dataclass(frozen=True)
class Space:
    """All candidates within some limits.

    Attributes
    ----------
    limits
        The bounds.
    methods
        Methods to try.
    """

    limits: Limits
    methods: tuple[Method, ...]

    @staticmethod
    def of(
        limits: Limits, methods: Sequence[str] | None = None, *, training: bool = False
    ) -> Space:
        """The space of ``methods``: by default all that need no training, or all with it.

        Raises
        ------
        ModelError
            If a limit or a method is unknown or out of range.
        """
        limits.check()
        if methods is None:
            chosen = tuple(m for m in METHODS if training or m not in TRAINED)
        else:
            chosen = tuple(m for m in METHODS if m in methods)
            for method in methods:
                if method not in METHODS:
                    raise ModelError(
                        "methods", f"{method!r} is unknown", f"use {', '.join(METHODS)}"
                    )
                if method in TRAINED and not training:
                    raise ModelError("methods", f"{method} needs training", "allow training")
        space = Space(limits, tuple(m for m in chosen if Space(limits, chosen).steps(m)))
        if not space.methods:
            raise ModelError("limits", "no method works within them", "allow more timesteps")
        return space

    def steps(self, method: Method) -> tuple[int, ...]:
        """Numbers of timesteps worth trying: powers of two."""
        if method in ONE_STEP:
            powers = [1]
        else:
            top = self.limits.timesteps.bit_length()
            powers = [1 << k for k in range(int(method in MANY_STEPS), top)]
        return tuple(t for t in powers if self.levels(method, t))

    def levels(self, method: Method, timesteps: int) -> tuple[int, ...]:
        """Bits of a spike worth trying at so many timesteps."""
        most = 1 if method in BINARY else self.limits.levels
        return tuple(
            n
            for n in range(1, most + 1)
            if LEAST_CODES <= timesteps * (2**n - 1) <= max(MOST_CODES, timesteps)
        )

    @property
    def weight_bits(self) -> tuple[int, ...]:
        """Weight widths worth trying."""
        return tuple(range(LEAST_WEIGHT_BITS, self.limits.weight_bits + 1))

    def draw(self, trial: Suggest) -> Candidate:
        """The candidate that ``trial`` suggests; every suggestion is a valid one."""
        method: Method = trial.suggest_categorical("method", self.methods)
        timesteps = trial.suggest_categorical(f"timesteps of {method}", self.steps(method))
        drawn = {
            field: trial.suggest_categorical(name, choices)
            for field, (name, choices) in self._knobs(method, timesteps).items()
        }
        return Candidate(method, timesteps, **drawn)

    def parameters(self, candidate: Candidate) -> dict[str, Any]:
        """What a trial must be told so that `draw` gives ``candidate``."""
        method, timesteps = candidate.method, candidate.timesteps
        knobs = self._knobs(method, timesteps)
        return {
            "method": method,
            f"timesteps of {method}": timesteps,
            **{name: getattr(candidate, field) for field, (name, _) in knobs.items()},
        }

    def candidates(self) -> list[Candidate]:
        """Every candidate, each once, in a fixed order."""
        found = []
        for method in self.methods:
            for timesteps in self.steps(method):
                knobs = self._knobs(method, timesteps)
                for values in product(*(choices for _, choices in knobs.values())):
                    found.append(
                        Candidate(method, timesteps, **dict(zip(knobs, values, strict=True)))
                    )
        return found

    def _knobs(self, method: Method, timesteps: int) -> dict[str, tuple[str, tuple[Any, ...]]]:
        """Fields of a candidate, each with the name of its parameter and its choices.

        Methods with the same choices share a parameter: what is learnt of one holds for the other.
        """
        levels = self.levels(method, timesteps)
        kind = method if method in (*BINARY, *LAYERWISE) else "others"
        if method in BINARY:
            thresholds: tuple[str, ...] = (OWN,)
        elif method in LAYERWISE:
            thresholds = tuple(t for t in THRESHOLDS if t == OWN or t.startswith("layer"))
        else:
            thresholds = tuple(t for t in THRESHOLDS if t != OWN)
        trained = "trained" if method in TRAINED else "converted"
        return {
            "levels": (f"levels of {kind} at T = {timesteps}", levels),
            "weight_bits": ("weight bits", self.weight_bits),
            "thresholds": (f"thresholds of {kind}", thresholds),
            "tau": (f"tau if {trained}", (0.5,) if method in TRAINED else TAUS),
            "bias_correction": (
                f"bias correction of {kind}",
                (True,) if method in BINARY else (True, False),
            ),
            "activity": (
                f"activity of {'trained' if method in ONE_STEP else 'others'}",
                ACTIVITIES if method in ONE_STEP else (0.0,),
            ),
        }

    def starters(self) -> list[Candidate]:
        """Candidates to begin with, the most telling first; the search proper learns from them."""
        bits, wide = self.limits.weight_bits, self.limits.levels
        narrow = max(LEAST_WEIGHT_BITS, bits - 3)
        wished = [
            Candidate("rate", 1, min(4, wide), bits, "p99.9"),
            Candidate("rate", 1, min(4, wide), bits),
            Candidate("rate", 1, min(5, wide), bits, "layer p99.9", 0.3),
            Candidate("rate", 1, min(4, wide), bits, "layer p99.9"),
            Candidate("rate", 1, min(5, wide), bits, "p99.9"),
            *(Candidate(m, 1, min(5, wide), bits, OWN) for m in LAYERWISE),
            Candidate("rate", 1, min(3, wide), bits),
            Candidate("rate", 1, min(4, wide), narrow, "p99.9"),
            *(Candidate(m, 1, min(5, wide), bits, activity=0.25) for m in ONE_STEP),
            *(Candidate(m, 1, min(5, wide), bits, activity=0.35) for m in ONE_STEP),
            *(Candidate(m, 4, min(3, wide), bits) for m in MANY_STEPS),
            *(Candidate(m, 8, min(2, wide), bits) for m in MANY_STEPS),
            *(Candidate(m, 2, min(3, wide), bits) for m in MANY_STEPS),
            *(Candidate(m, 8, 1, bits, OWN) for m in BINARY),
            *(Candidate(m, 1, min(4, wide), bits, "p99.9") for m in ONE_STEP),
            Candidate("rate", 1, min(2, wide), bits),
        ]
        known = set(self.candidates())
        return [c for c in dict.fromkeys(wished) if c in known]

    def starters_for_boards(self) -> list[Candidate]:
        """`starters`, each followed by the same with few weight bits: a board is soon full."""
        few = min(FEW_WEIGHT_BITS, self.limits.weight_bits)
        pairs = ((c, replace(c, weight_bits=few)) for c in self.starters())
        return list(dict.fromkeys(chain.from_iterable(pairs)))
