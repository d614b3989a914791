# SPDX-License-Identifier: BSD-2-Clause
"""Every error that a user can cause, as one sentence that names the cause and the way out."""

from __future__ import annotations


class PysnnError(Exception):
    """Base of all user-facing errors. The CLI prints the message alone and exits with status 2.

    Parameters
    ----------
    where
        The file, layer, field or option at fault.
    problem
        What is wrong with it, with the offending value.
    hint
        What to do about it (may be empty).
    """

    def __init__(self, where: str, problem: str, hint: str = "") -> None:
        self.where, self.problem, self.hint = where, problem, hint
        super().__init__(f"{where}: {problem}" + (f"; {hint}" if hint else ""))

    def __reduce__(self) -> tuple[type[PysnnError], tuple[str, str, str]]:
        """Errors cross processes: made again from their parts."""
        return type(self), (self.where, self.problem, self.hint)


class ModelError(PysnnError):
    """A source model cannot be imported or converted."""


class FileFormatError(PysnnError):
    """A ``.snn`` file (or another file that we read) is malformed."""


class NetworkError(PysnnError):
    """A network breaks a rule of its level (shape, range, order, width)."""


class DataError(PysnnError):
    """A data set or an image is unusable."""


class PlanError(PysnnError):
    """A network does not fit a board, or a folding is impossible."""


class BoardError(PysnnError):
    """A board file is unknown or malformed."""


class ToolError(PysnnError):
    """An external tool is missing or failed."""


class LinkError(PysnnError):
    """The host link failed: port gone, time-out, bad answer."""


class VerificationError(PysnnError):
    """Hardware and golden disagree."""
