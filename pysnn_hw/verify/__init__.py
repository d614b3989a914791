# SPDX-License-Identifier: BSD-2-Clause
"""Hardware against golden: generated Verilog, compiled by Verilator, compared word by word."""

from pysnn_hw.verify.compare import Mismatch
from pysnn_hw.verify.dataset import HarnessResult, run_dataset
from pysnn_hw.verify.harness import Pressure
from pysnn_hw.verify.run import Check, VerifyReport, verify

__all__ = [
    "Check",
    "HarnessResult",
    "Mismatch",
    "Pressure",
    "VerifyReport",
    "run_dataset",
    "verify",
]
