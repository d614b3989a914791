# SPDX-License-Identifier: BSD-2-Clause
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.convert.float_sim import classify_float, simulate_float
from pysnn_hw.convert.random_words import random_words
from pysnn_hw.golden import simulate
from pysnn_hw.golden.reference import random_words as golden_words
from pysnn_hw.golden.reference import simulate_reference
from tests.networks import EXTRAS, random_images, random_network


@pytest.mark.parametrize("extras", [(), *((e,) for e in EXTRAS), EXTRAS], ids=" ".join)
@pytest.mark.parametrize("seed", range(12))
def test_integer_networks_are_simulated_exactly(seed, extras):
    rng = np.random.default_rng(seed)
    net = random_network(rng, extras=extras)
    images = random_images(rng, net, 6)
    golden = simulate(net, images, trace=True)
    found = simulate_float(net, images)
    np.testing.assert_array_equal(found.scores, golden.scores)
    np.testing.assert_array_equal(found.classes, golden.classes)
    np.testing.assert_array_equal(found.steps, golden.steps)
    assert found.counts.keys() == golden.trace.spikes.keys()
    for name, counts in found.counts.items():
        proper = golden.trace.spikes[name][:, -net.timesteps :]
        np.testing.assert_array_equal(counts, proper.sum(1, dtype=np.int64))


def test_history_ends_in_the_scores():
    rng = np.random.default_rng(1)
    net = random_network(rng, timesteps=5)
    images = random_images(rng, net, 6)
    found = simulate_float(net, images, history=True)
    np.testing.assert_array_equal(found.history[:, -1], found.scores)
    for steps in (1, 3):
        short = simulate_float(replace(net, timesteps=steps), images)
        np.testing.assert_array_equal(found.history[:, steps - 1], short.scores)
    assert simulate_float(net, images).history is None


@pytest.mark.parametrize("seed", [1, 0x9E3779B9, (1 << 32) - 1])
def test_random_words_are_those_of_the_generator(seed):
    reference = golden_words(seed)
    expected = [next(reference) for _ in range(1000)]
    np.testing.assert_array_equal(random_words(seed, 1000), expected)
    np.testing.assert_array_equal(random_words(seed, 3), expected[:3])


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
