# SPDX-License-Identifier: BSD-2-Clause
"""A core that runs several layers in turn."""
