# SPDX-License-Identifier: BSD-2-Clause
"""The host's side of the link: driver, framing, virtual board, programmer."""

from pysnn_hw.host.driver import Inference, Link
from pysnn_hw.host.flash import flash
from pysnn_hw.host.run import open_link, run_images

__all__ = ["Inference", "Link", "flash", "open_link", "run_images"]
