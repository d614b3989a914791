# SPDX-License-Identifier: BSD-2-Clause
"""The golden simulator: what the hardware must compute, bit for bit."""

from pysnn_hw.golden.network import simulate, simulate_batches
from pysnn_hw.golden.result import Result, Trace

__all__ = ["Result", "Trace", "simulate", "simulate_batches"]
