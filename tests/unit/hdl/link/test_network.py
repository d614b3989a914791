# SPDX-License-Identifier: BSD-2-Clause
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.errors import PlanError
from pysnn_hw.hdl.link.network import fingerprint, link_parameters
from pysnn_hw.ir.file import load, save
from pysnn_hw.ir.snn import Readout
from tests.networks import random_network


def test_fingerprint_survives_the_file_and_ignores_provenance(tmp_path):
    net = random_network(np.random.default_rng(1))
    save(net, tmp_path / "a.snn")
    again = replace(load(tmp_path / "a.snn"), provenance={"who": "knows"})
    assert fingerprint(again) == fingerprint(net)


def test_fingerprint_sees_every_part():
    net = random_network(np.random.default_rng(1))
    population, projection = net.populations[0], net.projections[0]
    weight = projection.weight.copy()
    weight.flat[-1] += 1
    rest = net.populations[1:]
    others = [
        replace(net, timesteps=net.timesteps + 1),
        replace(net, input=replace(net.input, minimum=net.input.minimum - 1)),
        replace(net, populations=(replace(population, bias=population.bias + 1), *rest)),
        replace(net, projections=(replace(projection, weight=weight), *net.projections[1:])),
    ]
    prints = {fingerprint(n) for n in (net, *others)}
    assert len(prints) == 1 + len(others)
    assert all(0 <= p < 1 << 32 for p in prints)


def test_parameters_of_a_network():
    net = random_network(np.random.default_rng(2))
    parameters = link_parameters(net, divisor=12, clock_mhz=30)
    assert parameters.image_length == np.prod(net.input.shape)
    assert (parameters.minimum, parameters.maximum) == (net.input.minimum, net.input.maximum)
    assert parameters.classes == net.populations[-1].size
    assert parameters.info.fingerprint == fingerprint(net)
    assert (parameters.divisor, parameters.clock_mhz) == (12, 30)


def test_votes_need_other_bits_than_membranes():
    net = replace(random_network(np.random.default_rng(2)), timesteps=4000)
    sampled = replace(net, readout=Readout("sampled", seed=1, noise=(0,) * 256))
    assert link_parameters(sampled, divisor=12).score_bits == 13


def test_events_are_refused():
    net = random_network(np.random.default_rng(2))
    zeros = (0,) * net.input.shape[0]
    net = replace(net, input=replace(net.input, encoding="events", zero_point=zeros))
    with pytest.raises(PlanError, match="cannot be sent over the UART link"):
        link_parameters(net, divisor=12)
