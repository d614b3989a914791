# SPDX-License-Identifier: BSD-2-Clause
"""The stages of ``compile``: named steps with saved results, redone only when an input changed."""
