# SPDX-License-Identifier: BSD-2-Clause
"""How options of the command line reach the methods that train."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pysnn_hw import api
from pysnn_hw.api.training import training
from pysnn_hw.cli.app import app
from pysnn_hw.config import ConvertOptions
from pysnn_hw.convert import HybridTraining, Training
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.file import load
from tests.unit.test_cli import FACTORY

HYBRID = ConvertOptions(method="hybrid", timesteps=4, levels=1)


@pytest.fixture
def model(tmp_path):
    """A model without pooling, and images whose class is their brightest third."""
    (tmp_path / "tiny.py").write_text(FACTORY)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    x = rng.integers(0, 100, (60, 6, 6), np.uint8)
    for image, label in zip(x, y, strict=True):
        image[2 * label : 2 * label + 2] += 120
    np.savez(tmp_path / "data.npz", x_test=x, y_test=y, x_train=x, y_train=y)
    return f"{tmp_path / 'tiny.py'}:make", str(tmp_path / "data.npz")


def test_nothing_said_is_what_the_method_does():
    assert training(ConvertOptions()) is None
    assert training(ConvertOptions(method="qcfs")) == Training()
    assert training(HYBRID) == HybridTraining()


def test_few_bits_of_all_weights_are_trained_for():
    few = ConvertOptions(method="qcfs", weight_bits=4)
    assert training(few) == Training(weight_bits=4)
    assert training(replace(few, layer_bits=(("dense", 8),))) == Training()


def test_every_option_arrives():
    trained = ConvertOptions(method="qcfs", epochs=3, learning_rate=2e-3, activity=0.1)
    assert training(trained) == Training(epochs=3, rate=2e-3, activity=0.1)
    told = replace(
        HYBRID,
        epochs=3,
        learning_rate=1e-3,
        surrogate="stdb",
        leak=4,
        threshold_scale=0.4,
        checkpoint="run.ckpt",
    )
    assert training(told) == HybridTraining(
        epochs=3, rate=1e-3, surrogate="stdb", leak=4, scaling=0.4, checkpoint=Path("run.ckpt")
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ConvertOptions(epochs=3), "epochs: has no meaning for method rate; use method qcfs or hy"),
        (
            replace(HYBRID, activity=0.1),
            "activity: has no meaning for method hybrid; use met",
        ),
        (ConvertOptions(method="qcfs", activity=-1.0), "activity: must not be negative"),
        (ConvertOptions(method="signed", leak=2), "leak: has no meaning for method signed"),
        (ConvertOptions(method="qcfs", surrogate="stdb"), "surrogate: has no meaning for method q"),
        (ConvertOptions(method="qcfs", learning_rate=0.0), "learning_rate: must be positive"),
        (replace(HYBRID, learning_rate=-1.0), "rate: must be positive"),
        (replace(HYBRID, leak=99), "leak: must be 0..15"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ModelError, match=message):
        training(options)


def test_labels_of_the_data_set_are_taught(model, tmp_path):
    """The factory's weights know nothing; only labels can make the network any good."""
    options = replace(HYBRID, timesteps=6, epochs=40, learning_rate=0.03, threshold_scale=0.4)
    found = api.convert(*model, tmp_path / "net.snn", options=options)
    assert found.snn_accuracy > found.ann_accuracy + 0.2
    net = load(tmp_path / "net.snn")
    assert net.timesteps == 6
    assert all(p.neuron.strict and p.spike_max == 1 for p in net.populations[:-1])


@pytest.mark.parametrize("options", [ConvertOptions(method="qcfs"), HYBRID])
@pytest.mark.parametrize(
    ("given", "message"), [((("nowhere", 4),), "no population 'nowhere'"), (None, "must be 2..8")]
)
def test_layer_bits_are_checked_before_training(model, tmp_path, options, given, message):
    api.convert(*model, tmp_path / "net.snn")
    first = load(tmp_path / "net.snn").populations[0].name
    begun = []
    with pytest.raises(ModelError, match=message):
        api.convert(
            *model,
            tmp_path / "other.snn",
            options=replace(options, layer_bits=given or ((first, 9),)),
            progress=lambda stage, done, total: begun.append(stage),
        )
    assert set(begun) == {"import", "convert and quantize"}
    assert not (tmp_path / "other.snn").exists()


def test_from_the_command_line(model, tmp_path):
    out, checkpoint = tmp_path / "net.snn", tmp_path / "run.ckpt"
    argv = [
        *("convert", model[0], "--data", model[1], "-o", str(out), "--json"),
        *("--method", "hybrid", "--timesteps", "4", "--levels", "1", "--epochs", "1"),
        *("--leak", "3", "--checkpoint", str(checkpoint)),
    ]
    result = CliRunner().invoke(app, argv)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["images"] == 60
    assert checkpoint.exists()
    assert {p.neuron.leak for p in load(out).populations[:-1]} == {3}
