# SPDX-License-Identifier: BSD-2-Clause
"""Trained networks in, `AnnGraph` out; the only modules that know a training framework."""

from pysnn_hw.frontend.builder import Unsupported
from pysnn_hw.frontend.compare import ImportedModel
from pysnn_hw.frontend.source import import_model, list_unsupported

__all__ = ["ImportedModel", "Unsupported", "import_model", "list_unsupported"]
