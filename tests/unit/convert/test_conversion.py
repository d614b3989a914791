# SPDX-License-Identifier: BSD-2-Clause
import json
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.convert import Preprocessing, convert, quantize
from pysnn_hw.convert.float_sim import simulate_float
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.errors import DataError, ModelError, NetworkError
from pysnn_hw.golden import simulate
from pysnn_hw.ir.ann import AvgPool, GlobalAvgPool, MaxPool, evaluate
from pysnn_hw.ir.check import check_network
from pysnn_hw.ir.snn import INPUT
from pysnn_hw.ir.widths import drive_interval
from tests.unit.convert.ann_graphs import GRAPHS, Builder, images, plain

PREPROCESSING = Preprocessing(mean=(0.2, 0.4), std=(0.5, 0.7))


def logits(graph, preprocessing):
    prepared, absorbed = prepare(graph, preprocessing)
    return evaluate(prepared, absorbed.apply(images()))[0]


def relative(a, b):
    return np.abs(a - b).max() / np.abs(b - b.mean()).max()


@pytest.mark.parametrize("name", GRAPHS)
def test_many_levels_reproduce_the_scores(name):
    graph = GRAPHS[name]()
    net = convert(graph, images(), levels=8, calibration="max", preprocessing=PREPROCESSING)
    check_network(net)
    scores = simulate_float(net, images()).scores
    assert relative(scores, logits(graph, PREPROCESSING)) < 0.02


@pytest.mark.parametrize("name", GRAPHS)
def test_many_timesteps_reproduce_the_scores(name):
    graph = GRAPHS[name]()
    net = convert(
        graph,
        images(),
        timesteps=200,
        levels=1,
        calibration="max",
        per_channel=False,
        preprocessing=PREPROCESSING,
    )
    scores = simulate_float(net, images()).scores / 200
    assert relative(scores, logits(graph, PREPROCESSING)) < 0.1


@pytest.mark.parametrize("levels", [1, 4])
@pytest.mark.parametrize("calibration", ["max", "percentile", "mse"])
def test_the_parameters_that_were_asked_for(levels, calibration):
    net = convert(plain(), images(), timesteps=3, levels=levels, calibration=calibration)
    assert net.timesteps == 3
    for p in net.populations[:-1]:
        assert p.spike_max == 2**levels - 1
        np.testing.assert_array_equal(p.v_init, p.threshold / 2)
        assert p.threshold.shape == (p.channels,)
    assert net.populations[-1].threshold.size == 0
    assert net.provenance["calibration"] == calibration
    json.dumps(net.provenance)


def first_current(preprocessing):
    """Pre-activation of an unpadded first layer: the float network's and the graph's."""
    b = Builder(7)
    b.conv("conv", 2, 3, padding=0)
    b.relu("relu")
    b.add(GlobalAvgPool, "gap")
    net = convert(b.graph(), images(), preprocessing=preprocessing, bias_correction=False)
    p = net.projections[0]
    x = images().astype(np.float64) - np.reshape(net.input.zero_point, (-1, 1, 1))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
    current = np.einsum("ncyxij,ocij->noyx", windows, p.weight)
    current += net.population("relu").bias[:, None, None]
    _, kept = evaluate(b.graph(), _exact(preprocessing), keep=["conv"])
    return net, current, kept["conv"]


def _exact(preprocessing):
    mean, std = preprocessing.per_channel(2)
    x = images() / preprocessing.scale
    return (x - mean[:, None, None]) / std[:, None, None]


@pytest.mark.parametrize(
    "preprocessing",
    [Preprocessing(), Preprocessing(scale=1.0), Preprocessing(mean=(0.1307, 0.5), std=(0.3081, 2))],
)
def test_the_input_scaling_is_exact_inside_the_image(preprocessing):
    net, current, expected = first_current(preprocessing)
    np.testing.assert_allclose(current, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    assert net.input.zero_point == preprocessing.zero_point(2)
    assert net.projections[0].source == INPUT


@pytest.mark.parametrize("std", [1.0, 0.5])
def test_a_threshold_sends_what_the_model_sees_of_it(std):
    graph, edge = plain(), int(np.sort(images().ravel())[images().size // 2])  # of some pixels
    plainly = Preprocessing(std=(std,))
    preprocessing = replace(plainly, threshold=edge)
    net = convert(graph, images(), levels=8, calibration="max", preprocessing=preprocessing)
    assert net.input.values(images()).max() == 1
    scores = simulate_float(net, images()).scores
    shown = np.where(images() >= edge, 255, 0)
    np.testing.assert_array_equal(preprocessing.apply(images()), plainly.apply(shown))
    prepared, absorbed = prepare(graph, plainly)
    assert relative(scores, evaluate(prepared, absorbed.apply(shown))[0]) < 0.02
    fixed = quantize(net, 8, images())
    first = fixed.projections[0]
    _, most = drive_interval(fixed, first)
    assert most.tolist() == np.maximum(first.weight, 0).sum(axis=(1, 2, 3)).tolist()
    np.testing.assert_array_equal(simulate(fixed, images()).scores, simulate(fixed, shown).scores)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 0}, "must be in 1..255, not 0"),
        ({"threshold": 256}, "must be in 1..255, not 256"),
        ({"threshold": 9, "mean": (0.0, 0.1)}, "needs a mean of 0"),
    ],
)
def test_a_threshold_that_cannot_be(changes, message):
    with pytest.raises(ModelError, match=message):
        Preprocessing(**changes)


@pytest.mark.parametrize("pool", [AvgPool, MaxPool])
def test_a_pooled_input_keeps_its_offset(pool):
    b = Builder(11)
    b.pool(pool, "pool")
    b.conv("conv", 2, 3, padding=0)
    b.relu("relu")
    b.add(GlobalAvgPool, "gap")
    # The zero point leaves nearly half a grey level, large beside these pixels.
    preprocessing = Preprocessing(scale=2.0, mean=(0.2, 0.7), maximum=3)
    x = images() % 4
    net = convert(b.graph(), x, levels=8, calibration="max", preprocessing=preprocessing)
    expected, _ = evaluate(b.graph(), preprocessing.apply(x))
    assert relative(simulate_float(net, x).scores, expected) < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timesteps": 0}, "timesteps: must be 1..4096, not 0"),
        ({"timesteps": 5000}, "timesteps: must be 1..4096"),
        ({"levels": 0}, "levels: must be 1..8 bits, not 0"),
        ({"levels": 9}, "levels: must be 1..8 bits, not 9"),
        ({"calibration": "best"}, "calibration: 'best' is unknown"),
        ({"percentile": 0.0}, "percentile: must be in 0..100"),
        ({"percentile": float("nan")}, "percentile: must be in 0..100"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ModelError, match=message):
        convert(plain(), images(), **options)


def test_images_of_another_shape():
    with pytest.raises(DataError, match="images: shape"):
        convert(plain(), images()[:, :, :4])


def test_activations_that_overflow():
    b = Builder(8)
    b.conv("conv1", 2, 3)
    b.relu("relu1")
    b.conv("conv2", 3, 3)
    b.relu("relu2")
    for node in b.nodes[1::2]:
        node.weight[:] = 1e30
    b.add(GlobalAvgPool, "gap")
    with pytest.raises(DataError, match="relu2: an activation is NaN or infinite"):
        convert(b.graph(), images())


def test_padding_beyond_the_kernel_is_refused_in_one_sentence():
    b = Builder(9)
    b.conv("conv", 2, 3, padding=3)
    b.relu("relu")
    b.add(GlobalAvgPool, "gap")
    with pytest.raises(NetworkError, match="padding"):
        convert(b.graph(), images())
