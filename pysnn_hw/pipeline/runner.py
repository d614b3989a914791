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
    """What became of one stage.

    Attributes
    ----------
    ran, seconds
        Whether it ran now, and how long it took when it last did.
    error
        Why it failed, or why a stage failed that it needs.
    """

    name: str
    ran: bool
    seconds: float
    error: PysnnError | None = None


def run_stages(stages: Sequence[Stage], folder: Path, progress: Progress) -> list[StageTime]:
    """Bring every stage of ``folder`` up to date, in order.

    A stage that fails stops those that read its outputs, and no others. What is finished is
    recorded; running again goes on from there.

    Raises
    ------
    PysnnError
        If another process works in the folder.
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
    missing: dict[Path, PysnnError] = {}

    def fail(stage: Stage, error: PysnnError, seconds: float) -> None:
        missing.update(dict.fromkeys(stage.outputs, error))
        times[stage.name] = StageTime(stage.name, seconds > 0, seconds, error)

    for _, members in itertools.groupby(stages, key=lambda s: s.group or f"only {s.name}"):
        due: list[tuple[Stage, str]] = []
        for stage in members:
            lacks = next((missing[path] for path in stage.inputs if path in missing), None)
            if lacks is not None:
                fail(stage, lacks, 0.0)
                continue
            # Taken before the work: an input that changes meanwhile makes the stage due again.
            fingerprint = stage.fingerprint()
            if manifest.is_current(stage, fingerprint):
                times[stage.name] = StageTime(stage.name, False, manifest.seconds(stage.name))
            else:
                due.append((stage, fingerprint))
                manifest.forget(stage)
        outcomes = _run_group([stage for stage, _ in due], progress)
        for (stage, fingerprint), (seconds, error) in zip(due, outcomes, strict=True):
            if error is None:
                manifest.finish(stage, fingerprint, seconds)
                times[stage.name] = StageTime(stage.name, True, seconds)
            elif isinstance(error, PysnnError):
                fail(stage, error, seconds)
        # A fault of ours ends everything, but not before what succeeded beside it is recorded.
        for _, error in outcomes:
            if error is not None and not isinstance(error, PysnnError):
                raise error
    return [times[stage.name] for stage in stages]


def _run_group(due: Sequence[Stage], progress: Progress) -> list[tuple[float, Exception | None]]:
    """Seconds and failure of each stage; a lone one runs here, where Ctrl-C reaches it."""
    if len(due) < 2:
        return [_timed(stage, progress) for stage in due]
    with ThreadPoolExecutor(max_workers=len(due)) as pool:
        return list(pool.map(lambda stage: _timed(stage, progress), due))


def _timed(stage: Stage, progress: Progress) -> tuple[float, Exception | None]:
    start = time.perf_counter()
    progress(stage.name, 0, 0)
    error: Exception | None = None
    try:
        stage.run(progress)
    except Exception as e:
        error = e
    progress(stage.name, 1, 1)
    return time.perf_counter() - start, error
