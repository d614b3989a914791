# SPDX-License-Identifier: BSD-2-Clause
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.convert import convert, quantize
from pysnn_hw.convert.float_sim import simulate_float
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.convert.qcfs import Training, _Student, finetune
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.ann import evaluate
from tests.unit.convert.ann_graphs import GRAPHS, images, plain

SOME = Training(epochs=60, batch=8, rate=2e-2)


def wanted(graph):
    prepared, absorbed = prepare(graph, Preprocessing())
    return evaluate(prepared, absorbed.apply(images()))[0].reshape(len(images()), -1)


def error(net, graph):
    return np.square(simulate_float(net, images()).scores - wanted(graph)).mean()


@pytest.mark.parametrize("name", ["residual, conv", "max pool", "average pool"])
def test_scores_come_closer_to_those_of_the_trained_network(name):
    graph = GRAPHS[name]()
    before = convert(graph, images(), levels=2)
    after = convert(graph, images(), levels=2, method="qcfs", training=SOME)
    assert error(after, graph) < 0.7 * error(before, graph)
    assert after.provenance["method"] == "qcfs"
    for p in after.populations[:-1]:
        np.testing.assert_array_equal(p.v_init, p.threshold / 2)


@pytest.mark.parametrize("name", ["residual, conv", "max pool", "average pool"])
def test_few_bits_are_learnt_to_live_with(name):
    graph = GRAPHS[name]()
    plainly, aware = (
        quantize(
            convert(
                graph, images(), levels=2, method="qcfs", training=replace(SOME, weight_bits=bits)
            ),
            3,
        )
        for bits in (None, 3)
    )
    assert error(aware, graph) < error(plainly, graph)


@pytest.mark.parametrize("name", GRAPHS)
def test_what_was_learnt_with_few_bits_needs_no_more(name):
    """Weights and biases are whole numbers of steps, so that quantising changes next to nothing."""
    net = convert(
        GRAPHS[name](), images(), levels=2, method="qcfs", training=Training(1, 8, weight_bits=4)
    )
    have = simulate_float(quantize(net, 4), images()).scores.argmax(1)
    want = simulate_float(net, images()).scores.argmax(1)
    assert (have == want).mean() > 0.9


@pytest.mark.parametrize("name", GRAPHS)
def test_the_student_is_the_network(name):
    """Its forward pass is that of the spikes, so nothing is learnt of another network."""
    import torch

    net = convert(GRAPHS[name](), images(), levels=2)
    zero = np.reshape(net.input.zero_point, (-1, 1, 1))
    x = torch.from_numpy((images().astype(np.int64) - zero).astype(np.float32))
    got = _Student(net, None).scores(x).detach().numpy()
    want = simulate_float(net, images()).scores
    # A membrane within a rounding error of a threshold may fall to either side.
    assert np.isclose(got, want, rtol=1e-3, atol=1e-3 * np.abs(want).max()).mean() > 0.9


def test_the_same_seed_gives_the_same_network():
    one, again, other = (
        convert(
            plain(), images(), levels=2, method="qcfs", training=Training(1, 8, 1e-3, seed=seed)
        )
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.projections[0].weight, again.projections[0].weight)
    assert (one.projections[0].weight != other.projections[0].weight).any()


def test_progress_reaches_its_end():
    told = []
    net = convert(plain(), images(), levels=2)
    finetune(
        net, images(), wanted(plain()), Training(2, 8), progress=lambda *what: told.append(what)
    )
    steps = 2 * (len(images()) // 8)
    assert told == [("fine-tune", k, steps) for k in range(1, steps + 1)]


def test_refusals():
    with pytest.raises(ModelError, match="qcfs is for one timestep"):
        convert(plain(), images(), timesteps=2, method="qcfs")
    net = convert(plain(), images(), timesteps=2)
    with pytest.raises(ModelError, match="must be 1 for qcfs, not 2"):
        finetune(net, images(), wanted(plain()))
    net = convert(plain(), images())
    with pytest.raises(ModelError, match="diverged"):
        finetune(net, images(), np.full_like(wanted(plain()), np.nan))


@pytest.mark.parametrize("name", ["residual, conv", "average pool"])
def test_spikes_that_weigh_something_become_fewer(name):
    graph = GRAPHS[name]()

    def operations(activity):
        training = replace(SOME, epochs=20, activity=activity)
        net = convert(graph, images(), levels=2, method="qcfs", training=training)
        counts = simulate_float(net, images()).counts
        return sum(float((values != 0).mean()) for values in counts.values())

    assert operations(0.5) < 0.8 * operations(0.0)


def test_the_share_is_that_of_the_operations():
    """With thresholds so small that the line a neuron counts as is a step, like its spikes."""
    import torch

    net = convert(plain(), images(), levels=1)
    steep = [
        replace(p, threshold=1e-6 * p.threshold, v_init=5e-7 * p.threshold)
        for p in net.populations[:-1]
    ]
    net = replace(net, populations=(*steep, net.populations[-1]))
    zero = np.reshape(net.input.zero_point, (-1, 1, 1))
    x = torch.from_numpy((images().astype(np.int64) - zero).astype(np.float32))
    share = float(_Student(net, counts=True).run(x)[1].detach())
    macs = {
        p.name: sum(q.as_conv(p.shape).macs for q in net.out_of(p.name)) for p in net.populations
    }
    counts = simulate_float(net, images()).counts
    want = sum(macs[name] * float((values != 0).mean()) for name, values in counts.items())
    assert 0.1 < share < 0.9
    assert share == pytest.approx(want / sum(macs.values()), abs=1e-3)


@pytest.mark.parametrize("activity", [-0.1, float("nan")])
def test_an_activity_that_means_nothing_is_refused(activity):
    with pytest.raises(ModelError, match="activity: must not be negative"):
        Training(activity=activity)


def test_the_network_tells_how_it_was_trained():
    short = replace(SOME, epochs=1, activity=0.5)
    net = convert(plain(), images(), method="qcfs", training=short)
    fixed = quantize(net, 6)
    assert fixed.provenance["training"]["activity"] == 0.5
    assert fixed.provenance["training"]["epochs"] == 1
