# SPDX-License-Identifier: BSD-2-Clause
"""What candidates share is worked out once, and changes nothing."""

import numpy as np
import pytest

from pysnn_hw.convert import Preprocessing, convert, quantize
from pysnn_hw.convert.conversion import sample
from pysnn_hw.explore import Candidate, Subject
from pysnn_hw.explore import subject as module
from pysnn_hw.frontend import import_model
from tests.unit.test_cli import FACTORY


@pytest.fixture
def subject(tmp_path):
    (tmp_path / "tiny.py").write_text(FACTORY)
    graph = import_model(f"{tmp_path / 'tiny.py'}:make").graph
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (50, 1, 6, 6)), rng.integers(0, 3, 50)
    return Subject(graph, Preprocessing(), x[:20], x[:30], y[:30], x[20:], y[20:], threads=1)


def same(a, b):
    return all(
        np.array_equal(p.threshold, q.threshold) and np.array_equal(p.bias, q.bias)
        for p, q in zip(a.populations, b.populations, strict=True)
    ) and all(
        np.array_equal(p.weight, q.weight)
        for p, q in zip(a.projections, b.projections, strict=True)
    )


def test_a_candidate_is_what_convert_makes_of_it(subject):
    candidate = Candidate("rate", 2, 2, 5, "layer p99.9", 0.4, False)
    snn = convert(
        subject.graph,
        subject.calibration,
        timesteps=2,
        levels=2,
        calibration="percentile",
        per_channel=False,
        tau=0.4,
        bias_correction=False,
    )
    wanted = quantize(snn, 5, subject.calibration)
    found = subject.network(candidate)
    assert same(found, wanted)
    assert found.timesteps == 2
    assert found.provenance["candidate"] == candidate.to_json()


def test_thresholds_of_its_own(subject):
    found = subject.network(Candidate("ecc", 2, 2, 8, "own"))
    snn = convert(subject.graph, subject.calibration, timesteps=2, levels=2, method="ecc")
    assert same(found, quantize(snn, 8, subject.calibration))


def test_activations_are_sampled_once(subject, monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return sample(*arguments)

    monkeypatch.setattr(module, "sample", counted)
    for levels in (2, 3, 4):
        subject.network(Candidate(levels=levels))
    assert len(calls) == 1


def test_weight_bits_convert_nothing_anew(subject, monkeypatch):
    subject.network(Candidate(weight_bits=8))
    monkeypatch.setattr(module, "convert", None)
    assert subject.network(Candidate(weight_bits=4)).projections[0].weight.max() <= 7


def test_few_bits_are_trained_for(subject):
    coarse = subject.spiking(Candidate("qcfs", weight_bits=4, levels=2))
    fine = subject.spiking(Candidate("qcfs", weight_bits=8, levels=2))
    assert not np.array_equal(coarse.projections[0].weight, fine.projections[0].weight)


def test_images_come_in_an_order_that_stays(subject):
    whole = subject.original(30)
    assert np.array_equal(subject.original(10), whole[:10])
    net = subject.network(Candidate())
    parts = subject.tally(net, 0, 10) + subject.tally(net, 10, 30)
    assert parts == subject.tally(net, 0, 30)
    assert parts.agreeing >= 27
