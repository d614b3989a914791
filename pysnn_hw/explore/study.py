# SPDX-License-Identifier: BSD-2-Clause
"""The record of a search, in a database that several processes may share.

Every trial is one candidate. A process claims it, notes what it measures after each rung and
closes it; all of that stands in the database, so that any process can read it and go on.
"""

from __future__ import annotations

import importlib.util
import platform
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from pysnn_hw.errors import FileFormatError, ToolError
from pysnn_hw.explore.candidate import Candidate
from pysnn_hw.explore.front import Point
from pysnn_hw.explore.measure import Tally
from pysnn_hw.explore.record import Record, final_key, point_to_json, void_key
from pysnn_hw.explore.space import Space

if TYPE_CHECKING:
    import optuna

NAME = "pysnn-hw auto"
STARTUP_TRIALS = 12
"""Trials before the sampler begins to learn; the starters are among them."""
LOCK_PATIENCE_S = 60
"""How long a process waits for others to let go of an SQLite file."""
CLAIM_PATIENCE_S = 10.0
"""How long a process waits for one that has drawn a trial to say what it has drawn."""


class Study:
    """One search. Objects of this class do not cross processes: each opens its own.

    Parameters
    ----------
    url
        A file (SQLite), or the URL of a database as SQLAlchemy takes it.
    subject
        Names model, data and options: the record of anything else is refused.
    space
        Where candidates are drawn from.
    folder
        Where this process keeps the file whose lock says that it lives.
    seed
        Of the sampler.

    Raises
    ------
    ToolError
        If Optuna is missing or the database cannot be used.
    FileFormatError
        If the database holds the search of another subject.
    """

    def __init__(
        self, url: str, subject: str, space: Space, folder: Path, *, seed: int = 0
    ) -> None:
        _require_optuna()
        self.space, self.seed = space, seed
        self._study = self._open(url)
        self._drawing = _drawing_lock(url)
        known = self._study.user_attrs.get("subject")
        if known is None:
            self._study.set_user_attr("subject", subject)
        elif known != subject:
            raise FileFormatError(
                url,
                "holds the search of another model, data set, bounds or version",
                "name another study, or delete this one",
            )
        folder.mkdir(parents=True, exist_ok=True)
        # The system lets go of a lock when its process ends, however it ends.
        path = folder.absolute() / f"worker-{time.time_ns():x}.lock"
        self._alive = FileLock(path)
        self._alive.acquire()
        self._owner = {"host": platform.node(), "lock": str(path)}

    def _open(self, url: str) -> optuna.Study:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        optuna.logging.set_verbosity(optuna.logging.WARNING)

        is_file = "://" not in url
        address = f"sqlite:///{Path(url).absolute().as_posix()}" if is_file else url
        patience = {"connect_args": {"timeout": LOCK_PATIENCE_S}}
        try:
            if is_file:
                Path(url).absolute().parent.mkdir(parents=True, exist_ok=True)
            return optuna.create_study(
                study_name=NAME,
                storage=optuna.storages.RDBStorage(
                    address, engine_kwargs=patience if address.startswith("sqlite") else None
                ),
                directions=["minimize"] * 3,
                load_if_exists=True,
            )
        except (SQLAlchemyError, ImportError, optuna.exceptions.OptunaError) as e:
            problem = str(e).splitlines()[0]
            raise ToolError(url, f"cannot hold the record of a search: {problem}") from e

    def close(self) -> None:
        """Say that this process is done."""
        self._alive.release()
        Path(self._alive.lock_file).unlink(missing_ok=True)

    def __enter__(self) -> Study:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def records(self) -> list[Record]:
        """Every trial that was begun, in order, void ones too."""
        from optuna.trial import TrialState

        mine = self._study.user_attrs
        return [
            Record.of(t.number, t.state == TrialState.RUNNING, t.user_attrs, mine)
            for t in self._study.get_trials(deepcopy=False)
            if t.state != TrialState.WAITING
        ]

    def counting(self) -> list[Record]:
        """The trials that count."""
        return [record for record in self.records() if not record.void]

    def plan(self, candidates: Sequence[Candidate]) -> None:
        """Have these candidates tried next, unless they were planned before."""
        for candidate in candidates:
            self._study.enqueue_trial(self.space.parameters(candidate), skip_if_exists=True)

    def recover(self) -> int:
        """Give back what processes of this machine had claimed when they were killed.

        Returns how many trials that were. Their candidates come next.
        """
        from optuna.trial import TrialState

        lost = 0
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            owner = trial.user_attrs.get("owner")
            if owner is None or owner["host"] != platform.node() or _is_held(owner["lock"]):
                continue
            self._void(trial.number, "interrupted")
            if "candidate" in trial.user_attrs:
                again = Candidate.from_json(trial.user_attrs["candidate"])
                self._study.enqueue_trial(self.space.parameters(again))
            lost += 1
        return lost

    def claim(self, trials: int) -> Trial | None:
        """Draw a candidate that nobody has; None if ``trials`` are drawn or none is left.

        With one process, what is drawn depends on the seed and the record alone, so that a search
        that was interrupted goes on as it would have.
        """
        everything = self.space.candidates()
        while True:
            begun = self.records()
            if sum(not record.void for record in begun) >= trials:
                return None
            rng = self._random(begun)
            with self._drawing:
                drawn, candidate = self._draw(rng)
            before = self._before(drawn.number)
            taken = {record.candidate for record in before}
            left = [c for c in everything if c not in taken]
            if len(before) >= trials or not left:
                self._void(drawn.number, "surplus")
                return None
            if candidate not in taken:
                return Trial(self._study, drawn, candidate)
            self._void(drawn.number, "duplicate")
            self.plan([left[int(rng.integers(len(left)))]])

    def _draw(self, rng: np.random.Generator) -> tuple[optuna.trial.Trial, Candidate]:
        from optuna.samplers import TPESampler

        self._study.sampler = TPESampler(
            seed=int(rng.integers(1 << 31)), n_startup_trials=STARTUP_TRIALS, multivariate=False
        )
        drawn = self._study.ask()
        drawn.set_user_attr("owner", self._owner)
        candidate = self.space.draw(drawn)
        drawn.set_user_attr("candidate", candidate.to_json())
        return drawn, candidate

    def set_final(self, number: int, point: Point) -> None:
        """Note the measurement of a closed trial on all images."""
        self._study.set_user_attr(final_key(number), point_to_json(point))

    def _before(self, number: int) -> list[Record]:
        """Trials that were drawn before ``number`` and count, once all have said what they are."""
        patience = time.monotonic() + CLAIM_PATIENCE_S
        while True:
            before = [r for r in self.counting() if r.number < number]
            if all(r.candidate for r in before) or time.monotonic() > patience:
                return [r for r in before if r.candidate]
            time.sleep(0.05)

    def _void(self, number: int, why: str) -> None:
        from optuna.trial import TrialState

        self._study.set_user_attr(void_key(number), why)
        self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _random(self, begun: Sequence[Record]) -> np.random.Generator:
        """What comes next must not depend on how often the search was interrupted."""
        number = sum(record.void in ("", "duplicate") for record in begun)
        return np.random.default_rng((self.seed, number))


