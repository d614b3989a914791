# SPDX-License-Identifier: BSD-2-Clause
import json

import numpy as np
import onnx
import onnxruntime
import pytest

from pysnn_hw.data import load_dataset
from pysnn_hw.resources import resource

LEAST_ACCURACY = {"mnist_cnn": 0.992, "mnist_pool": 0.990}


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
    (scores,) = session.run(None, {"x": mnist.x_test / np.float32(255)})
    accuracy = float((scores.argmax(1) == mnist.y_test).mean())
    figures = json.loads(resource("bundled", f"{name}.json").read_text())
    assert accuracy == pytest.approx(figures["results"]["float"]["accuracy"], abs=2e-4)
    assert accuracy >= LEAST_ACCURACY[name]


def test_file_is_small_and_stands_alone(name):
    path = resource("bundled", f"{name}.onnx")
    assert path.stat().st_size < 300_000
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(model)
    assert [i.data_location for i in model.graph.initializer] == [onnx.TensorProto.DEFAULT] * 6
    assert not {n.op_type for n in model.graph.node} - {
        "AveragePool",
        "Conv",
        "Flatten",
        "Gemm",
        "Relu",
    }
