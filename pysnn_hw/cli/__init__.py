# SPDX-License-Identifier: BSD-2-Clause
"""The command line ``pysnn-hw``: every verb is a call of `pysnn_hw.api` with a face."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pysnn_hw.errors import PysnnError

USER_ERROR = 2
INTERNAL_ERROR = 1
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Errors that a user can cause end in one sentence on stderr and status 2, anything else in one
    sentence and status 1. With ``--debug``, anywhere on the line, the traceback is shown as well.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    from pysnn_hw.cli.app import app

    try:
        app([a for a in arguments if a != "--debug"], prog_name="pysnn-hw")
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else 0 if e.code is None else USER_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except (PysnnError, OSError) as e:
        if debug:
            raise
        sys.stderr.write(f"error: {_sentence(e)}\n")
        return USER_ERROR
    except Exception as e:
        if debug:
            raise
        sys.stderr.write(
            f"internal error: {type(e).__name__}: {_sentence(e)} "
            "(this is a fault in pysnn-hw: please report it with the output of --debug)\n"
        )
        return INTERNAL_ERROR
    return 0


def _sentence(error: BaseException) -> str:
    """The message on one line."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
