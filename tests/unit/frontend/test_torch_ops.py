# SPDX-License-Identifier: BSD-2-Clause
"""Every torch layer, imported through torch.export and compared with torch itself."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pysnn_hw.frontend import import_model
from pysnn_hw.ir.ann import Add, BatchNorm, Conv2d, MaxPool, Relu, evaluate
from tests.unit.frontend.models import export_pt2, randomise, run_torch, small_net

RNG = np.random.default_rng(2)


class Layer(nn.Module):
    """A function (and its modules) followed by a classifier, so that it ends in a vector."""

    def __init__(self, function, shape, *modules):
        super().__init__()
        self.modules_used = nn.ModuleList(modules)
        self.function = function
        self.tail = nn.Identity()
        self.tail = nn.Linear(run_torch(self, np.zeros((2, *shape), np.float32)).shape[1], 5)

    def body(self, x):
        return self.function(x, *self.modules_used)

    def forward(self, x):
        return self.tail(self.body(x).flatten(1))


def conv(*args, **kwargs):
    return lambda: ((lambda x, m: m(x)), [nn.Conv2d(*args, **kwargs)])


def module(make):
    return lambda: ((lambda x, m: m(x)), [make()])


def function(run):
    return lambda: (run, [])


MEAN = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
STD = torch.tensor([0.5, 0.6, 0.7]).view(3, 1, 1)


def in_place_alias(x):
    y = x * 2
    z = y.detach()  # the same memory
    F.relu(y, inplace=True)
    return y + 3 * z


LAYERS = {
    "conv": conv(3, 4, (3, 2), stride=(2, 1), padding=(1, 2)),
    "conv same": conv(3, 4, 3, padding="same"),
    "conv same even": conv(3, 4, 4, padding="same"),
    "conv valid": conv(3, 4, 3, padding="valid", bias=False),
    "conv groups": conv(3, 6, 3, groups=3),
    "conv stride 3 kernel 5": conv(3, 2, 5, stride=3, padding=2),
    "cat": function(lambda x: torch.cat([x, F.relu(x), 2 * x], 1)),
    "cat of one": function(lambda x: torch.cat([F.relu(x)], dim=1)),
    "cat of cats": function(lambda x: torch.cat([torch.cat([x, x + 1], -3), F.relu(x)], 1)),
    "cat of vectors": function(lambda x: torch.cat([x.flatten(1), F.relu(x).flatten(1)], -1)),
    "concat, pooled": function(lambda x: F.max_pool2d(torch.concat([x, F.relu(x)], 1), 2)),
    "batch norm": module(lambda: nn.BatchNorm2d(3, eps=0.02)),
    "batch norm without affine": module(lambda: nn.BatchNorm2d(3, affine=False)),
    "relu": function(F.relu),
    "relu6": function(lambda x: F.relu6(4 * x)),
    "relu6 module": module(nn.ReLU6),
    "hardtanh": function(lambda x: F.hardtanh(x, 0, 0.5)),
    "clamp": function(lambda x: x.clamp(min=0)),
    "clamp both": function(lambda x: torch.clamp(x, 0, 0.75)),
    "avg pool": module(lambda: nn.AvgPool2d((2, 3), stride=(1, 2))),
    "avg pool default": module(lambda: nn.AvgPool2d(2)),
    "max pool": module(lambda: nn.MaxPool2d(3, stride=2)),
    "max pool ceil without effect": module(lambda: nn.MaxPool2d(2, ceil_mode=True)),
    "adaptive one": module(lambda: nn.AdaptiveAvgPool2d(1)),
    "adaptive even": module(lambda: nn.AdaptiveAvgPool2d((2, 4))),
    "mean": function(lambda x: x.mean((2, 3))),
    "mean keepdim": function(lambda x: x.mean((-1, -2), keepdim=True)),
    "dropout": module(lambda: nn.Dropout(0.9)),
    "dropout2d": module(lambda: nn.Dropout2d(0.9)),
    "view": function(lambda x: x.view(x.size(0), -1)),
    "reshape": function(lambda x: x.reshape(-1, 192)),
    "flatten squeeze": function(lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(3).squeeze(2)),
    "squeeze dims": function(lambda x: F.adaptive_avg_pool2d(x, 1).squeeze((2, 3))),
    "normalise": function(lambda x: (x - MEAN) / STD),
    "scalars": function(lambda x: 1.0 - 0.5 * x + 3),
    "residual": function(lambda x: F.relu(x) + x),
    "in place alias": function(in_place_alias),
    "option A shortcut": function(lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2))),
    "channel slice": function(lambda x: x[:, 1:]),
    "pad and convolve": lambda: (lambda x, m: m(F.pad(x, (1, 2, 0, 3))), [nn.Conv2d(3, 4, 3)]),
    "pad alone": function(lambda x: F.pad(x, (1, 0, 2, 1))),
    "float": function(lambda x: x.float().contiguous()),
}


def check(net, shape, source=None, **options):
    imported = import_model(source or net, **options)
    x = RNG.standard_normal((4, *shape)).astype(np.float32)
    got, _ = evaluate(imported.graph, x.reshape(4, *imported.graph.input.shape))
    np.testing.assert_allclose(got, run_torch(net, x), rtol=1e-4, atol=1e-5)
    return imported.graph


@pytest.mark.parametrize("name", LAYERS)
def test_layer_matches_torch(name):
    torch.manual_seed(3)
    run, modules = LAYERS[name]()
    net = randomise(Layer(run, (3, 8, 8), *modules))
    check(net, (3, 8, 8), input_shape=(3, 8, 8))


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.LogSoftmax(-1), nn.BatchNorm1d(7, eps=0.1)])
def test_vector_layers_match_torch(last):
    net = randomise(nn.Sequential(nn.Linear(6, 7, bias=False), nn.ReLU(), nn.Linear(7, 7), last))
    graph = check(net, (6,), input_shape=(6,))
    assert graph.input.shape == (6, 1, 1)


def test_names_and_structure_of_a_residual_network():
    net = small_net()
    graph = check(net, (1, 8, 8), input_shape=(1, 8, 8))
    names = ["input", "conv1", "bn1", "act", "conv2", "add", "act_2", "pool", "flatten", "fc"]
    assert [n.name for n in graph.nodes] == names
    kinds = {n.name: type(n) for n in graph.nodes}
    assert kinds["bn1"] is BatchNorm
    assert kinds["add"] is Add
    assert kinds["pool"] is MaxPool
    assert graph.node("bn1").eps == 0.01
    assert {n.name for n in graph.consumers("act")} == {"conv2", "add"}


def test_option_a_shortcut_is_one_convolution_of_zeros_and_ones():
    run, _ = LAYERS["option A shortcut"]()
    graph = import_model(Layer(run, (3, 8, 8)), (3, 8, 8)).graph
    (shortcut,) = (n for n in graph.nodes if isinstance(n, Conv2d))
    want = np.zeros((6, 3))
    want[[1, 2, 3], [0, 1, 2]] = 1
    np.testing.assert_array_equal(shortcut.weight[:, :, 0, 0], want)
    assert shortcut.stride == (2, 2)


def test_selections_that_others_read_stay():
    """The first of two merged selections survives when something else reads it."""

    def run(x):
        half = x[:, :, ::2, ::2]
        return F.adaptive_avg_pool2d(half[:, :, ::2, ::2], 1) + F.adaptive_avg_pool2d(half, 1)

    graph = check(Layer(run, (3, 8, 8)), (3, 8, 8), input_shape=(3, 8, 8))
    assert sorted(n.stride for n in graph.nodes if isinstance(n, Conv2d)) == [(2, 2), (4, 4)]


def test_exported_file_equals_the_module(tmp_path):
    net = small_net()
    path = export_pt2(net, (1, 8, 8), tmp_path / "net.pt2")
    graph = check(net, (1, 8, 8), source=path)
    other = import_model(net, (1, 8, 8)).graph
    assert [n.name for n in graph.nodes] == [n.name for n in other.nodes]


def test_exported_file_with_dynamic_batch(tmp_path):
    net = small_net()
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(net, (torch.zeros(3, 1, 8, 8),), dynamic_shapes=(batch,))
        torch.export.save(program, tmp_path / "net.pt2")
    check(net, (1, 8, 8), source=tmp_path / "net.pt2")


def test_channels_last_and_tied_weights(tmp_path):
    net = small_net().to(memory_format=torch.channels_last)
    net.conv2.weight = net.conv1.weight = nn.Parameter(torch.rand(4, 4, 3, 3))
    net.conv1 = nn.Sequential(nn.Conv2d(1, 4, 1), net.conv2)
    path = export_pt2(net, (1, 8, 8), tmp_path / "net.pt2")
    check(net, (1, 8, 8), source=path)


def test_training_flags_survive():
    net = small_net().train()
    net.drop.eval()
    import_model(net, (1, 8, 8))
    assert net.training
    assert not net.drop.training
    assert net.bn1.training


def test_float64_module():
    net = small_net().double()
    imported = import_model(net, (1, 8, 8))
    assert imported.max_relative_difference < 1e-12


def test_input_shape_may_come_from_the_module():
    net = small_net()
    net.input_shape = (1, 8, 8)
    assert import_model(net).graph.input.shape == (1, 8, 8)


def test_bound_of_relu6():
    graph = import_model(nn.Sequential(nn.Linear(3, 3), nn.ReLU6(), nn.Linear(3, 2)), (3,)).graph
    assert [n.maximum for n in graph.nodes if isinstance(n, Relu)] == [6.0]
