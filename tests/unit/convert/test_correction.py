# SPDX-License-Identifier: BSD-2-Clause
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.convert import convert, quantize
from pysnn_hw.convert.correction import (
    correct_biases,
    correction_images,
    mean_activations,
    mean_responses,
)
from pysnn_hw.convert.float_sim import simulate_float
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.ann import evaluate
from pysnn_hw.ir.snn import PLAIN, Neuron
from tests.unit.convert.ann_graphs import GRAPHS, images, plain, residual


def targets_of(graph, net):
    prepared, absorbed = prepare(graph, Preprocessing())
    return mean_activations(prepared, absorbed.apply(images()), [p.name for p in net.populations])


def distance(net, targets):
    means = mean_responses(net, images())
    return sum(np.abs(means[k] - targets[k]).sum() / np.abs(targets[k]).sum() for k in targets)


@pytest.mark.parametrize("build", [plain, residual])
@pytest.mark.parametrize(("timesteps", "levels"), [(1, 2), (4, 1)])
def test_means_come_closer_to_those_of_the_trained_network(build, timesteps, levels):
    graph = build()
    net = convert(graph, images(), timesteps=timesteps, levels=levels, bias_correction=False)
    targets = targets_of(graph, net)
    corrected = correct_biases(net, targets, images())
    assert distance(corrected, targets) < 0.8 * distance(net, targets)


def test_a_shifted_bias_is_found_and_undone():
    net = convert(plain(), images(), levels=8, bias_correction=False)
    targets = mean_responses(net, images())
    name = net.populations[-1].name
    off = [replace(p, bias=p.bias + (p.name == name) * 0.5) for p in net.populations]
    back = correct_biases(replace(net, populations=tuple(off)), targets, images())
    np.testing.assert_allclose(back.populations[-1].bias, net.populations[-1].bias, atol=1e-5)


def test_a_network_that_is_right_stays_as_it_is():
    net = convert(plain(), images(), bias_correction=False)
    assert correct_biases(net, mean_responses(net, images()), images()) is net


def test_integer_networks_keep_whole_biases():
    net = quantize(convert(plain(), images(), bias_correction=False), 8)
    targets = {name: 1.5 * mean for name, mean in mean_responses(net, images()).items()}
    corrected = correct_biases(net, targets, images())
    assert all(p.bias.dtype == np.int64 for p in corrected.populations)
    assert distance(corrected, targets) < distance(net, targets)


def test_responses_are_rate_times_threshold():
    net = convert(plain(), images(), timesteps=3, levels=2)
    found = simulate_float(net, images())
    means = mean_responses(net, images())
    first, last = net.populations[0], net.populations[-1]
    want = found.counts[first.name].mean((0, 2, 3)) / 3 * first.per_channel("threshold")
    np.testing.assert_allclose(means[first.name], want, rtol=1e-5)
    np.testing.assert_allclose(means[last.name], found.scores.mean(0) / 3, rtol=1e-5)


def test_long_runs_take_fewer_images():
    assert [correction_images(t) for t in (1, 8, 16, 4096)] == [256, 256, 128, 32]


def test_signed_neurons_only_where_there_is_something_to_take_back():
    once = convert(plain(), images(), method="signed")
    often = convert(plain(), images(), timesteps=4, levels=2, method="signed")
    assert {p.neuron for p in once.populations} == {PLAIN}
    assert {p.neuron for p in often.populations[:-1]} == {Neuron("memory")}
    assert often.populations[-1].neuron == PLAIN
    assert often.provenance["method"] == "signed"
    with pytest.raises(ModelError, match=r"levels: must be 1\.\.7 bits for signed neurons"):
        convert(plain(), images(), timesteps=2, levels=8, method="signed")


def test_signed_neurons_come_closer_than_plain_ones():
    """Uneven input from the second layer on: the case that they are made for."""
    graph = GRAPHS["residual, conv"]()
    prepared, absorbed = prepare(graph, Preprocessing())
    wanted = evaluate(prepared, absorbed.apply(images()))[0].reshape(len(images()), -1)
    errors = {}
    for method in ("rate", "signed"):
        net = convert(graph, images(), timesteps=16, levels=1, method=method, bias_correction=False)
        errors[method] = np.square(simulate_float(net, images()).scores / 16 - wanted).mean()
    assert errors["signed"] < 0.7 * errors["rate"]


def test_hard_reset_loses_rate():
    soft = convert(plain(), images(), timesteps=16, levels=1, bias_correction=False)
    hard = convert(plain(), images(), timesteps=16, levels=1, reset="hard", bias_correction=False)
    assert {p.neuron.reset for p in hard.populations[:-1]} == {"hard"}
    first = soft.populations[0].name
    counts = [simulate_float(net, images()).counts[first].sum() for net in (soft, hard)]
    assert counts[1] < 0.9 * counts[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "magic"}, "use rate, ecc"), ({"reset": "none"}, "use soft or hard")],
)
def test_unknown_choices(options, message):
    with pytest.raises(ModelError, match=message):
        convert(plain(), images(), **options)
