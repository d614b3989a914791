# SPDX-License-Identifier: BSD-2-Clause
"""What is refused is named, with its op and what to do; and all of it is listed."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend import import_model, list_unsupported
from tests.unit.frontend.models import node, onnx_model, save_onnx, small_net


class Bad(nn.Module):
    """Four things that cannot be imported, each behind the one before."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.act = nn.Sigmoid()
        self.wide = nn.Conv2d(4, 4, 3, dilation=2)
        self.norm = nn.GroupNorm(2, 4)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.fc = nn.Linear(4, 10)

    def forward(self, x):
        x = self.wide(self.act(self.conv(x)))
        return self.fc(self.pool(self.norm(x)).mean((2, 3)))


def test_all_unsupported_torch_layers_are_listed():
    found = list_unsupported(Bad(), (1, 12, 12))
    assert [(u.node, u.op) for u in found] == [
        ("act", "sigmoid"),
        ("wide", "conv2d"),
        ("norm", "group_norm"),
        ("pool", "max_pool2d"),
    ]
    assert "replace it with ReLU" in found[0].remedy
    assert "dilation" in found[1].problem
    assert "BatchNorm" in found[2].remedy
    assert "pads" in found[3].problem


def test_import_names_the_first_and_counts_the_rest():
    with pytest.raises(ModelError, match=r"Bad, act \(sigmoid\): .*and 3 more.*ReLU"):
        import_model(Bad(), (1, 12, 12))


def test_all_unsupported_onnx_nodes_are_listed(tmp_path):
    nodes = [
        node("Sigmoid", "x", "a", name="squash"),
        node("Conv", "a w", "b", name="wide", dilations=[2, 2]),
        node("Shape", "b", "s"),
        node("Gather", "s zero", "n"),
        node("Unsqueeze", "n zero1", "n1"),
        node("Concat", "n1 rest", "target", axis=0),
        node("Reshape", "b target", "c"),
        node("Tanh", "c", "d"),
        node("Einsum", "d", "y", equation="ab->ab"),
    ]
    constants = {
        "w": np.ones((2, 1, 3, 3), np.float32),
        "zero": np.array(0),
        "zero1": np.array([0]),
        "rest": np.array([-1]),
    }
    path = save_onnx(onnx_model(nodes, constants, (1, 9, 9)), tmp_path)
    found = list_unsupported(path)
    assert [(u.node, u.op) for u in found] == [
        ("squash", "Sigmoid"),
        ("wide", "Conv"),
        ("d", "Tanh"),
        ("y", "Einsum"),
    ]
    assert all(u.remedy for u in found)
    assert (
        str(found[0]) == "squash (Sigmoid): is not supported; replace it with ReLU and train again"
    )


def test_concatenation_with_a_constant(tmp_path):
    nodes = [node("Concat", "x c", "z", axis=1), node("Flatten", "z", "y")]
    model = onnx_model(nodes, {"c": np.ones((1, 2, 4, 4), np.float32)}, (1, 4, 4))
    (found,) = list_unsupported(save_onnx(model, tmp_path))
    assert found.problem == "concatenates an activation with a constant"


def test_supported_models_list_nothing():
    assert list_unsupported(small_net(), (1, 8, 8)) == ()


def in_place_view(x):
    y = 2 * x
    half = y[:, :, ::2, ::2]
    F.relu(y, inplace=True)  # changes half too, which the graph does not show
    return F.max_pool2d(y, 2) + half


def f(run, shape=(2, 8, 8)):
    """A module from a function, ending in a vector."""

    class Wrapped(nn.Module):
        def forward(self, x):
            return run(x).flatten(1)

    return Wrapped(), shape


