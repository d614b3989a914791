# SPDX-License-Identifier: BSD-2-Clause
"""Trained networks in, `AnnGraph` out; NIR graphs in and out of `SnnNetwork`.

The only modules that know a training framework.
"""

from pysnn_hw.frontend.builder import Unsupported
from pysnn_hw.frontend.compare import ImportedModel
from pysnn_hw.frontend.nir import NirOptions, read_nir
from pysnn_hw.frontend.nir_export import write_nir
from pysnn_hw.frontend.source import import_model, list_unsupported

__all__ = [
    "ImportedModel",
    "NirOptions",
    "Unsupported",
    "import_model",
    "list_unsupported",
    "read_nir",
    "write_nir",
]
