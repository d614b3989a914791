# SPDX-License-Identifier: BSD-2-Clause
"""From hardware to files: Verilog, bitstreams, flash images, and what the tools say of them."""

from pysnn_hw.build.flow import BuildResult, build_accelerator, build_bitstream
from pysnn_hw.build.verilog import to_verilog

__all__ = ["BuildResult", "build_accelerator", "build_bitstream", "to_verilog"]
