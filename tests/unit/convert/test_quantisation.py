# SPDX-License-Identifier: BSD-2-Clause
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.convert import convert, quantize
from pysnn_hw.convert.float_sim import simulate_float
from pysnn_hw.convert.moments import input_moments
from pysnn_hw.convert.quantisation import population_steps
from pysnn_hw.convert.steps import channel_steps, shared_step
from pysnn_hw.errors import DataError, ModelError, NetworkError
from pysnn_hw.golden import simulate
from pysnn_hw.ir.ann import Add, Flatten, GlobalAvgPool
from pysnn_hw.ir.check import check_fixed
from pysnn_hw.ir.widths import clamps
from tests.unit.convert.ann_graphs import GRAPHS, Builder, images, plain, residual


@pytest.fixture(scope="module")
def nets():
    return {name: convert(build(), images(), timesteps=2) for name, build in GRAPHS.items()}


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("name", GRAPHS)
def test_every_network_becomes_a_valid_file(nets, name, bits):
    fixed = quantize(nets[name], bits)
    check_fixed(fixed)
    largest = 2 ** (bits - 1) - 1
    for p in fixed.projections:
        assert p.weight.dtype == np.int64
        assert np.abs(p.weight).max() <= (127 if p.kind == "identity" else largest)
    for p in fixed.populations:
        assert not clamps(fixed, p.name)
    assert fixed.provenance["weight_bits"] == bits


@pytest.mark.parametrize("name", GRAPHS)
def test_each_population_may_have_a_width_of_its_own(nets, name):
    net = nets[name]
    named = [p.name for p in net.populations]
    chosen = {population: 2 + k % 5 for k, population in enumerate(named[:-1])}
    mixed = quantize(net, chosen)
    check_fixed(mixed)
    for p in mixed.projections:
        bits = chosen.get(p.target, 8)
        alone = quantize(net, bits)
        assert (p.weight == next(q.weight for q in alone.projections if q.name == p.name)).all()
    assert mixed.provenance["weight_bits"] == chosen
    with pytest.raises(ModelError, match="'nothing', which is no population"):
        quantize(net, {"nothing": 4})
    with pytest.raises(ModelError, match=r"must be 2\.\.8, not 9"):
        quantize(net, {named[0]: 9})


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("name", GRAPHS)
def test_rounding_is_to_the_nearest_step(nets, name, bits):
    net = nets[name]
    fixed, steps = quantize(net, bits), population_steps(net, bits)
    for p, q in zip(net.projections, fixed.projections, strict=True):
        unit = steps[p.target].reshape(-1, *(1,) * (p.weight.ndim - 1))
        limit = 127 if p.kind == "identity" else 2 ** (bits - 1) - 1
        inside = np.abs(p.weight / unit) <= limit
        assert inside.mean() > 0.9
        off = np.abs(q.weight - p.weight / unit)
        assert (off[inside] <= 0.5001).all()
        assert (np.abs(q.weight) == limit)[~inside].all()
    for p, q in zip(net.populations, fixed.populations, strict=True):
        step = steps[p.name]
        assert (np.abs(q.bias * step - p.bias) <= step / 2 * 1.0001).all()
        np.testing.assert_allclose(q.threshold * (step if p.kind == "fire" else 1), p.threshold)
        if p.kind == "fire":
            np.testing.assert_array_equal(q.v_init, q.threshold // 2)


def test_one_step_for_all_branches_of_a_residual_sum(nets):
    net = nets["residual"]
    fixed, step = quantize(net, 8), population_steps(net, 8)["relu2"]
    main, skip = (
        next(p for p in fixed.into("relu2") if p.kind == k) for k in ("conv2d", "identity")
    )
    real = {p.name: p.weight for p in net.projections}
    np.testing.assert_allclose(skip.weight * step, real[skip.name], atol=step.max())
    error = main.weight * step[:, None, None, None] - real[main.name]
    assert np.abs(error).max() <= step.max()


def test_a_readout_has_one_step(nets):
    net = nets["max pool"]
    steps = population_steps(net, 8)
    assert steps["fc"].shape == (1,)
    assert steps["relu1"].shape == (6,)


def test_initial_potentials_other_than_half_are_rounded(nets):
    net = nets["max pool"]
    first = replace(net.populations[0], v_init=np.zeros(1))
    fixed = quantize(replace(net, populations=(first, *net.populations[1:])))
    assert not fixed.populations[0].v_init.any()
    assert fixed.populations[1].v_init.any()


def test_eight_bits_hardly_change_a_score(nets):
    net = nets["residual"]
    scores = simulate(quantize(net, 8), images()).scores
    coarse = simulate(quantize(net, 2), images()).scores
    step8, step2 = (population_steps(net, b)["fc"] for b in (8, 2))
    real = simulate_float(net, images()).scores
    assert np.abs(scores * step8 - real).max() < 0.1 * np.ptp(real)
    assert np.abs(scores * step8 - real).mean() < 0.3 * np.abs(coarse * step2 - real).mean()


def test_coarse_thresholds_are_named():
    net = convert(plain(), images(), timesteps=64, levels=1)
    assert quantize(net, 8).provenance["warnings"] != quantize(net, 3).provenance["warnings"]
    warning = quantize(net, 3).provenance["warnings"][0]
    assert warning.startswith("relu2: smallest threshold")
    assert quantize(convert(plain(), images()), 8).provenance["warnings"] == []


@pytest.mark.parametrize("bits", [1, 9, -4])
def test_bits_out_of_range(nets, bits):
    with pytest.raises(ModelError, match=f"weight_bits: must be 2..8, not {bits}"):
        quantize(nets["max pool"], bits)


def test_parameters_that_are_not_numbers(nets):
    net = nets["max pool"]
    weight = net.projections[0].weight.copy()
    weight[0, 0, 0, 0] = np.nan
    broken = replace(net.projections[0], weight=weight)
    with pytest.raises(NetworkError, match="not finite"):
        quantize(replace(net, projections=(broken, *net.projections[1:])))


def squared_error(weights, steps, bits):
    largest = 2 ** (bits - 1) - 1
    q = np.clip(np.rint(weights / steps[:, None]), -largest, largest)
    return ((weights - q * steps[:, None]) ** 2).sum(1)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_clipping_pays_at_few_bits(bits):
    weights = np.random.default_rng(0).normal(0, 1, (16, 200))
    steps = channel_steps(weights, np.full(16, 50.0), bits, np.zeros(16))
    full = np.abs(weights).max(1) / (2 ** (bits - 1) - 1)
    assert (steps < full).all()
    assert (
        squared_error(weights, steps, bits).sum() < 0.8 * squared_error(weights, full, bits).sum()
    )


def test_thresholds_are_whole_numbers_of_steps():
    rng = np.random.default_rng(1)
    thresholds = rng.uniform(0.01, 30, 40)
    steps = channel_steps(rng.normal(0, 1, (40, 30)), thresholds, 5, np.zeros(40))
    whole = thresholds / steps
    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-9)
    assert (whole >= 1).all()


