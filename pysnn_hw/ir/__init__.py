# SPDX-License-Identifier: BSD-2-Clause
"""Intermediate representations: the float graph, the spiking network, its file."""
