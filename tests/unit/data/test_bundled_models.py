# SPDX-License-Identifier: BSD-2-Clause
import json

import numpy as np
import onnx
import onnxruntime
import pytest

from pysnn_hw.data import load_dataset
from pysnn_hw.resources import resource

LEAST_ACCURACY = {"mnist_cnn": 0.992, "mnist_pool": 0.990, "mnist_mlp": 0.982}
TENSORS = {"mnist_cnn": 6, "mnist_pool": 6, "mnist_mlp": 4}


@pytest.fixture(scope="module")
def mnist():
    return load_dataset("mnist")


@pytest.fixture(params=LEAST_ACCURACY)
def name(request):
    return request.param


def test_accuracy_is_what_the_figures_say(name, mnist):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(resource("bundled", f"{name}.onnx"), options)
    figures = json.loads(resource("bundled", f"{name}.json").read_text())
    threshold = figures["settings"].get("input_threshold")
    shown = mnist.x_test if threshold is None else np.where(mnist.x_test >= threshold, 255, 0)
    (scores,) = session.run(None, {"x": (shown / 255).astype(np.float32)})
    accuracy = float((scores.argmax(1) == mnist.y_test).mean())
    assert accuracy == pytest.approx(figures["results"]["float"]["accuracy"], abs=2e-4)
    assert accuracy >= LEAST_ACCURACY[name]


def test_file_is_small_and_stands_alone(name):
    path = resource("bundled", f"{name}.onnx")
    assert path.stat().st_size < 420_000
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(model)
    assert [i.data_location for i in model.graph.initializer] == [
        onnx.TensorProto.DEFAULT
    ] * TENSORS[name]
    assert not {n.op_type for n in model.graph.node} - {
        "AveragePool",
        "Conv",
        "Flatten",
        "Gemm",
        "Relu",
    }
