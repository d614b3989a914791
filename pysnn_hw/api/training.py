# SPDX-License-Identifier: BSD-2-Clause
"""What the options of a conversion say about training."""

from __future__ import annotations

from pathlib import Path

from pysnn_hw.config import ConvertOptions
from pysnn_hw.convert import HybridTraining, Training
from pysnn_hw.convert.quantisation import MAX_BITS
from pysnn_hw.errors import ModelError

BOTH = ("epochs", "learning_rate")
QCFS = ("activity",)
HYBRID = ("surrogate", "leak", "threshold_scale", "checkpoint")


def training(options: ConvertOptions) -> Training | HybridTraining | None:
    """The options of the method's training, its own defaults where nothing is said.

    Raises
    ------
    ModelError
        If an option is out of range, or of another method.
    """
    taken = {"qcfs": BOTH + QCFS, "hybrid": BOTH + HYBRID}.get(options.method, ())
    plain = ConvertOptions()
    for name in BOTH + QCFS + HYBRID:
        if name not in taken and getattr(options, name) != getattr(plain, name):
            others = "qcfs or hybrid" if name in BOTH else "qcfs" if name in QCFS else "hybrid"
            raise ModelError(
                name, f"has no meaning for method {options.method}", f"use method {others}"
            )
    if options.method == "qcfs":
        usual = Training()
        if options.learning_rate is not None and options.learning_rate <= 0:
            raise ModelError("learning_rate", f"must be positive, not {options.learning_rate}")
        return Training(
            weight_bits=_trained_bits(options),
            epochs=usual.epochs if options.epochs is None else options.epochs,
            rate=options.learning_rate or usual.rate,
            activity=options.activity,
        )
    if options.method == "hybrid":
        common = HybridTraining()
        return HybridTraining(
            epochs=common.epochs if options.epochs is None else options.epochs,
            rate=common.rate if options.learning_rate is None else options.learning_rate,
            surrogate=options.surrogate,
            leak=options.leak,
            scaling=options.threshold_scale,
            checkpoint=None if options.checkpoint is None else Path(options.checkpoint),
        )
    return None


def _trained_bits(options: ConvertOptions) -> int | None:
    """Few bits are trained for, where all layers have as many; eight need no training."""
    few = options.weight_bits < MAX_BITS and not options.layer_bits
    return options.weight_bits if few else None
