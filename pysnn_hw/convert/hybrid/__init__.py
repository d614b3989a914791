# SPDX-License-Identifier: BSD-2-Clause
"""Method ``hybrid``: balance thresholds, then train the spiking network itself (methods.md 4)."""

from pysnn_hw.convert.hybrid.balance import balanced_network
from pysnn_hw.convert.hybrid.learning import Finetuned, finetune
from pysnn_hw.convert.hybrid.training import SURROGATES, HybridTraining, Surrogate
from pysnn_hw.convert.hybrid.weights import load_weights, weights_of

__all__ = [
    "SURROGATES",
    "Finetuned",
    "HybridTraining",
    "Surrogate",
    "balanced_network",
    "finetune",
    "load_weights",
    "weights_of",
]
