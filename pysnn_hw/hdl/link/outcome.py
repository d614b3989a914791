# SPDX-License-Identifier: BSD-2-Clause
"""What became of a frame from the host: passed from `CommandHandler` to `ReplyWriter`."""

from amaranth.lib import data, enum

from pysnn_hw.hdl.link.protocol import Request

__all__ = ["OutcomeKind", "outcome"]


class OutcomeKind(enum.Enum, shape=2):  # type: ignore[call-arg]
    """The reply that is due: an error, or the one to a request of the same number."""

    ERROR = 0
    INFO = Request.INFO
    INFER = Request.INFER
    WRITE = Request.WRITE


outcome = data.StructLayout({"kind": OutcomeKind, "sequence": 8, "code": 4, "count": 8})
"""``code`` (an `ErrorCode`) and ``count`` belong to errors."""
