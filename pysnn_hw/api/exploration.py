# SPDX-License-Identifier: BSD-2-Clause
"""Search for the conversion of a model that costs least."""

from __future__ import annotations

import math
import time
from pathlib import Path

from pysnn_hw.api.explored import Exploration, ExploredPoint, conclude
from pysnn_hw.api.searching import Job, subject
from pysnn_hw.api.workers import SEARCH_SHARE, check_effort, measure_best, try_candidates
from pysnn_hw.config import ModelOptions, SearchOptions
from pysnn_hw.explore import finalists
from pysnn_hw.progress import Progress, silent

__all__ = ["Exploration", "ExploredPoint", "auto"]


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
    check_effort(options)
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
            try_candidates(job, record, progress)
            best = finalists(
                record.counting(),
                job.limits,
                tolerance=options.tolerance,
                price=options.cheapest,
                count=options.finalists,
            )
            measure_best(job, best, progress)
            return conclude(job, record.counting(), folder, start)
    finally:
        subject.cache_clear()
