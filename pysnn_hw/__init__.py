# SPDX-License-Identifier: BSD-2-Clause
"""From a trained network to a verified spiking accelerator and its bitstream.

`pysnn_hw.api` has the verbs of the command line as functions: ``from pysnn_hw import api``.
"""

__version__ = "0.1.0"