def test_steps_respect_the_identity_beside():
    weights = np.random.default_rng(2).normal(0, 0.01, (4, 50))
    least = np.array([0.0, 0.002, 0.01, 0.1])
    steps = channel_steps(weights, np.full(4, 3.0), 8, least)
    assert (steps >= least * 0.999).all()
    only_identity = channel_steps(np.empty((4, 0)), np.full(4, 3.0), 8, least)
    assert (only_identity >= least * 0.999).all()


def test_a_channel_of_tiny_weights_does_not_widen_the_membranes():
    weights = np.random.default_rng(3).normal(0, 1, (5, 50))
    weights[2] *= 1e-7
    weights[3] = 0
    whole = np.full(5, 2.0) / channel_steps(weights, np.full(5, 2.0), 8, np.zeros(5))
    assert whole.max() <= 4.01 * np.median(whole)


def test_one_step_for_a_readout_of_zeros():
    np.testing.assert_array_equal(shared_step(np.zeros((3, 4)), 8), [1])


def test_residual_skips_keep_eight_bits_at_four():
    net = convert(residual(), images())
    skip = next(p for p in quantize(net, 4).projections if p.kind == "identity")
    assert np.abs(skip.weight).max() > 7


@pytest.mark.parametrize("name", GRAPHS)
def test_images_make_few_bits_better(nets, name):
    net, bits = nets[name], 3
    real = simulate_float(net, images()).scores

    def error(fixed, calibrated):
        moments = input_moments(net, images()) if calibrated else None
        step = population_steps(net, bits, moments)[net.populations[-1].name]
        return np.abs(simulate(fixed, images()).scores * step - real).mean()

    calibrated = quantize(net, bits, images())
    check_fixed(calibrated)
    assert calibrated.provenance["calibrated_rounding"] is True
    assert error(calibrated, True) < 0.95 * error(quantize(net, bits), False)


def test_a_skip_into_the_readout_is_not_clipped():
    b = Builder(10)
    b.conv("conv", 2, 3)
    b.relu("relu")
    b.add(GlobalAvgPool, "gap")
    gap = b.add(Flatten, "flat")
    fc = b.linear("fc", 3, 3)
    b.nodes[-1].weight[:] *= 1e-3
    b.add(Add, "sum", fc, gap)
    net = convert(b.graph(), images())
    fixed, step = quantize(net), population_steps(net, 8)["sum"]
    for p, q in zip(net.into("sum"), fixed.into("sum"), strict=True):
        np.testing.assert_allclose(q.weight * step, p.weight, atol=step[0] / 2)


def test_images_of_another_shape(nets):
    with pytest.raises(DataError, match="images: shape"):
        quantize(nets["max pool"], 4, images()[:, :1])


def test_weights_of_silent_inputs_do_not_coarsen_the_step():
    weights = np.random.default_rng(4).normal(0, 1, (3, 100))
    weights[:, 0] = 8.0
    importance = np.ones((3, 100))
    importance[:, 0] = 0
    plain_steps = channel_steps(weights, np.full(3, 50.0), 4, np.zeros(3))
    steps = channel_steps(weights, np.full(3, 50.0), 4, np.zeros(3), importance)
    assert (steps < 0.8 * plain_steps).all()
