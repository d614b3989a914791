# SPDX-License-Identifier: BSD-2-Clause
"""Thresholds that are the largest current of a single step."""

from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.convert.float_sim import simulate_float
from pysnn_hw.convert.hybrid.balance import balanced_network, scaled
from pysnn_hw.convert.hybrid.training import HybridTraining
from pysnn_hw.convert.hybrid.weights import load_weights, weights_of
from pysnn_hw.convert.lower import lower
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.errors import ModelError
from pysnn_hw.ir.ann import AnnGraph, Input, Linear, Relu
from tests.unit.convert.ann_graphs import GRAPHS, images
from tests.unit.convert.hybrid_nets import random_dense, run

GREY = Preprocessing(1.0)


def chain(*weights, bias=None) -> AnnGraph:
    """Linear layers with ReLUs between them."""
    nodes = [Input("x", (), (weights[0].shape[1], 1, 1))]
    for k, weight in enumerate(weights):
        nodes.append(Linear(f"fc{k}", (nodes[-1].name,), weight=weight, bias=bias if k else None))
        nodes.append(Relu(f"h{k}", (f"fc{k}",)))
    return AnnGraph(tuple(nodes[:-1]), f"fc{len(weights) - 1}")


def balance(graph, x, training, preprocessing=GREY, timesteps=4, tau=0.0):
    prepared, absorbed = prepare(graph, preprocessing)
    return balanced_network(
        lower(prepared), absorbed, x, timesteps=timesteps, tau=tau, training=training
    )


W0 = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
W1 = np.array([[1.0, 1.0, 0.0], [3.0, -1.0, -3.0]])
W2 = np.eye(2)
X = np.array([[8, 0], [0, 6], [4, 4]]).reshape(3, 2, 1, 1)


def test_c7_the_largest_current_of_a_single_step():
    """By hand. First layer: 8, of pixel 8. Its neurons then fire

    ======  =========================  ==================
    image   h0 at theta = 8            currents into h1
    ======  =========================  ==================
    8, 0    never strictly above 8     step 2 on: (1, 3)
            at first; from step 2 on
            every step. The third one
            (4 a step): steps 3, 5, ..  (1, 0)
    0, 6    second one, now and then   (1, -1)
    4, 4    all three at steps 3, 5,   (2, -1)
            ..: 12 > 8, rest 4
    ======  =========================  ==================

    The largest in a single step is 3, though membranes of h1 grow with time.
    """
    net = balance(chain(W0, W1, W2), X, HybridTraining(scaling=1.0, balance_steps=50))
    first, second, _ = net.populations
    assert first.threshold.tolist() == [8.0]
    # In units of the activation: a spike of the first layer stands for 8.
    assert second.threshold.tolist() == [3.0 * 8]
    assert first.neuron.strict
    assert second.neuron.strict
    np.testing.assert_array_equal(net.projections[1].weight, W1 * 8)
    np.testing.assert_array_equal(net.projections[2].weight, W2 * 24)


def test_c7_before_anyone_has_fired_there_is_nothing_to_see():
    net = balance(chain(W0, W1, W2), X, HybridTraining(scaling=1.0, balance_steps=1))
    assert net.populations[1].threshold.tolist() == [1.0]


def test_only_so_many_images_are_looked_at():
    net = balance(chain(W0, W1, W2), X[1:], HybridTraining(scaling=1.0, balance_images=1))
    assert net.populations[0].threshold.tolist() == [6.0]


def test_scaling_is_of_the_thresholds_alone():
    one, less = (
        balance(chain(W0, W1, W2), X, HybridTraining(scaling=s), tau=0.5) for s in (1.0, 0.5)
    )
    for a, b in zip(one.projections, less.projections, strict=True):
        np.testing.assert_allclose(a.weight, b.weight)
    for a, b in zip(one.populations[:-1], less.populations[:-1], strict=True):
        np.testing.assert_allclose(0.5 * a.threshold, b.threshold)
        np.testing.assert_allclose(0.5 * b.threshold, b.v_init)


@pytest.mark.parametrize("name", ["average pool", "residual", "residual, pooled"])
def test_scaling_keeps_what_rates_mean(name):
    """Long rates, far from saturation, raise every current by the same factor."""
    prepared, absorbed = prepare(GRAPHS[name](), Preprocessing())
    training = HybridTraining(scaling=1.0)
    net = balanced_network(
        lower(prepared), absorbed, images(), timesteps=400, tau=0.5, training=training
    )
    ample = scaled(net, 4.0)  # no neuron saturates
    raised = scaled(ample, 0.5)
    a, b = (simulate_float(n, images(8)).scores for n in (ample, raised))
    ratio = 2.0 ** (len({p.name for p in net.populations}) - 1)
    if name != "average pool":
        ratio = 2.0 ** len(net.populations[:-1])
    np.testing.assert_allclose(b, a * ratio, atol=0.06 * np.abs(b).max())


def test_leak_reaches_the_neurons_but_not_the_balancing():
    leaky, tight = (
        balance(chain(W0, W1, W2), X, HybridTraining(scaling=1.0, leak=k)) for k in (2, 0)
    )
    assert [p.neuron.leak for p in leaky.populations] == [2, 2, 0]
    for a, b in zip(leaky.populations, tight.populations, strict=True):
        np.testing.assert_array_equal(a.threshold, b.threshold)


def test_weights_come_back_strictly():
    net, other = random_dense(1), random_dense(2)
    tensors = weights_of(other)
    loaded = load_weights(net, tensors)
    x = np.random.default_rng(0).integers(0, 256, (3, 6, 1, 1))
    np.testing.assert_array_equal(run(loaded, x)[1]["out"], run(other, x)[1]["out"])
    with pytest.raises(ModelError, match=r"to_h1\.weight: is missing"):
        load_weights(net, {k: v for k, v in tensors.items() if k != "to_h1.weight"})
    with pytest.raises(ModelError, match=r"fc9\.weight: is among the weights, but not in"):
        load_weights(net, tensors | {"fc9.weight": np.zeros(3)})
    with pytest.raises(ModelError, match=r"to_h0\.weight: has shape \(6, 8\)"):
        load_weights(net, tensors | {"to_h0.weight": tensors["to_h0.weight"].T})
    with pytest.raises(ModelError, match=r"h0\.bias: holds values that are not finite"):
        load_weights(net, tensors | {"h0.bias": np.full(8, np.nan)})
    assert set(weights_of(replace(net))) == set(tensors)
