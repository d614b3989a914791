# SPDX-License-Identifier: BSD-2-Clause
"""From a trained network to a verified spiking accelerator and its bitstream."""

__version__ = "0.1.0"
