# SPDX-License-Identifier: BSD-2-Clause
"""cocotb testbenches; importable inside the simulator."""
