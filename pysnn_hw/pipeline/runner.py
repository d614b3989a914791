# SPDX-License-Identifier: BSD-2-Clause
"""Runs stages in order, skipping those that are current."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pysnn_hw.errors import PysnnError
from pysnn_hw.pipeline.manifest import Manifest
from pysnn_hw.pipeline.stage import Stage
from pysnn_hw.progress import Progress


@dataclass(frozen=True)
class StageTime:
    """What became of one stage: whether it ran now, and the seconds it took when it last did."""

    name: str
    ran: bool
    seconds: float


def run_stages(stages: Sequence[Stage], folder: Path, progress: Progress) -> list[StageTime]:
    """Bring every stage of ``folder`` up to date, in order.

    A stage that fails leaves the finished ones recorded; running again resumes there.

    Raises
    ------
    PysnnError
        If another process works in the folder, or a stage fails.
    ValueError
        If two stages have one name.
    """
    names = Counter(stage.name for stage in stages)
    if len(names) < len(stages):
        raise ValueError(f"two stages are called {names.most_common(1)[0][0]!r}")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            return _run_locked(stages, Manifest(folder / "manifest.json"), progress)
    except Timeout as e:
        raise PysnnError(str(folder), "another pysnn-hw works in this folder", "wait for it") from e


def _run_locked(stages: Sequence[Stage], manifest: Manifest, progress: Progress) -> list[StageTime]:
    times: dict[str, StageTime] = {}
    for _, members in itertools.groupby(stages, key=lambda s: s.group or f"only {s.name}"):
        due: list[tuple[Stage, str]] = []
        for stage in members:
            # Taken before the work: an input that changes meanwhile makes the stage due again.
            fingerprint = stage.fingerprint()
            if manifest.is_current(stage, fingerprint):
                times[stage.name] = StageTime(stage.name, False, manifest.seconds(stage.name))
            else:
                due.append((stage, fingerprint))
                manifest.forget(stage)
        outcomes = _run_group([stage for stage, _ in due], progress)
        for (stage, fingerprint), outcome in zip(due, outcomes, strict=True):
            if isinstance(outcome, float):
                manifest.finish(stage, fingerprint, outcome)
                times[stage.name] = StageTime(stage.name, True, outcome)
        # Only now, so that what succeeded beside a failure is kept.
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
    return [times[stage.name] for stage in stages]


def _run_group(due: Sequence[Stage], progress: Progress) -> list[float | Exception]:
    """Seconds or failure of each stage; a lone one runs here, where Ctrl-C reaches it."""
    if len(due) < 2:
        return [_timed(stage, progress) for stage in due]
    with ThreadPoolExecutor(max_workers=len(due)) as pool:
        return list(pool.map(lambda stage: _timed(stage, progress), due))


def _timed(stage: Stage, progress: Progress) -> float | Exception:
    start = time.perf_counter()
    progress(stage.name, 0, 0)
    try:
        stage.run(progress)
    except Exception as e:
        return e
    progress(stage.name, 1, 1)
    return time.perf_counter() - start