class Trial:
    """A candidate that this process has claimed; `Study.claim` makes them."""

    def __init__(
        self, study: optuna.Study, trial: optuna.trial.Trial, candidate: Candidate
    ) -> None:
        self._study, self._trial, self.candidate = study, trial, candidate
        self._rungs: list[Tally] = []
        self._begun = time.monotonic()

    @property
    def number(self) -> int:
        """In the order of drawing."""
        return int(self._trial.number)

    def note(self, rung: Tally) -> None:
        """Note what was measured after a rung, over all images so far."""
        self._rungs.append(rung)
        self._trial.set_user_attr("rungs", [r.to_json() for r in self._rungs])

    def finish(self, point: Point, stopped: str = "") -> None:
        """Close the trial with what was measured, and why it was stopped early if it was."""
        self._set(point=point_to_json(point), stopped=stopped)
        self._study.tell(self._trial, (point.tally.loss, *point.costs))

    def fail(self, problem: str) -> None:
        """Close the trial because there is no such network."""
        from optuna.trial import TrialState

        self._set(problem=problem)
        self._study.tell(self._trial, state=TrialState.FAIL)

    def _set(self, **attributes: Any) -> None:
        seconds = round(time.monotonic() - self._begun, 3)
        for name, value in {**attributes, "seconds": seconds}.items():
            self._trial.set_user_attr(name, value)


def _require_optuna() -> None:
    if importlib.util.find_spec("optuna") is None:
        raise ToolError("optuna", "is needed to search", "pip install 'pysnn-hw[explore]'")


def _drawing_lock(url: str) -> AbstractContextManager[object]:
    """What keeps processes from drawing one planned trial twice: SQLite locks no rows."""
    from sqlalchemy.engine import make_url

    if "://" not in url:
        return FileLock(f"{Path(url).absolute()}.lock")
    place = make_url(url)
    if place.get_backend_name() == "sqlite" and place.database:
        return FileLock(f"{Path(place.database).absolute()}.lock")
    return nullcontext()


def _is_held(path: str) -> bool:
    """Whether a process holds the lock ``path``."""
    if not Path(path).exists():
        return False
    try:
        with FileLock(path, timeout=0):
            pass
    except Timeout:
        return True
    Path(path).unlink(missing_ok=True)
    return False
