# SPDX-License-Identifier: BSD-2-Clause
"""The CIFAR-10 scripts: where they read from, that they resume, and that their models import."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

from pysnn_hw.convert import Preprocessing, convert
from pysnn_hw.convert.float_sim import simulate_float
from pysnn_hw.errors import DataError
from pysnn_hw.frontend import import_model

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import train_cifar10

    yield train_cifar10
    for name in ("train_cifar10", "cifar10"):
        sys.modules.pop(name, None)


@pytest.fixture
def cifar10(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import cifar10

    yield cifar10
    sys.modules.pop("cifar10", None)


def arrays(train=80, test=20):
    """Bytes (N, 3, 32, 32) whose class is in their brightness, and labels."""
    rng = np.random.default_rng(0)
    found = []
    for count in (train, test):
        labels = rng.integers(0, 10, count)
        noise = rng.integers(0, 30, (count, 3, 32, 32))
        found += [(noise + 20 * labels[:, None, None, None]).astype(np.uint8), labels]
    return found


@pytest.fixture
def folder(tmp_path):
    """The binary version of the data set, in small."""
    x, y, x_test, y_test = arrays()
    for name, images, labels in (
        ("data_batch_1.bin", x[:50], y[:50]),
        ("data_batch_2.bin", x[50:], y[50:]),
        ("test_batch.bin", x_test, y_test),
    ):
        records = np.concatenate((labels[:, None].astype(np.uint8), images.reshape(-1, 3072)), 1)
        (tmp_path / name).write_bytes(records.tobytes())
    return tmp_path


LOADER = """
import numpy as np
def load_train():
    with np.load({path!r}) as z:
        return z["x_train"], z["y_train"].astype(np.uint8), None
def load_test():
    with np.load({path!r}) as z:
        return z["x_test"], z["y_test"].astype(np.uint8), None
"""


def test_every_form_of_the_data_set_gives_the_same(cifar10, folder, tmp_path):
    want = arrays()
    packed = tmp_path / "cifar.npz"
    channels_last = [a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for a in want]
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(packed, **dict(zip(names, channels_last, strict=True)))
    own = tmp_path / "own"
    own.mkdir()
    (own / "load_cifar10.py").write_text(LOADER.format(path=str(packed)))
    for source in (folder, packed, own):
        found = cifar10.load_cifar10(source)
        for name, values in zip(names, want, strict=True):
            np.testing.assert_array_equal(getattr(found, name), values, err_msg=str(source))
            assert getattr(found, name).dtype == (np.uint8 if name[0] == "x" else np.int64)


def test_what_is_no_cifar10_is_refused(cifar10, folder, tmp_path):
    with pytest.raises(DataError, match="does not exist; name the folder that holds CIFAR-10"):
        cifar10.load_cifar10(tmp_path / "nowhere")
    (folder / "data_batch_2.bin").write_bytes(b"123")
    with pytest.raises(DataError, match="holds no whole number of records"):
        cifar10.load_cifar10(folder)
    x = np.zeros((4, 28, 28), np.uint8)
    np.savez(tmp_path / "mnist.npz", x_test=x, y_test=np.zeros(4, int), x_train=x, y_train=[0] * 4)
    with pytest.raises(DataError, match=r"images are uint8 \(1, 28, 28\)"):
        cifar10.load_cifar10(tmp_path / "mnist.npz")


@pytest.mark.parametrize("net", ["vgg5", "vgg9"])
def test_networks_have_neither_biases_nor_batch_norm_unless_asked(script, net):
    def kinds(batchnorm):
        settings = script.Settings(script.Net(net), 1, 1, False, 15, batchnorm, 80)
        model = script.build(settings)
        weighted = [m for m in model if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
        return len(weighted), {type(m).__name__ for m in model}, weighted[-1].bias is not None

    layers, names, biased = kinds(False)
    assert layers == int(net[-1])
    assert not biased
    assert names == {"Conv2d", "ReLU", "Dropout", "AvgPool2d", "Flatten", "Linear"}
    assert kinds(True)[1] == names | {"BatchNorm2d"}
    assert kinds(True)[2]


def test_a_run_resumes_and_its_model_is_the_one_trained(script, folder, tmp_path):
    def train(out, epochs_now, seed=1):
        script.main(
            folder, script.Net.VGG5, epochs=epochs_now, out=tmp_path / out, threads=1, seed=seed
        )
        return json.loads((tmp_path / out / "vgg5.json").read_text())

    whole = train("whole", 2)
    assert len(whole["history"]) == 2
    settings = script.Settings(script.Net.VGG5, 2, 1, False, 15, False, 80)
    run = script.start(settings)
    images, labels = (torch.from_numpy(a) for a in arrays()[:2])
    list(script.train_epoch(run, images, labels, settings))
    run.epoch = 1
    run.history.append({"epoch": 1, "test_accuracy": whole["history"][0]["test_accuracy"]})
    run.save(tmp_path / "parts" / "vgg5.ckpt", settings)
    torch.rand(100)
    resumed = train("parts", 2)
    assert resumed["history"] == whole["history"]
    stored = [torch.load(tmp_path / o / "vgg5.ckpt", weights_only=True) for o in ("whole", "parts")]
    for name, values in stored[0]["net"].items():
        torch.testing.assert_close(stored[1]["net"][name], values, rtol=0, atol=0)
    with pytest.raises(typer.BadParameter, match="other settings"):
        train("parts", 2, seed=3)

    graph = import_model(str(tmp_path / "whole" / "vgg5.pt2"), None).graph
    x = arrays()[2]
    preprocessing = Preprocessing(whole["input"]["scale"], (0.5,), (0.5,))
    fine = convert(graph, x, timesteps=1, levels=8, preprocessing=preprocessing)
    classes = simulate_float(fine, x).scores.argmax(1)
    assert (classes == arrays()[3]).mean() == pytest.approx(whole["test_accuracy"], abs=0.11)


def test_qcfs_converts_to_what_it_was_trained_as(script, folder, tmp_path):
    """At T = 1 and as many levels the spiking network is the trained one."""
    out = tmp_path / "q"
    script.main(
        folder, script.Net.VGG5, qcfs=True, levels=7, batchnorm=True, epochs=2, out=out, threads=1
    )
    settings = script.Settings(script.Net.VGG5, 2, 1, True, 7, True, 80)
    run = script.start(settings)
    run.load(out / "vgg5_qcfs.ckpt", settings)
    x = arrays()[2]
    net = convert(
        import_model(str(out / "vgg5_qcfs.pt2"), None).graph,
        x,
        timesteps=1,
        levels=3,
        calibration="clip",
        bias_correction=False,
        preprocessing=Preprocessing(255.0, (0.5,), (0.5,)),
    )
    clips = json.loads((out / "vgg5_qcfs.json").read_text())["clips"]
    thresholds = [p.threshold.item() for p in net.populations[:-1]]
    np.testing.assert_allclose(thresholds, np.array(list(clips.values())) / 7, rtol=1e-6)
    # The zero point is an integer, and the mean, 127.5, is none: what pads the map is pixel 128.
    padded = torch.nn.functional.pad(
        script.model_input(torch.from_numpy(x)), (1, 1, 1, 1), value=1 / 255
    )
    run.net.conv1.padding = (0, 0)
    with torch.no_grad():
        wanted = run.net.eval()(padded).numpy()
    found = simulate_float(net, x).scores
    # A membrane within a rounding error of a level may fall to either side.
    assert np.isclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max()).mean() > 0.5
    np.testing.assert_allclose(found, wanted, atol=0.02 * np.abs(wanted).max())
