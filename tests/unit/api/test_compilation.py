# SPDX-License-Identifier: BSD-2-Clause
"""What `compile` refuses, and what it redoes, without running any tool."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw import api
from pysnn_hw.api.stages.network import Source, network_stages
from pysnn_hw.api.stages.process import run_verb
from pysnn_hw.config import CompileOptions, ConvertOptions
from pysnn_hw.errors import BoardError, DataError, ToolError
from pysnn_hw.ir.file import load
from pysnn_hw.pipeline.runner import run_stages
from pysnn_hw.progress import silent
from tests.unit.test_cli import FACTORY


@pytest.fixture
def options(tmp_path):
    (tmp_path / "tiny.py").write_text(FACTORY)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (20, 6, 6), np.uint8), rng.integers(0, 3, 20)
    np.savez(tmp_path / "data.npz", x_test=x, y_test=y, x_train=x, y_train=y)
    model, data = f"{tmp_path / 'tiny.py'}:make", str(tmp_path / "data.npz")
    return CompileOptions(model, data, ("ulx3s-12f",))


def run(options, folder):
    """Names of the network stages that ran."""
    times = run_stages(network_stages(Source(options), folder), folder, silent)
    return [time.name for time in times if time.ran]


def test_network_stages(options, tmp_path):
    out = tmp_path / "out"
    assert run(options, out) == ["import", "convert", "quantize", "golden"]
    net = load(out / "network.snn")
    accuracy = json.loads((out / "accuracy.json").read_text())
    golden = json.loads((out / "golden.json").read_text())
    assert accuracy["images"] == golden["images"] == 20
    assert golden["accuracy"] == accuracy["fixed_accuracy"]
    thresholds = json.loads((out / "convert.json").read_text())["populations"]
    assert [p["name"] for p in thresholds] == [p.name for p in net.populations]
    stored = np.load(out / "golden.npz")
    assert stored["classes"].shape == (20,)
    assert (stored["scores"].argmax(1) == stored["classes"]).all()
    assert run(options, out) == []


def test_label_is_in_every_stage_name(options, tmp_path):
    stages = network_stages(Source(options, label="tiny"), tmp_path / "out")
    assert all(stage.name.startswith("tiny: ") for stage in stages)


def test_weight_bits_do_not_redo_import_and_convert(options, tmp_path):
    out = tmp_path / "out"
    run(options, out)
    fewer = replace(options, conversion=replace(options.conversion, weight_bits=4))
    assert run(fewer, out) == ["quantize", "golden"]


def test_levels_redo_everything_but_the_import(options, tmp_path):
    out = tmp_path / "out"
    run(options, out)
    other = replace(options, conversion=ConvertOptions(levels=2))
    assert run(other, out) == ["convert", "quantize", "golden"]


def test_boards_do_not_touch_the_network(options, tmp_path):
    out = tmp_path / "out"
    run(options, out)
    assert run(replace(options, boards=("icebreaker",)), out) == []


@pytest.mark.parametrize(
    ("boards", "problem"),
    [((), "at least one"), (("icebreaker", "icebreaker"), "twice"), (("nowhere",), "unknown")],
)
def test_boards_are_checked_before_any_work(options, tmp_path, boards, problem):
    with pytest.raises(BoardError, match=problem):
        api.compile(replace(options, boards=boards), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_data_without_training_images_is_refused(options, tmp_path):
    x = np.zeros((4, 6, 6), np.uint8)
    np.savez(tmp_path / "few.npz", x_test=x, y_test=np.zeros(4, np.int64))
    with pytest.raises(DataError, match="no training images"):
        api.compile(replace(options, data=str(tmp_path / "few.npz")), tmp_path / "out")


def test_run_verb_gives_the_answer():
    assert run_verb(["boards"])["boards"]


def test_run_verb_passes_the_sentence_on():
    with pytest.raises(ToolError, match=r"^pysnn-hw inspect: missing\.snn: "):
        run_verb(["inspect", "missing.snn"])


def test_api_names_are_those_of_the_command_line():
    from pysnn_hw.cli.app import app

    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}
    names = {verb.replace("-", "_") for verb in verbs}
    assert names == set(api.__all__)
    assert all(callable(getattr(api, name)) for name in names)
    with pytest.raises(AttributeError, match="frobnicate"):
        _ = api.frobnicate
