# SPDX-License-Identifier: BSD-2-Clause
"""Random input, gated max pooling, and the methods srp and cos."""

import numpy as np
import pytest

from pysnn_hw.convert import Preprocessing, convert, quantize
from pysnn_hw.convert.float_sim import simulate_float
from pysnn_hw.convert.moments import input_moments
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.errors import ModelError
from pysnn_hw.golden import simulate
from pysnn_hw.ir.ann import Flatten, GlobalAvgPool, MaxPool, evaluate
from pysnn_hw.ir.snn import Probe
from tests.unit.convert.ann_graphs import GRAPHS, Builder, images, plain

NORMALISED = Preprocessing(mean=(0.4, 0.5), std=(0.3, 0.4))


def agree(net, x):
    fixed = quantize(net, 8, x)
    golden, found = simulate(fixed, x, trace=True), simulate_float(fixed, x)
    np.testing.assert_array_equal(found.scores, golden.scores)
    return fixed, golden


def error(net, graph, x, preprocessing=None):
    prepared, absorbed = prepare(graph, preprocessing or Preprocessing())
    wanted, _ = evaluate(prepared, absorbed.apply(x))
    return np.square(simulate_float(net, x).scores / net.timesteps - wanted).mean()


@pytest.mark.parametrize("preprocessing", [Preprocessing(), NORMALISED])
@pytest.mark.parametrize("name", ["max pool", "residual"])
def test_random_input_has_the_currents_of_the_constant_one_on_average(name, preprocessing):
    """T-A9: per layer, the mean over many steps is that of the constant input."""
    x, graph = images(10), GRAPHS[name]()
    options = {"timesteps": 256, "levels": 1, "calibration": "max", "bias_correction": False}
    options["preprocessing"] = preprocessing
    constant = convert(graph, x, **options)
    random = convert(graph, x, encoding="bernoulli", seed=77, **options)
    assert random.input.encoding == "bernoulli"
    assert random.input.seed == 77
    first = constant.populations[0].name
    rates = [simulate_float(net, x).counts[first] / 256 for net in (constant, random)]
    assert np.abs(rates[0] - rates[1]).mean() < 0.03
    assert abs(rates[0].mean() - rates[1].mean()) < 0.01
    agree(random, x)


def test_random_input_needs_more_steps():
    x, graph = images(), plain()
    options = {"timesteps": 16, "levels": 1, "preprocessing": NORMALISED}
    found = [
        error(convert(graph, x, encoding=how, **options), graph, x, NORMALISED)
        for how in ("constant", "bernoulli")
    ]
    assert found[0] < 0.7 * found[1]


def test_random_input_is_rounded_on_its_own_moments():
    """What arrives are events, not pixels: with their weights, the same current on average."""
    x = images()
    currents = []
    for encoding in ("constant", "bernoulli"):
        net = convert(
            plain(), x, timesteps=64, levels=1, encoding=encoding, preprocessing=NORMALISED
        )
        first = net.projections[0]
        (mean,) = input_moments(net, x)[first.name].mean
        currents.append(first.weight.reshape(len(first.weight), -1) @ mean)
    np.testing.assert_allclose(currents[1], currents[0], rtol=1e-4)
    fixed, _ = agree(net, x)
    whole = simulate(fixed, x).scores / np.abs(fixed.projections[-1].weight).max()
    real = simulate_float(net, x).scores / np.abs(net.projections[-1].weight).max()
    assert np.corrcoef(whole.ravel(), real.ravel())[0, 1] > 0.99


def test_a_gate_instead_of_the_running_maximum():
    """Of one maximum pool, the gate sends no less, and at T = 1 the same."""
    x = images()
    for timesteps, same in ((1, True), (32, False)):
        running, gate = (
            convert(plain(), x, timesteps=timesteps, levels=2, max_pool=how, bias_correction=False)
            for how in ("running", "gate")
        )
        assert {p.pool.mode for p in gate.projections if p.pool} == {"gate"}
        scores = [agree(net, x)[1].scores for net in (running, gate)]
        assert (scores[0] == scores[1]).all() == same


def test_pooling_of_the_input_is_never_a_gate():
    b = Builder(11)
    b.pool(MaxPool, "pool")
    b.conv("conv", 2, 3)
    b.relu("relu")
    b.add(GlobalAvgPool, "gap")
    net = convert(b.graph(), images(), timesteps=4, max_pool="gate")
    assert net.projections[0].pool.mode == "max"


def uneven():
    """A dense layer whose weights cancel on average, so that currents change sign all the time."""
    b = Builder(31)
    b.add(Flatten, "flat")
    b.linear("fc1", 128, 100)
    b.relu("relu1")
    b.linear("fc2", 100, 100)
    b.nodes[-1].bias[:] -= 0.2
    b.relu("relu2")
    b.linear("fc3", 100, 5)
    return b.graph()


def mismatch(net, x):
    """Share of second-layer neurons whose count is not that of all their input at once."""
    counts = simulate_float(net, x, double=True).counts
    population = net.population("relu2")
    (projection,) = net.into("relu2")
    total = counts["relu1"].reshape(len(x), -1) @ projection.weight.T
    total += net.timesteps * population.bias + population.v_init
    closed = np.clip(np.floor(total / population.threshold), 0, net.timesteps)
    return (closed != counts["relu2"].reshape(len(x), -1)).mean()


@pytest.mark.parametrize(("method", "rule"), [("srp", "mask"), ("cos", "shift")])
def test_a_probe_removes_spikes_that_came_too_early(method, rule):
    x = images()
    shares = {}
    for how in ("rate", method):
        net = convert(
            uneven(), x, timesteps=8, levels=1, method=how, probe=8, bias_correction=False
        )
        shares[how] = mismatch(net, x)
    assert net.probe == Probe(8, rule)
    assert net.provenance["probe"] == 8
    assert shares[method] < 0.7 * shares["rate"]
    fixed, golden = agree(net, x)
    assert fixed.probe == net.probe
    assert golden.trace.spikes["relu1"].shape[1] == 8 + 8


def test_shifted_starts_bring_scores_closer():
    x, graph = images(), GRAPHS["residual, conv"]()
    found = [
        error(
            convert(graph, x, timesteps=4, levels=1, method=method, bias_correction=False), graph, x
        )
        for method in ("rate", "cos")
    ]
    assert found[1] < 0.7 * found[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "srp", "encoding": "bernoulli"}, "encoding: must be constant for srp"),
        ({"method": "cos", "reset": "hard"}, "reset: must be soft for cos"),
        ({"method": "cos", "probe": 0}, r"probe: must be 1\.\."),
        ({"encoding": "loud"}, "encoding: 'loud' is unknown; use constant or bernoulli"),
        ({"max_pool": "first"}, "max_pool: 'first' is unknown; use running or gate"),
        (
            {"max_pool": "gate", "method": "signed", "timesteps": 4, "levels": 2},
            "max_pool: a gate takes spikes that are never negative; use running",
        ),
        ({"method": "qcfs", "encoding": "bernoulli"}, "encoding: must be constant for qcfs"),
        ({"encoding": "bernoulli", "seed": 0}, r"seed: must be 1\.\."),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ModelError, match=message):
        convert(plain(), images(), **options)
