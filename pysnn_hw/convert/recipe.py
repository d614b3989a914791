# SPDX-License-Identifier: BSD-2-Clause
"""The knobs of a conversion, and what each of them may be."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pysnn_hw.convert.calibrate import CALIBRATIONS, Calibration
from pysnn_hw.convert.encoding import SEED
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.check import MAX_SEED, MAX_SPIKE

Method = Literal["rate", "ecc", "signed", "srp", "cos", "qcfs", "hybrid"]
METHODS: tuple[Method, ...] = get_args(Method)
Reset = Literal["soft", "hard"]
RESETS: tuple[Reset, ...] = get_args(Reset)
BatchNormForm = Literal["folded", "kept"]
BATCHNORM_FORMS: tuple[BatchNormForm, ...] = get_args(BatchNormForm)
MaxPooling = Literal["running", "gate"]
MAX_POOLINGS: tuple[MaxPooling, ...] = get_args(MaxPooling)
Encoding = Literal["constant", "bernoulli"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
Reading = Literal["potential", "count", "first", "sampled"]
READINGS: tuple[Reading, ...] = get_args(Reading)

MAX_TIMESTEPS = 1 << 12
MAX_LEVELS = 8


@dataclass(frozen=True)
class Recipe:
    """How a network is converted; the meaning of each field is with `conversion.convert`.

    Raises
    ------
    ModelError
        A field is out of range, or does not go with the method.
    """

    timesteps: int = 1
    levels: int = 4
    counts: int | None = None
    method: Method = "rate"
    calibration: Calibration | None = None
    per_channel: bool | None = None
    percentile: float = 99.9
    tau: float = 0.5
    reset: Reset = "soft"
    batchnorm: BatchNormForm = "folded"
    bias_correction: bool = True
    probe: int = 4
    max_pool: MaxPooling = "running"
    encoding: Encoding = "constant"
    seed: int = SEED
    readout: Reading = "potential"
    early_exit: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.timesteps <= MAX_TIMESTEPS:
            raise ModelError("timesteps", f"must be 1..{MAX_TIMESTEPS}, not {self.timesteps}")
        if not 1 <= self.levels <= MAX_LEVELS:
            raise ModelError("levels", f"must be 1..{MAX_LEVELS} bits, not {self.levels}")
        if self.counts is not None and not 1 <= self.counts <= MAX_SPIKE:
            raise ModelError("counts", f"must be 1..{MAX_SPIKE}, not {self.counts}")
        _check_choice("method", self.method, METHODS)
        _check_choice("reset", self.reset, RESETS)
        _check_choice("batchnorm", self.batchnorm, BATCHNORM_FORMS)
        if self.calibration is not None:
            _check_choice("calibration", self.calibration, CALIBRATIONS)
        if not 0 < self.percentile <= 100:
            raise ModelError("percentile", f"must be in 0..100, not {self.percentile}")
        if not 0 <= self.tau <= 1:
            raise ModelError("tau", f"must be in 0..1, not {self.tau}")
        if not 1 <= self.probe <= MAX_TIMESTEPS:
            raise ModelError("probe", f"must be 1..{MAX_TIMESTEPS} timesteps, not {self.probe}")
        _check_choice("max_pool", self.max_pool, MAX_POOLINGS)
        _check_choice("encoding", self.encoding, ENCODINGS)
        _check_choice("readout", self.readout, READINGS)
        if not 1 <= self.seed <= MAX_SEED:
            raise ModelError("seed", f"must be 1..{MAX_SEED}, not {self.seed}")
        if not 0 <= self.early_exit <= 1:
            raise ModelError("early_exit", f"must be in 0..1, not {self.early_exit}")
        if self.probes:
            _check_probing(self)
        if self.method == "qcfs":
            _check_qcfs(self)
        if self.method == "hybrid":
            _check_hybrid(self)

    @property
    def spike_max(self) -> int:
        """Largest value of one spike."""
        return 2**self.levels - 1 if self.counts is None else self.counts

    @property
    def probes(self) -> bool:
        """Whether a first run decides how neurons start into the one that counts."""
        return self.method in ("srp", "cos")

    @property
    def balances(self) -> bool:
        """Whether thresholds are balanced on single steps, not chosen by a calibration."""
        return self.method == "hybrid" and self.calibration is None

    @property
    def chosen_calibration(self) -> Calibration:
        """The calibration asked for, else that of the method."""
        return self.calibration or ("max" if self.method == "ecc" else "mse")

    @property
    def thresholds_per_channel(self) -> bool:
        """Whether each channel has a threshold of its own."""
        return self.method != "ecc" if self.per_channel is None else self.per_channel

    def to_json(self) -> dict[str, Any]:
        """What goes into the provenance: every field that had a say."""
        found = asdict(self)
        found["calibration"] = self.chosen_calibration
        found["per_channel"] = self.thresholds_per_channel
        if self.chosen_calibration != "percentile":
            del found["percentile"]
        del found["levels" if self.counts else "counts"]
        if not self.probes:
            del found["probe"]
        if self.encoding == "constant" and self.readout != "sampled":
            del found["seed"]
        if self.balances:
            for name in ("calibration", "per_channel", "bias_correction"):
                del found[name]
        return found


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        listed = " or ".join(known) if len(known) == 2 else ", ".join(known)
        raise ModelError(name, f"{value!r} is unknown", f"use {listed}")


def _check_probing(recipe: Recipe) -> None:
    if recipe.encoding != "constant":
        raise ModelError("encoding", f"must be constant for {recipe.method}, which runs it twice")
    if recipe.reset == "hard":
        raise ModelError("reset", f"must be soft for {recipe.method}")
    if recipe.readout == "first":
        problem = f"first does not go with {recipe.method}: its probe would fire it"
        raise ModelError("readout", problem, "use count")


def _check_qcfs(recipe: Recipe) -> None:
    if recipe.timesteps > 1 or recipe.reset == "hard" or recipe.tau != 0.5:
        raise ModelError(
            "method", "qcfs is for one timestep, soft reset and tau 0.5", "use rate or signed"
        )
    if recipe.encoding != "constant":
        raise ModelError("encoding", "must be constant for qcfs")
    if recipe.batchnorm == "kept":
        raise ModelError(
            "batchnorm", "kept makes no sense where weights are trained on", "use folded"
        )


def _check_hybrid(recipe: Recipe) -> None:
    if recipe.spike_max != 1:
        raise ModelError(
            "levels", f"must be 1 for hybrid, whose spikes are binary, not {recipe.levels}"
        )
    if recipe.reset == "hard" or recipe.batchnorm == "kept":
        raise ModelError("method", "hybrid is for soft reset and folded batch norm")
    if recipe.max_pool == "gate":
        raise ModelError("max_pool", "must be running for hybrid")
    if recipe.balances and recipe.per_channel is not None:
        raise ModelError(
            "per_channel", "has no meaning where thresholds are balanced", "choose a calibration"
        )
