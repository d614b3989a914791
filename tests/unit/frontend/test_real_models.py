# SPDX-License-Identifier: BSD-2-Clause
"""Networks trained by others: imported, and as accurate as their published figures."""

import importlib.util

import numpy as np
import pytest

from pysnn_hw.frontend import import_model
from pysnn_hw.ir.ann import Conv2d, evaluate
from tests.unit.frontend.models import SHARED

MODELS, DATA = SHARED / "models", SHARED / "data"
needs_shared = pytest.mark.skipif(
    not (MODELS.is_dir() and DATA.is_dir()), reason="the folder of shared models is not there"
)


def load_code(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def correct(graph, images, labels, batch=500):
    return sum(
        int((evaluate(graph, images[i : i + batch])[0].argmax(1) == labels[i : i + batch]).sum())
        for i in range(0, len(images), batch)
    )


@needs_shared
@pytest.mark.parametrize(
    ("path", "scale", "expected"),
    [("lenet5/lenet5.onnx", 255, 9822), ("mnist_cntk/mnist-8-cntk.onnx", 1, 9891)],
)
def test_mnist_network(path, scale, expected):
    imported = import_model(MODELS / path)
    assert imported.max_relative_difference < 1e-4
    data = np.load(DATA / "mnist" / "mnist.npz")
    images = data["x_test"][:, None].astype(np.float32) / np.float32(scale)
    assert correct(imported.graph, images, data["y_test"]) == expected


@needs_shared
def test_residual_network_of_cifar10():
    source = MODELS / "resnet20_cifar10" / "resnet20.py"
    imported = import_model(f"{source}:build", (3, 32, 32))
    assert imported.max_relative_difference < 1e-4
    shortcuts = [
        n for n in imported.graph.nodes if isinstance(n, Conv2d) and n.name.endswith("pad")
    ]
    assert [(n.weight.shape, n.stride) for n in shortcuts] == [
        ((32, 16, 1, 1), (2, 2)),
        ((64, 32, 1, 1), (2, 2)),
    ]
    images, labels, _ = load_code(DATA / "cifar10" / "load_cifar10.py").load_test()
    model = load_code(source)
    x = model.preprocess(images[:500]).numpy()
    got, _ = evaluate(imported.graph, x)
    import torch

    with torch.no_grad():
        want = model.build()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)
    # 91.73 % of all 10,000; of these 500 the source itself gets this many.
    assert correct(imported.graph, x, labels[:500]) == (want.argmax(1) == labels[:500]).sum() > 450
