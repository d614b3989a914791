# SPDX-License-Identifier: BSD-2-Clause
"""What each process of a search does; jobs are plain values, so that they can go anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from pysnn_hw.api.conversion import calibration_images, preprocessing
from pysnn_hw.api.sample import spread
from pysnn_hw.api.stages.network import Source
from pysnn_hw.config import CompileOptions, ModelOptions, SearchOptions
from pysnn_hw.explore import (
    Candidate,
    Limits,
    Rules,
    Space,
    Study,
    Subject,
    measure_finally,
    predict,
    predict_designs,
)
from pysnn_hw.explore.record import Record
from pysnn_hw.explore.search import Predict, search
from pysnn_hw.ir.file import load, save
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.pipeline.files import source_hash, tree_hash
from pysnn_hw.plan import load_board
from pysnn_hw.progress import Progress, silent

FIRST_RUNG = 250
"""Images after which the worst candidates are given up."""
ROOMS = ("convert", "explore", "frontend", "golden", "ir", "plan")
"""A record made by other code is of other figures."""


@dataclass(frozen=True)
class Job:
    """A search, as told to a process.

    Attributes
    ----------
    study
        File or URL of the record.
    folder
        For networks and locks.
    search_deadline, deadline
        When to begin no other candidate, and no other measurement; `time.time` seconds.
    boards
        For which designs are planned; without any, cycles alone are predicted (`predict`).
    validation_share
        Share of the test images that candidates are measured on.
    fingerprint
        Of everything that a measurement depends on; `named` fills it in.
    """

    model: str
    data: str
    source: ModelOptions
    options: SearchOptions
    study: str
    folder: str
    search_deadline: float
    deadline: float
    boards: tuple[str, ...] = ()
    validation_share: float = 1.0
    fingerprint: str = ""

    @property
    def named(self) -> Job:
        """The job with its fingerprint."""
        return replace(self, fingerprint=_fingerprint(self))

    @property
    def limits(self) -> Limits:
        """The user's bounds."""
        o = self.options
        return Limits(o.max_cycles, o.max_sops, o.max_timesteps, o.max_levels, o.max_weight_bits)

    @property
    def space(self) -> Space:
        """Where candidates come from."""
        return Space.of(self.limits, self.options.methods, training=self.options.allow_training)

    @property
    def starters(self) -> list[Candidate]:
        """Candidates to begin with."""
        space = self.space
        return space.starters_for_boards() if self.boards else space.starters()

    def measured_images(self, what: Subject) -> int:
        """Test images that candidates may be measured on: the first so many of ``what``."""
        return max(1, round(self.validation_share * len(what.images)))

    def planned_images(self, what: Subject) -> Array:
        """Images whose spikes designs are planned for: those that candidates are measured on."""
        return what.images[: self.measured_images(what)]

    def network_file(self, candidate: Candidate) -> Path:
        """Where the network of a candidate is kept."""
        text = json.dumps([self.fingerprint, candidate.to_json()], sort_keys=True)
        return Path(self.folder) / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.snn"

    def open(self) -> Study:
        """The record of the search."""
        folder = Path(self.folder)
        return Study(self.study, self.fingerprint, self.space, folder, seed=self.options.seed)


def rungs(images: int, available: int) -> tuple[int, ...]:
    """Numbers of images at which a candidate is judged."""
    last = min(images, available)
    return (FIRST_RUNG, last) if last >= 2 * FIRST_RUNG else (last,)


@lru_cache(maxsize=1)
def subject(job: Job) -> Subject:
    """The model and its images, loaded once per process."""
    source, options = _source(job), job.options
    data = source.dataset
    train = calibration_images(data, options.calibration_images)
    training, labels = train, None
    if options.allow_training and data.x_train is not None:
        training = spread(data.x_train, options.training_images)
        labels = None if data.y_train is None else spread(data.y_train, options.training_images)
    return Subject(
        source.imported.graph,
        preprocessing(job.source),
        train,
        training,
        labels,
        data.x_test,
        data.y_test,
        threads=max(1, (os.cpu_count() or 1) // options.workers),
    )


def run_worker(job: Job, progress: Progress = silent) -> None:
    """Try candidates until the search is over."""
    what = subject(job)
    rules = Rules(rungs(job.options.images, job.measured_images(what)), job.limits)

    def keep(candidate: Candidate, net: FixedNetwork) -> None:
        save(net, job.network_file(candidate))

    parent = os.getppid()

    def over() -> bool:
        # A worker whose caller was killed has nobody left to work for.
        return time.time() >= job.search_deadline or os.getppid() != parent

    with job.open() as study:

        def after() -> None:
            tell(progress, study.counting(), job.options.trials)

        search(
            study,
            what,
            rules,
            trials=job.options.trials,
            predict=_predictor(job, what),
            over=over,
            keep=keep,
            after=after,
        )


def _predictor(job: Job, what: Subject) -> Predict:
    if job.boards:
        boards = [load_board(board) for board in job.boards]
        return partial(predict_designs, images=job.planned_images(what), boards=boards)
    board = None if job.options.board is None else load_board(job.options.board)
    return partial(predict, images=what.calibration, board=board)


def tell(progress: Progress, records: list[Record], trials: int) -> None:
    """Tell how many trials are done."""
    progress("search", min(sum(not r.running for r in records), trials), trials)


def network_of(job: Job, candidate: Candidate) -> FixedNetwork:
    """The network of a candidate, from its file if this machine has it."""
    path = job.network_file(candidate)
    if path.exists():
        return load(path)
    net = subject(job).network(candidate)
    save(net, path)
    return net


def finish_one(job: Job, record: Record) -> bool:
    """Measure a trial on all images, unless time is up; whether it was."""
    if record.candidate is None or time.time() >= job.deadline:
        return False
    what = subject(job)
    most = job.measured_images(what)
    images = min(job.options.final_images or most, most)
    if record.final is None or record.final.tally.images < images:
        net = network_of(job, record.candidate)
        point = measure_finally(record, net, what, images)
        with job.open() as study:
            study.set_final(record.number, point)
    return True


def _source(job: Job) -> Source:
    return Source(CompileOptions(job.model, job.data, (), job.source))


def _fingerprint(job: Job) -> str:
    source, o = _source(job), job.options
    board = None if o.board is None else repr(load_board(o.board))
    boards = sorted(repr(load_board(board)) for board in job.boards)
    parts = [
        tree_hash([*source.model_files, *source.data_files]),
        source_hash(ROOMS),
        asdict(job.source),
        asdict(job.limits),
        job.space.methods,
        [o.images, o.calibration_images, o.training_images if o.allow_training else 0, board],
        [boards, job.validation_share],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
