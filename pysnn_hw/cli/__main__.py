# SPDX-License-Identifier: BSD-2-Clause
"""``python -m pysnn_hw.cli`` is ``pysnn-hw``."""

import sys

from pysnn_hw.cli import main

sys.exit(main())
