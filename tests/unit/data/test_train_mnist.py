# SPDX-License-Identifier: BSD-2-Clause
import json

import numpy as np
import onnxruntime
import pytest
import torch
import typer

from pysnn_hw.data import load_dataset
from scripts import train_mnist
from scripts.train_mnist import Model, Precision, Settings


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A data set so small that an epoch takes a blink."""
    data = load_dataset("mnist")
    path = tmp_path_factory.mktemp("data") / "few.npz"
    arrays = {"x_test": data.x_test[:1000, 0], "y_test": data.y_test[:1000]}
    np.savez(path, **arrays, x_train=data.x_train[:, 0], y_train=data.y_train)
    return str(path)


def train(few, out, **options):
    options = {"model": Model.MNIST_SMALL, "epochs": 3, "checkpoint": out / "run.ckpt"} | options
    train_mnist.main(few, out=out, **options)
    return (out / "mnist_small.onnx").read_bytes(), (out / "mnist_small.json").read_text()


def test_learns_and_reports(few, tmp_path):
    _, text = train(few, tmp_path, epochs=8)
    figures = json.loads(text)
    assert figures["settings"]["seed"] == 1
    assert figures["results"]["float"]["accuracy"] > 0.7
    assert all(0 < share < 1 for share in figures["results"]["float"]["nonzero_share"])


def test_resumed_run_equals_an_uninterrupted_one(few, tmp_path, monkeypatch):
    whole = train(few, tmp_path / "a")
    evaluate, calls = train_mnist.evaluate, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 4:  # two calls an epoch
            raise KeyboardInterrupt
        return evaluate(*args)

    monkeypatch.setattr(train_mnist, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(few, tmp_path / "b")
    assert train(few, tmp_path / "b") == whole


def test_checkpoint_of_other_settings_is_refused(few, tmp_path):
    train(few, tmp_path, epochs=1)
    with pytest.raises(typer.BadParameter, match="other settings"):
        train(few, tmp_path, epochs=1, seed=2)


def test_unusable_data_is_refused(few, tmp_path):
    with pytest.raises(typer.BadParameter, match="no such file"):
        train(str(tmp_path / "no.npz"), tmp_path)
    with np.load(few) as data:
        np.savez(tmp_path / "test.npz", x_test=data["x_test"], y_test=data["y_test"])
    with pytest.raises(typer.BadParameter, match="no train split"):
        train(str(tmp_path / "test.npz"), tmp_path)


@pytest.mark.parametrize("model", list(Model))
def test_export_computes_what_the_network_computes(model, tmp_path):
    net = train_mnist.start(Settings(model, 1, 0, (0.1, 0.1))).net
    x = torch.rand(16, 1, 28, 28)
    for _ in range(3):  # batch statistics that are not those of an untrained network
        net.train()
        net(x * 3 - 1)
    net.eval()
    expected = train_mnist.run(net, x, Precision()).detach().numpy()
    train_mnist.export(net, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], expected, atol=1e-4)


def test_rounded_activations_take_the_levels_of_n_bits():
    layer = train_mnist.Rectifier()
    layer.top.fill_(15.0)
    layer.bits = 4
    layer.eval()
    x = torch.tensor([-3.0, 0.4, 0.6, 7.2, 14.9, 80.0])
    assert layer(x).tolist() == [0, 0, 1, 7, 15, 15]


def test_rounding_passes_the_gradient_straight_through():
    x = torch.tensor([0.2, 1.7], requires_grad=True)
    train_mnist.round_to(x, torch.tensor(0.5)).sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_activity_penalty_is_the_share_of_equally_active_neurons():
    layer = train_mnist.Rectifier()
    layer(torch.tensor([[2.0, 2.0, -1.0, 0.0, -5.0, -2.0, 0.0, -9.0]]).repeat(100, 1))
    assert float(layer.share) == pytest.approx(0.25)


def test_augmentation_keeps_the_background_at_zero():
    x = torch.zeros(4, 1, 28, 28)
    x[:, :, 12:16, 12:16] = 1
    moved = train_mnist.augment(x, torch.Generator().manual_seed(0))
    assert float(moved[:, :, :5].abs().max()) == 0
    assert 10 < float(moved[0].sum()) < 22
    assert not torch.equal(moved[0], moved[1])


def test_pixels_are_shown_as_0_or_1():
    settings = Settings(Model.MNIST_MLP, 1, 0, (0.1, 0.1), input_threshold=192)
    pixels = torch.arange(256) / np.float32(255)
    shown = train_mnist.presented(pixels, settings)
    assert shown.tolist() == [0.0] * 192 + [1.0] * 64
    grey = Settings(Model.MNIST_MLP, 1, 0, (0.1, 0.1))
    assert train_mnist.presented(pixels, grey) is pixels


def test_learns_from_pixels_that_are_0_or_1(few, tmp_path):
    options = {"epochs": 4, "input_threshold": 128, "checkpoint": tmp_path / "run.ckpt"}
    train_mnist.main(few, model=Model.MNIST_MLP, out=tmp_path, **options)
    figures = json.loads((tmp_path / "mnist_mlp.json").read_text())
    assert figures["settings"]["input_threshold"] == 128
    assert figures["results"]["float"]["accuracy"] > 0.6
    data = load_dataset(few)
    session = onnxruntime.InferenceSession(tmp_path / "mnist_mlp.onnx")
    (scores,) = session.run(None, {"x": (data.x_test >= 128).astype(np.float32)})
    accuracy = (scores.argmax(1) == data.y_test).mean()
    assert accuracy == pytest.approx(figures["results"]["float"]["accuracy"], abs=2e-3)
