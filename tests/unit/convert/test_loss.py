# SPDX-License-Identifier: BSD-2-Clause
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.convert import Preprocessing, convert, loss_report, quantize
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.errors import DataError
from pysnn_hw.golden import simulate
from pysnn_hw.ir.ann import evaluate
from tests.unit.convert.ann_graphs import images, residual

PREPROCESSING = Preprocessing(mean=(0.2, 0.4), std=(0.5, 0.7))


@pytest.fixture(scope="module")
def case():
    graph, x = residual(), images(130)
    snn = convert(graph, x, preprocessing=PREPROCESSING)
    fixed = quantize(snn)
    ann = evaluate(graph, PREPROCESSING.apply(x))[0].argmax(1)
    labels = np.where(np.arange(130) % 10 == 0, (ann + 1) % 5, ann)
    return graph, snn, fixed, x, labels


def test_accuracies_are_those_of_the_three_networks(case):
    graph, _, fixed, x, labels = case
    seen = []
    report = loss_report(*case, PREPROCESSING, progress=lambda *now: seen.append(now))
    classes = simulate(fixed, x).classes
    ann = evaluate(graph, PREPROCESSING.apply(x))[0].argmax(1)
    assert report.ann_accuracy == (ann == labels).mean() == 0.9
    assert report.fixed_accuracy == (classes == labels).mean()
    assert report.agreement == (classes == ann).mean()
    assert report.snn_accuracy > 0.8
    assert report.images == 130
    assert seen == [(100, 130), (130, 130)]


def test_each_population_is_compared_with_its_activation(case):
    graph, snn, fixed, x, _ = case
    report = loss_report(*case, PREPROCESSING, compared=1000)
    assert [p.name for p in report.populations] == ["relu0", "relu1", "relu2"]
    prepared, absorbed = prepare(graph, PREPROCESSING)
    _, kept = evaluate(prepared, absorbed.apply(x), keep=["relu1"])
    spikes = simulate(fixed, x, trace=True).trace.spikes["relu1"].sum(1)
    value = spikes * snn.population("relu1").threshold[:, None, None]
    found, a = report.populations[1], kept["relu1"]
    assert found.fixed_rmse == pytest.approx(np.sqrt(((value - a) ** 2).mean()), rel=1e-4)
    corr = np.corrcoef(value.ravel(), a.ravel())[0, 1]
    assert found.fixed_correlation == pytest.approx(corr, abs=1e-5)
    assert found.active == pytest.approx((spikes > 0).mean())
    assert found.activation_rms == pytest.approx(np.sqrt((a**2).mean()), rel=1e-5)
    assert found.snn_correlation > 0.99
    assert report.compared == 130


def test_a_broken_population_is_seen(case):
    graph, snn, fixed, x, labels = case
    silent = tuple(
        replace(p, bias=np.full(1, -(10**6))) if p.name == "relu1" else p for p in fixed.populations
    )
    report = loss_report(graph, snn, replace(fixed, populations=silent), x, labels, PREPROCESSING)
    by_name = {p.name: p for p in report.populations}
    assert by_name["relu0"].fixed_correlation > 0.99
    assert by_name["relu1"].fixed_correlation == 0
    assert by_name["relu1"].fixed_rmse == pytest.approx(by_name["relu1"].activation_rms)
    assert by_name["relu1"].active == 0


def test_unsuitable_labels(case):
    graph, snn, fixed, x, labels = case
    with pytest.raises(DataError, match="labels: shape"):
        loss_report(graph, snn, fixed, x, labels[:-1], PREPROCESSING)
