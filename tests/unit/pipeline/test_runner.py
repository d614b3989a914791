# SPDX-License-Identifier: BSD-2-Clause
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from pysnn_hw.errors import PysnnError, ToolError
from pysnn_hw.pipeline import files
from pysnn_hw.pipeline.runner import run_stages
from pysnn_hw.pipeline.stage import Stage
from pysnn_hw.progress import silent


class Bench:
    """Two stages in a folder: source -> middle -> end; counts what ran."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ran, self.factor = folder, [], 2
        self.source = folder / "source.txt"
        self.source.parent.mkdir(exist_ok=True)
        self.source.write_text("3")

    def stages(self) -> list[Stage]:
        middle, end = self.folder / "middle.json", self.folder / "end.json"

        def first(progress):
            self.ran.append("first")
            files.write_json(middle, int(self.source.read_text()) * self.factor)

        def second(progress):
            self.ran.append("second")
            files.write_json(end, json.loads(middle.read_text()) + 1)

        return [
            Stage("first", first, (middle,), (self.source,), {"factor": self.factor}, ("ir",)),
            Stage("second", second, (end,), (middle,), {}, ("ir",)),
        ]

    def run(self) -> list[str]:
        self.ran.clear()
        self.times = run_stages(self.stages(), self.folder, silent)
        return list(self.ran)

    @property
    def result(self) -> int:
        return json.loads((self.folder / "end.json").read_text())


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "out")


def test_runs_once_then_nothing(bench):
    assert bench.run() == ["first", "second"]
    assert bench.result == 7
    assert bench.run() == []
    assert [t.ran for t in bench.times] == [False, False]
    assert all(t.seconds > 0 for t in bench.times)


def test_changed_input_redoes_what_follows(bench):
    bench.run()
    bench.source.write_text("5")
    assert bench.run() == ["first", "second"]
    assert bench.result == 11


def test_changed_option_redoes(bench):
    bench.run()
    bench.factor = 4
    assert bench.run() == ["first", "second"]
    assert bench.result == 13


def test_equal_intermediate_stops_the_wave(bench):
    bench.run()
    bench.source.write_text("03")
    assert bench.run() == ["first"]


@pytest.mark.parametrize("damage", ["missing", "edited"])
def test_damaged_output_is_made_again(bench, damage):
    bench.run()
    end = bench.folder / "end.json"
    end.unlink() if damage == "missing" else end.write_text("0")
    assert bench.run() == ["second"]
    assert bench.result == 7


def test_changed_source_code_redoes(bench, monkeypatch):
    bench.run()
    monkeypatch.setattr("pysnn_hw.pipeline.stage.source_hash", lambda rooms: "newer")
    assert bench.run() == ["first", "second"]


def test_source_hash_follows_the_code(tmp_path, monkeypatch):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "a.py").write_text("x = 1\n")
    (tmp_path / "single.py").write_text("y = 1\n")
    monkeypatch.setattr("pysnn_hw.__file__", str(tmp_path / "__init__.py"))
    uncached = files.source_hash.__wrapped__
    before = uncached(("room",)), uncached(("single",))
    (tmp_path / "room" / "a.py").write_text("x = 2\n")
    assert uncached(("room",)) != before[0]
    assert uncached(("single",)) == before[1]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99, "stages": {}}', "{\x00"])
def test_unreadable_manifest_only_costs_time(bench, text):
    bench.run()
    (bench.folder / "manifest.json").write_text(text)
    assert bench.run() == ["first", "second"]


def refuse(progress):
    raise ToolError("nextpnr", "ran out of patience")


def test_failure_keeps_what_was_finished(bench):
    third = Stage("third", refuse, (bench.folder / "never",))
    *_, last = run_stages([*bench.stages(), third], bench.folder, silent)
    assert "patience" in str(last.error)
    assert bench.run() == []


def test_failure_stops_only_what_needs_it(tmp_path):
    ran = []

    def stage(name, reads=(), run=None):
        def work(progress):
            ran.append(name)
            (tmp_path / name).write_text(name)

        return Stage(name, run or work, (tmp_path / name,), tuple(tmp_path / r for r in reads))

    stages = [
        *(stage("bad", run=refuse), stage("good")),
        *(stage("after bad", ["bad"]), stage("after good", ["good"])),
        stage("last", ["after bad", "after good"]),
    ]
    times = {time.name: time for time in run_stages(stages, tmp_path, silent)}
    assert ran == ["good", "after good"]
    failed = {name for name, time in times.items() if time.error is not None}
    assert failed == {"bad", "after bad", "last"}
    assert times["last"].error is times["bad"].error
    assert not times["last"].ran


def test_failed_stage_is_not_taken_for_current(bench):
    bench.run()
    end = bench.folder / "end.json"

    def half(progress):
        end.write_text("half")
        raise ToolError("tool", "died")

    first, second = bench.stages()
    broken = Stage("second", half, (end,), second.inputs, {"other": 1}, second.rooms)
    assert run_stages([first, broken], bench.folder, silent)[1].error is not None
    assert bench.run() == ["second"]


@pytest.mark.parametrize("error", [ToolError("tool", "died"), ZeroDivisionError("ours")])
def test_group_runs_at_once_and_keeps_the_good(tmp_path, error):
    barrier = threading.Barrier(2, timeout=10)
    ran = []

    def work(progress):
        barrier.wait()
        ran.append("good")
        (tmp_path / "good").write_text("x")

    def fail(progress):
        barrier.wait()
        raise error

    def attempt():
        group = [
            Stage("bad", fail, (tmp_path / "bad",), group="g"),
            Stage("good", work, (tmp_path / "good",), group="g"),
        ]
        if isinstance(error, ToolError):
            assert run_stages(group, tmp_path, silent)[0].error is error
        else:
            with pytest.raises(ZeroDivisionError):
                run_stages(group, tmp_path, silent)

    attempt()
    barrier = threading.Barrier(1)
    attempt()
    assert ran == ["good"]


def test_names_tell_stages_apart(bench):
    first, second = bench.stages()
    twice = replace(second, name=first.name)
    with pytest.raises(ValueError, match="two stages are called 'first'"):
        run_stages([first, twice], bench.folder, silent)


def test_one_process_per_folder(bench):
    bench.run()
    with FileLock(bench.folder / ".lock"), pytest.raises(PysnnError, match="another pysnn-hw"):
        bench.run()


def test_write_whole_leaves_nothing_behind(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("old")

    def half(draft):
        draft.write_text("ha")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write_whole(target, half)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert target.read_text() == "old"


def test_tree_hash_sees_names_and_contents(tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "a").write_text("1")
    first = files.tree_hash([folder])
    (folder / "a").rename(folder / "b")
    renamed = files.tree_hash([folder])
    (folder / "b").write_text("2")
    assert len({first, renamed, files.tree_hash([folder])}) == 3
