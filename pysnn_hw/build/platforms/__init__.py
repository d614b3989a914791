# SPDX-License-Identifier: BSD-2-Clause
"""Platforms that amaranth-boards does not have, or has without a UART."""
