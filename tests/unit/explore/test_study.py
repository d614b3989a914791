# SPDX-License-Identifier: BSD-2-Clause
"""The shared record: nothing twice, nothing lost, the same again."""

import multiprocessing

import pytest

from pysnn_hw.errors import FileFormatError, ToolError
from pysnn_hw.explore import Limits, Point, Prediction, Space, Study, Tally

SPACE = Space.of(Limits(timesteps=2, levels=3, weight_bits=4), ("rate", "signed"))


def opened(folder, subject="s", space=SPACE, seed=0):
    return Study(str(folder / "study.db"), subject, space, folder / "work", seed=seed)


def measured(candidate) -> Point:
    """A point that depends on the candidate alone."""
    sops = 100 * candidate.timesteps * candidate.levels
    tally = Tally(100, 90 - 2 * candidate.weight_bits, 90, 90, {"a": 100 * sops}, sops)
    return Point(candidate, tally, Prediction(float(sops), "test"), float(sops))


def work(folder, trials, seed=0) -> list[int]:
    """Claim and close until there is no more; the numbers of the trials."""
    mine = []
    with opened(folder, seed=seed) as study:
        while (trial := study.claim(trials)) is not None:
            point = measured(trial.candidate)
            trial.note(point.tally)
            trial.finish(point)
            mine.append(trial.number)
    return mine


def candidates(folder):
    with opened(folder) as study:
        return [record.candidate for record in study.counting()]


def test_no_candidate_twice_and_no_trial_too_many(tmp_path):
    work(tmp_path, 14)
    found = candidates(tmp_path)
    assert len(found) == 14
    assert len(set(found)) == 14


def test_until_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("pysnn_hw.explore.space.TAUS", (0.5,))
    monkeypatch.setattr("pysnn_hw.explore.space.THRESHOLDS", {"mse": None, "max": None})
    space = Space.of(Limits(timesteps=1, levels=2, weight_bits=3), ("rate",))
    assert len(space.candidates()) == 4
    with opened(tmp_path, space=space) as study:
        while (trial := study.claim(1000)) is not None:
            trial.finish(measured(trial.candidate))
        found = {record.candidate for record in study.counting()}
    assert found == set(space.candidates())


def test_an_interrupted_search_goes_on_the_same(tmp_path):
    work(tmp_path / "once", 7)
    work(tmp_path / "twice", 3)
    work(tmp_path / "twice", 7)
    assert candidates(tmp_path / "once") == candidates(tmp_path / "twice")
    work(tmp_path / "other", 7, seed=1)
    assert candidates(tmp_path / "once") != candidates(tmp_path / "other")


def test_planned_candidates_come_first_and_once(tmp_path):
    starters = SPACE.starters()
    assert len(starters) >= 3
    with opened(tmp_path) as study:
        study.plan(starters)
        study.plan(starters)
    work(tmp_path, len(starters) + 2)
    assert candidates(tmp_path)[: len(starters)] == starters


def test_what_is_measured_is_read_again(tmp_path):
    with opened(tmp_path) as study:
        trial = study.claim(3)
        point = measured(trial.candidate)
        trial.note(point.tally)
        trial.finish(point, "too dear")
        study.claim(3).fail("cannot be")
        study.set_final(trial.number, point)
    with opened(tmp_path) as study:
        first, second = study.counting()
    assert (first.point, first.final, first.rungs) == (point, point, (point.tally,))
    assert (first.stopped, first.problem, first.running) == ("too dear", "", False)
    assert (second.point, second.problem) == (None, "cannot be")


def claim_and_die(folder):
    opened(folder).claim(5)


def test_what_a_killed_process_had_claimed_is_tried_again(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=claim_and_die, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    with opened(tmp_path) as study:
        lost = study.records()[0]
        assert lost.running
        assert study.recover() == 1
        assert study.recover() == 0
        assert study.records()[0].void == "interrupted"
        assert study.claim(5).candidate == lost.candidate


def test_what_a_living_process_has_claimed_is_left_alone(tmp_path):
    with opened(tmp_path) as one, opened(tmp_path) as other:
        trial = one.claim(5)
        assert other.recover() == 0
        assert other.claim(5).candidate != trial.candidate


def test_two_processes_share_a_record(tmp_path):
    with opened(tmp_path) as study:
        study.plan(SPACE.starters())
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        shares = pool.starmap(work, [(tmp_path, 8), (tmp_path, 8)])
    found = candidates(tmp_path)
    assert len(found) == len(set(found)) == 8
    assert sorted(shares[0] + shares[1]) == sorted(set(shares[0]) | set(shares[1]))
    assert len(shares[0]) + len(shares[1]) == 8


def test_the_record_of_something_else_is_refused(tmp_path):
    opened(tmp_path).close()
    with pytest.raises(FileFormatError, match="holds the search of another model"):
        opened(tmp_path, "another")


@pytest.mark.parametrize("url", ["nonsense://there", "sqlite:////proc/none/study.db"])
def test_an_unusable_database_is_refused(tmp_path, url):
    with pytest.raises(ToolError, match="cannot hold the record"):
        Study(url, "s", SPACE, tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "study.db").write_text("no database at all, but long enough to be one\n" * 99)
    with pytest.raises(ToolError, match="not a database"):
        opened(tmp_path)
