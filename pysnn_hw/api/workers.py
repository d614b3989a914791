# SPDX-License-Identifier: BSD-2-Clause
"""The processes of a search, as seen by their caller."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pysnn_hw.api.searching import Job, finish_one, run_worker, tell
from pysnn_hw.config import SearchOptions
from pysnn_hw.errors import ModelError, ToolError
from pysnn_hw.explore import Study
from pysnn_hw.explore.record import Record
from pysnn_hw.progress import Progress

SEARCH_SHARE = 0.75
"""Of the time, the part after which no other candidate is begun."""
POLL_S = 0.5


def check_effort(options: SearchOptions) -> None:
    """Refuse options of effort that make no sense.

    Raises
    ------
    ModelError
        If a number is out of range.
    ToolError
        If workers are asked for without what runs them.
    """
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


def try_candidates(job: Job, record: Study, progress: Progress) -> None:
    """Go on with a search, in as many processes as it has workers, until its trials are done."""
    record.recover()
    record.plan(job.starters)
    workers = job.options.workers
    if workers == 1:
        run_worker(job, progress)
        return
    from joblib import Parallel, delayed

    with _watched(job, record, progress):
        Parallel(n_jobs=workers)(delayed(run_worker)(job) for _ in range(workers))


def measure_best(job: Job, best: Sequence[Record], progress: Progress) -> None:
    """Measure the trials ``best`` on all images."""
    if job.options.workers == 1:
        done: Iterator[bool] = (finish_one(job, one) for one in best)
    else:
        from joblib import Parallel, delayed

        pool = Parallel(n_jobs=job.options.workers, return_as="generator_unordered")
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
