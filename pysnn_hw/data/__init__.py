# SPDX-License-Identifier: BSD-2-Clause
"""Data sets as raw integer images: the bundled MNIST, an ``.npz`` file or a folder of images."""

from pysnn_hw.data.dataset import Dataset, load_dataset
from pysnn_hw.data.events import frames

__all__ = ["Dataset", "frames", "load_dataset"]