ONES, ROW = torch.ones(8, 8), torch.ones(8)
NORM = nn.BatchNorm2d(2, track_running_stats=False)
REFUSED = {
    "leaky": (f(F.leaky_relu), "leaky_relu.*ReLU"),
    "lower clip": (f(lambda x: x.clamp(-1, 1)), "lower limit must be 0"),
    "upper clip": (f(lambda x: x.clamp(max=1)), "lower limit must be 0"),
    "no bound": (f(lambda x: F.hardtanh(x, 0, 0)), "upper clip must be positive"),
    "view changed in place": (f(in_place_view), "differs from it by"),
    "dilated pool": (f(lambda x: F.max_pool2d(x, 2, dilation=2)), "dilation"),
    "padded average": (f(lambda x: F.avg_pool2d(x, 2, padding=1)), "without padding"),
    "divisor": (f(lambda x: F.avg_pool2d(x, 2, divisor_override=3)), "divisor"),
    "partial windows": (f(lambda x: F.max_pool2d(x, 3, 3, ceil_mode=True)), "ceil_mode"),
    "uneven adaptive": (f(lambda x: F.adaptive_avg_pool2d(x, 3)), "divide evenly"),
    "mean of channels": (f(lambda x: x.mean(1)), "height and width"),
    "transpose": (f(lambda x: x.transpose(2, 3)), "N, C, H, W"),
    "mixing reshape": (f(lambda x: x.reshape(-1, 64)), "flatten"),
    "product": (f(lambda x: x * x), "two activations"),
    "difference": (f(lambda x: x - F.relu(x)), "two activations"),
    "pixel constant": (f(lambda x: x + ONES), "per channel"),
    "row constant": (f(lambda x: x + ROW, (8, 8, 8)), "per channel"),
    "broadcast add": (f(lambda x: x + x.mean((2, 3), keepdim=True)), "shapes must be equal"),
    "reflect padding": (f(lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect")), "zero"),
    "cropping pad": (f(lambda x: F.pad(x, (-1, 0))), "negative"),
    "crop": (f(lambda x: x[:, :, 1:]), "strided slice"),
    "concat of rows": (f(lambda x: torch.cat([x, x], 2)), "along dimension 2; only channels"),
    "concat of sizes": (f(lambda x: torch.cat([x, x[:, :, ::2, ::2]], 1)), "concatenat|[Ss]izes"),
    "batch statistics": (f(lambda x: NORM(x)), "batch|statistics"),
    "no layers": (f(lambda x: x, (4,)), "no layers"),
    "softmax inside": (f(lambda x: F.relu(F.softmax(x, 1)), (4,)), "softmax is supported only"),
    "softmax of a map": (f(lambda x: F.softmax(x, 3)), "over the classes"),
    "linear on a map": ((nn.Linear(8, 4), (2, 8, 8)), "flatten before it"),
    "map output": ((nn.Conv2d(2, 2, 3), (2, 8, 8)), "vector of class scores"),
    "circular padding": (
        (nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), (2, 8, 8)),
        "pad",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_says_why(name):
    (net, shape), match = REFUSED[name]
    with pytest.raises(ModelError, match=match) as caught:
        import_model(net, shape)
    assert "\n" not in str(caught.value)


FLAT = node("Flatten", "p", "y")
ONNX_REFUSED = {
    "transposed input": ([node("Gemm", "x m", "y", transA=1)], (6,), "transA"),
    "uneven same pool": (
        [node("MaxPool", "x", "p", kernel_shape=[3, 3], auto_pad="SAME_UPPER"), FLAT],
        (1, 5, 5), "pads its windows",
    ),
    "average with padding": (
        [node("AveragePool", "x", "p", kernel_shape=[2, 2], pads=[1, 1, 0, 0]), FLAT],
        (1, 5, 5), "pads its windows",
    ),
    "clip below": ([node("Clip", "x", "p", max=3.0), FLAT], (1, 5, 5), "lower"),
    "other domain": ([node("Fancy", "x", "y", domain="com.example")], (6,), "com.example"),
    "flatten axis": ([node("Flatten", "x", "y", axis=2)], (1, 5, 5), "axis 1"),
    "1-D convolution": ([node("Conv", "x w1", "p"), FLAT], (2, 5, 5), "1-D"),
    "weight from the image": ([node("Conv", "x x", "p"), FLAT], (1, 5, 5), "constant"),
    "unknown name": ([node("Relu", "nothing", "y")], (6,), "no node before it computes"),
    "division by zero": ([node("Div", "x zero", "y")], (6,), "by zero"),
    "nan": ([node("Gemm", "x nan", "y")], (6,), "NaN or infinity"),
    "infinite": ([node("Mul", "x inf", "y")], (6,), "NaN or infinity"),
}  # fmt: skip


@pytest.mark.parametrize("name", ONNX_REFUSED)
def test_onnx_refusal_says_why(name, tmp_path):
    nodes, shape, match = ONNX_REFUSED[name]
    constants = {
        "m": np.ones((6, 6), np.float32),
        "w1": np.ones((2, 2, 3), np.float32),
        "zero": np.zeros(6, np.float32),
        "nan": np.full((6, 6), np.nan, np.float32),
        "inf": np.full(6, np.inf, np.float32),
    }
    used = {name for n in nodes for name in n.input}
    constants = {k: v for k, v in constants.items() if k in used}
    opset = 8 if name == "clip below" else 17
    path = save_onnx(onnx_model(nodes, constants, shape, opset=opset), tmp_path)
    with pytest.raises(ModelError, match=match) as caught:
        import_model(path)
    assert "\n" not in str(caught.value)
