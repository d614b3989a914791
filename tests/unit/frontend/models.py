# SPDX-License-Identifier: BSD-2-Clause
"""Small models of each kind, and ways to evaluate them without our package."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

SHARED = Path(__file__).parents[4] / "shared"

torch.set_num_threads(1)


def node(op, inputs, output, name=None, **attributes):
    """An ONNX node; ``inputs`` is a string of names."""
    return helper.make_node(op, inputs.split(), [output], name or output, **attributes)


def onnx_model(nodes, constants, shape, *, opset=17, batch=1, output="y", dtype=TensorProto.FLOAT):
    """A model with input ``x`` of ``shape`` (without batch) and the given float32 constants."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", dtype, [batch, *shape])],
        [helper.make_tensor_value_info(output, dtype, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def save_onnx(model, folder, name="model.onnx"):
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def run_onnx(model, x):
    """The output that onnxruntime computes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x})[0]


def run_torch(module, x):
    module.eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "same" padding of even kernels
        return module(torch.from_numpy(x)).numpy()


def randomise(module, seed=0):
    """Running statistics that are not the neutral 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
            m.running_mean.copy_(torch.randn(m.num_features, generator=generator))
            m.running_var.copy_(torch.rand(m.num_features, generator=generator) + 0.1)
    return module


class SmallNet(nn.Module):
    """A residual network with most of the layers, for (1, 8, 8)."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4, eps=0.01)
        self.conv2 = nn.Conv2d(4, 4, 3, padding="same")
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = self.act(self.bn1(self.conv1(x)))
        x = self.act(self.conv2(x) + x)
        x = self.drop(self.pool(x))
        return self.fc(x.flatten(1))


def small_net():
    torch.manual_seed(0)
    return randomise(SmallNet()).eval()


def small_onnx():
    """A convolution, a pool and a classifier for (1, 6, 6), with a symbolic batch."""
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.standard_normal((3, 1, 3, 3)).astype(np.float32),
        "b": rng.standard_normal(3).astype(np.float32),
        "target": np.array([-1, 12]),
        "m": rng.standard_normal((4, 12)).astype(np.float32),
        "c": rng.standard_normal(4).astype(np.float32),
    }
    nodes = [
        node("Conv", "x w b", "conv"),
        node("Relu", "conv", "relu"),
        node("MaxPool", "relu", "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", "pool target", "flat"),
        node("Gemm", "flat m c", "y", transB=1),
    ]
    return onnx_model(nodes, constants, (1, 6, 6), batch="n")


def export_pt2(module, shape, path, batch=2):
    """Save an exported program; torch's own deprecation warnings are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module.eval(), (torch.zeros(batch, *shape),))
        torch.export.save(program, path)
    return path


__all__ = [
    "SHARED",
    "export_pt2",
    "helper",
    "node",
    "onnx",
    "onnx_model",
    "randomise",
    "run_onnx",
    "run_torch",
    "save_onnx",
    "small_net",
    "small_onnx",
]
