# SPDX-License-Identifier: BSD-2-Clause
"""Projects for Vivado, where only the vendor's tool makes bitstreams."""

from pysnn_hw.build.vivado.project import VivadoProject, write_project

__all__ = ["VivadoProject", "write_project"]
