# SPDX-License-Identifier: BSD-2-Clause
"""The stages of ``compile``, built from the verbs; `pysnn_hw.pipeline` runs them."""
