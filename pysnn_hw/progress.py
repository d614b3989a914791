# SPDX-License-Identifier: BSD-2-Clause
"""How long work tells of itself: the library calls, the command line draws."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told what is being done, and how far it is.

    ``progress(what, done, total)`` is called when ``what`` begins (``done`` 0), as it advances and
    when it ends (``done == total``). ``total`` is 0 while it is unknown.
    """

    def __call__(self, what: str, done: int, total: int) -> None: ...


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""
