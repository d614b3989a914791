# SPDX-License-Identifier: BSD-2-Clause
"""The UART link between a host and an accelerator; the protocol is in docs/link.md."""
