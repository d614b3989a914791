# SPDX-License-Identifier: BSD-2-Clause
"""Search for the conversion of a model that costs least."""

from __future__ import annotations

import importlib.util
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pysnn_hw.api.explored import Exploration, ExploredPoint, conclude
from pysnn_hw.api.searching import Job, finish_one, run_worker, subject, tell
from pysnn_hw.config import ModelOptions, SearchOptions
from pysnn_hw.errors import ModelError, ToolError
from pysnn_hw.explore import Study, finalists
from pysnn_hw.progress import Progress, silent

__all__ = ["Exploration", "ExploredPoint", "auto"]

SEARCH_SHARE = 0.75
"""Of the time, the part after which no other candidate is begun."""
POLL_S = 0.5


def auto(
    model: str | Path,
    data: str | Path,
    output: str | Path,
    *,
    source: ModelOptions | None = None,
    options: SearchOptions | None = None,
    study: str | Path | None = None,
    progress: Progress = silent,
) -> Exploration:
    """Try ways to convert ``model`` and choose one.

    Parameters
    ----------
    model
        An ``.onnx``, ``.pt2``, ``.keras`` or ``.h5`` file, or ``file.py:factory``.
    data
        As `pysnn_hw.data.load_dataset` takes it; thresholds come from its training images, points
        are measured on its test images.
    output
        Folder for ``network.snn``, ``auto.html`` and ``auto.json``.
    source, options
        How the model sees its input; bounds and thoroughness.
    study
        File or database URL of the record, by default ``study.db`` in the folder. A search that was
        interrupted goes on from it, and several processes may share it.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        If the model, the data set, the options or the record are unusable, or nothing converts.
    """
    start = time.time()
    options, folder = options or SearchOptions(), Path(output)
    _check(options)
    timeout = math.inf if options.timeout is None else options.timeout
    job = Job(
        str(model),
        str(data),
        source or ModelOptions(),
        options,
        str(study or folder / "study.db"),
        str(folder / "work"),
        start + SEARCH_SHARE * timeout,
        start + timeout,
    ).named
    try:
        with job.open() as record:
            record.recover()
            record.plan(job.space.starters())
            _search(job, record, progress)
            _finish(job, record, progress)
            return conclude(job, record.counting(), folder, start)
    finally:
        subject.cache_clear()


def _check(options: SearchOptions) -> None:
    for name, value in (
        ("trials", options.trials),
        ("images", options.images),
        ("final images", options.final_images or 1),
        ("finalists", options.finalists),
        ("workers", options.workers),
        ("calibration images", options.calibration_images),
        ("training images", options.training_images),
    ):
        if value < 1:
            raise ModelError(name, f"must be at least 1, not {value}")
    if options.timeout is not None and not options.timeout > 0:
        raise ModelError("timeout", f"must be positive, not {options.timeout:g}")
    if options.workers > 1 and importlib.util.find_spec("joblib") is None:
        raise ToolError("joblib", "is needed for workers", "pip install 'pysnn-hw[explore]'")


def _search(job: Job, record: Study, progress: Progress) -> None:
    workers = job.options.workers
    if workers == 1:
        run_worker(job, progress)
        return
    from joblib import Parallel, delayed

    with _watched(job, record, progress):
        Parallel(n_jobs=workers)(delayed(run_worker)(job) for _ in range(workers))


def _finish(job: Job, record: Study, progress: Progress) -> None:
    options = job.options
    best = finalists(
        record.counting(),
        job.limits,
        tolerance=options.tolerance,
        price=options.cheapest,
        count=options.finalists,
    )
    if options.workers == 1:
        done: Iterator[bool] = (finish_one(job, one) for one in best)
    else:
        from joblib import Parallel, delayed

        pool = Parallel(n_jobs=options.workers, return_as="generator_unordered")
        done = pool(delayed(finish_one)(job, one) for one in best)
    progress("measure the best", 0, len(best))
    for k, _ in enumerate(done):
        progress("measure the best", k + 1, len(best))


@contextmanager
def _watched(job: Job, record: Study, progress: Progress) -> Iterator[None]:
    """Tell how far other processes are, while they work."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_S):
            tell(progress, record.counting(), job.options.trials)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    tell(progress, record.counting(), job.options.trials)
