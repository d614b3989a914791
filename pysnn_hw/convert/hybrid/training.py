# SPDX-License-Identifier: BSD-2-Clause
"""The knobs of method ``hybrid``."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pysnn_hw.errors import ModelError

Surrogate = Literal["linear", "stdb"]
SURROGATES: tuple[Surrogate, ...] = get_args(Surrogate)
MAX_LEAK = 15


@dataclass(frozen=True)
class HybridTraining:
    """How thresholds are balanced, and how the spiking network is trained then.

    Attributes
    ----------
    epochs
        Passes over the images; 0 balances the thresholds only.
    batch
        Images per step.
    rate
        First step size of Adam, relative to the size of each parameter; it falls to 0 as a cosine.
    surrogate
        What stands for the slope of a spike, see `surrogate`: ``linear`` looks at the membrane,
        ``stdb`` at the time since the last spike.
    alpha, beta
        Height of either, decay per step of ``stdb``.
    stdb_cutoff
        Steps after which ``stdb`` is 0; 103 is where ``exp(-dt)`` underflows in float32.
    leak
        Right shift k: a membrane loses ``v >> k`` of itself every step; 0: nothing.
    scaling
        Factor on the balanced thresholds: a largest current is far above the usual ones.
    balance_images, balance_steps
        Images and timesteps that thresholds are balanced on.
    dropout
        Share of neurons of each layer that are silent for a whole image, in training only.
    held_out
        Share of the images that is not trained on: the best epoch is the one best on these.
    patience
        Epochs without a better one before training stops.
    segment
        Timesteps whose activations are held at a time; the others are computed again on the way
        back, which takes a third more time. 0: all of them.
    seed
        Of the split, the order of the images, dropout and random spikes.
    checkpoint
        File written after every epoch, and resumed from when it exists.
    """

    epochs: int = 10
    batch: int = 32
    rate: float = 3e-3
    surrogate: Surrogate = "linear"
    alpha: float = 0.3
    beta: float = 0.01
    stdb_cutoff: int | None = None
    leak: int = 0
    scaling: float = 0.7
    balance_images: int = 128
    balance_steps: int = 100
    dropout: float = 0.0
    held_out: float = 0.1
    patience: int = 5
    segment: int = 0
    seed: int = 0
    checkpoint: Path | None = None

    def __post_init__(self) -> None:
        whole = {"epochs": 0, "batch": 1, "balance_images": 1, "balance_steps": 1, "patience": 1}
        for name, least in (whole | {"segment": 0, "leak": 0, "seed": 0}).items():
            if getattr(self, name) < least:
                raise ModelError(name, f"must be at least {least}, not {getattr(self, name)}")
        for name in ("rate", "alpha", "scaling"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ModelError(name, f"must be positive, not {value}")
        for name in ("dropout", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise ModelError(name, f"must be at least 0 and below 1, not {getattr(self, name)}")
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise ModelError("beta", f"must not be negative, not {self.beta}")
        if self.leak > MAX_LEAK:
            raise ModelError("leak", f"must be 0..{MAX_LEAK}, not {self.leak}")
        if self.stdb_cutoff is not None and self.stdb_cutoff < 0:
            raise ModelError("stdb_cutoff", f"must not be negative, not {self.stdb_cutoff}")
        if self.surrogate not in SURROGATES:
            raise ModelError(
                "surrogate", f"{self.surrogate!r} is unknown", f"use {' or '.join(SURROGATES)}"
            )

    def to_json(self) -> dict[str, Any]:
        """All that decides the result, as a JSON document."""
        settings = asdict(self)
        del settings["checkpoint"], settings["segment"]
        return settings
