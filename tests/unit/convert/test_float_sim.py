# SPDX-License-Identifier: BSD-2-Clause
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.convert.float_sim import classify_float, simulate_float
from pysnn_hw.golden import simulate
from pysnn_hw.golden.reference import simulate_reference
from tests.networks import random_images, random_network


@pytest.mark.parametrize("seed", range(25))
def test_integer_networks_are_simulated_exactly(seed):
    rng = np.random.default_rng(seed)
    net = random_network(rng)
    images = random_images(rng, net, 6)
    golden = simulate(net, images, trace=True)
    found = simulate_float(net, images)
    np.testing.assert_array_equal(found.scores, golden.scores)
    assert found.counts.keys() == golden.trace.spikes.keys()
    for name, counts in found.counts.items():
        np.testing.assert_array_equal(counts, golden.trace.spikes[name].sum(1, dtype=np.int64))


def test_large_integers_are_simulated_exactly():
    rng = np.random.default_rng(3)
    net = random_network(rng, timesteps=4)
    factor = 1 << 18
    net = replace(
        net,
        populations=tuple(
            replace(
                p,
                bias=p.bias * factor + 1,
                threshold=p.threshold * factor,
                v_init=p.v_init * factor,
                v_min=None if p.v_min is None else p.v_min * factor,
                v_max=None if p.v_max is None else p.v_max * factor,
            )
            for p in net.populations
        ),
        projections=tuple(replace(p, weight=p.weight * factor) for p in net.projections),
    )
    images = random_images(rng, net, 4)
    golden = simulate_reference(net, images)  # beyond what a file may hold
    np.testing.assert_array_equal(simulate_float(net, images).scores, golden.scores)


def test_classes_are_the_argmax_in_batches():
    rng = np.random.default_rng(5)
    net = random_network(rng, timesteps=2)
    images = random_images(rng, net, 230)
    np.testing.assert_array_equal(classify_float(net, images), simulate(net, images).classes)
    assert classify_float(net, images[:0]).shape == (0,)
