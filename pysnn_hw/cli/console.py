# SPDX-License-Identifier: BSD-2-Clause
"""What goes where: the answer to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from pysnn_hw.progress import Progress as ProgressCallback


def as_json(value: Any) -> str:
    """JSON text of dataclasses, paths and numpy scalars; non-finite numbers become null."""
    return json.dumps(_plain(value), indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and value - value != 0:
        return None
    return value


def answer(result: Any, *, as_text: Callable[[Any], Iterable[RenderableType]], json: bool) -> None:
    """Print ``result`` on stdout, as JSON or as what ``as_text`` makes of it."""
    if json:
        sys.stdout.write(as_json(result) + "\n")
        return
    console = Console(width=None if sys.stdout.isatty() else 120)
    for item in as_text(result):
        if isinstance(item, str):
            # As it is: names may hold brackets, and a path that is broken over lines is of no use.
            console.print(item, soft_wrap=True, markup=False, highlight=False)
        else:
            console.print(item)


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Send what anybody else writes to stdout, child processes too, to stderr."""
    try:
        out, err = sys.stdout.fileno(), sys.stderr.fileno()
    except (io.UnsupportedOperation, AttributeError):
        # Captured streams have no file behind them; children are none of theirs.
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    sys.stdout.flush()
    saved = os.dup(out)
    os.dup2(err, out)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, out)
        os.close(saved)


@contextlib.contextmanager
def working() -> Iterator[ProgressCallback]:
    """A progress callback: a bar per task on a terminal, otherwise a line as each task begins."""
    console = Console(stderr=True)
    with quiet_stdout():
        if not console.is_terminal:
            yield _Lines(console)
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bars:
            yield _Bars(bars)


class _Lines:
    """For logs: one line per task."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: set[str] = set()

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._told:
            self._told.add(what)
            self._console.print(what, markup=False, highlight=False)


class _Bars:
    """For people: one moving bar per task."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total or None)
        self._bars.update(self._tasks[what], completed=done, total=total or None)


def table(title: str, *columns: str, left: int = 1) -> Table:
    """An empty table whose first ``left`` columns are text and whose others are numbers."""
    headed = any(columns)
    out = Table(title=title or None, title_justify="left", header_style="bold", show_header=headed)
    for k, column in enumerate(columns):
        out.add_column(column, justify="left" if k < left else "right")
    return out
