# SPDX-License-Identifier: BSD-2-Clause
import numpy as np
import pytest

from pysnn_hw.convert.calibrate import mse_threshold, nonzero_percentile, quantise, thresholds
from pysnn_hw.convert.sample import VALUES_PER_LAYER, Sample, sample_activations
from pysnn_hw.errors import DataError, ModelError
from tests.unit.convert.ann_graphs import SHAPE, Builder, plain


def sample(values):
    values = np.asarray(values, np.float32)
    return Sample(values, values.max(1))


def activations(channels=6, count=4000, zeros=0.6, seed=0):
    """Rectified, heavy-tailed values of different scales: what layers send."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(1.5, 1, (channels, count)) * np.geomspace(0.1, 5, channels)[:, None]
    return sample(np.where(rng.random(values.shape) < zeros, 0, values))


def error(values, theta, timesteps, spike_max):
    return ((values - quantise(values, theta[:, None], timesteps, spike_max)) ** 2).mean(1)


def test_max_reaches_the_largest_activation():
    s = activations()
    theta = thresholds(s, "max", timesteps=1, spike_max=15)
    np.testing.assert_allclose(theta * 15, s.maximum, rtol=1e-6)
    layer = thresholds(s, "max", timesteps=1, spike_max=15, per_channel=False)
    np.testing.assert_allclose(layer, [s.maximum.max() / 15], rtol=1e-6)


@pytest.mark.parametrize("percentile", [50, 99, 99.9, 100])
def test_percentile_ignores_zeros(percentile):
    s = activations()
    theta = thresholds(s, "percentile", timesteps=4, spike_max=3, percentile=percentile)
    expected = [np.percentile(row[row > 0], percentile) / 3 for row in s.values]
    np.testing.assert_allclose(theta, expected, rtol=1e-6)
    with_padding = sample(np.pad(s.values, ((0, 0), (0, 5000))))
    padded = thresholds(with_padding, "percentile", timesteps=4, spike_max=3, percentile=percentile)
    np.testing.assert_array_equal(padded, theta)


def test_percentile_of_nothing():
    np.testing.assert_array_equal(nonzero_percentile(np.zeros((2, 5)), 99.9), [0, 0])


@pytest.mark.parametrize("timesteps", [1, 4])
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_mse_threshold_is_the_best_of_a_fine_search(timesteps, levels):
    s, spike_max = activations(), 2**levels - 1
    found = error(s.values, mse_threshold(s, timesteps, spike_max), timesteps, spike_max)
    grid = np.linspace(0.03, 1, 1500)[:, None] * s.maximum / spike_max
    best = np.min([error(s.values, t, timesteps, spike_max) for t in grid], axis=0)
    assert (found <= best * 1.01).all()


def test_quantise_rounds_to_the_nearest_spike_count():
    values = np.array([-1.0, 0.0, 0.2, 0.249, 0.25, 0.74, 0.76, 1.6, 9.0])
    found = quantise(values, np.array(1.0), timesteps=2, spike_max=1)
    np.testing.assert_array_equal(found, [0, 0, 0, 0, 0.5, 0.5, 1, 1, 1])


def test_mse_beats_max_and_percentile_at_two_bits():
    s = activations()
    by = {
        c: error(s.values, thresholds(s, c, timesteps=1, spike_max=3), 1, 3).sum()
        for c in ("max", "percentile", "mse")
    }
    assert by["mse"] < 0.7 * by["percentile"]
    assert by["mse"] < 0.6 * by["max"]


def test_per_channel_is_no_worse_than_per_layer():
    s = activations()
    channel = thresholds(s, "mse", timesteps=1, spike_max=7)
    layer = thresholds(s, "mse", timesteps=1, spike_max=7, per_channel=False)
    assert layer.shape == (1,)
    assert (error(s.values, channel, 1, 7) <= error(s.values, layer, 1, 7) * 1.001).all()
    assert error(s.values, channel, 1, 7)[0] < 0.1 * error(s.values, layer, 1, 7)[0]


@pytest.mark.parametrize("calibration", ["max", "percentile", "mse"])
def test_a_dead_channel_takes_the_value_of_its_layer(calibration):
    values = activations().values.copy()
    values[2] = 0
    values[3, 5:] = 0  # hardly alive: too few values to go by
    theta = thresholds(sample(values), calibration, timesteps=1, spike_max=15)
    layer = thresholds(sample(values), calibration, timesteps=1, spike_max=15, per_channel=False)
    assert theta[2] == theta[3] == layer[0]
    assert theta[1] != layer[0]


@pytest.mark.parametrize("calibration", ["max", "percentile", "mse"])
def test_a_dead_layer_has_threshold_one(calibration):
    dead = sample(np.zeros((3, 10)))
    np.testing.assert_array_equal(thresholds(dead, calibration, timesteps=1, spike_max=15), [1])


@pytest.mark.parametrize("calibration", ["max", "percentile", "mse"])
def test_the_clip_stays_below_the_ceiling(calibration):
    s = activations()
    theta = thresholds(s, calibration, timesteps=2, spike_max=3, ceiling=2.0)
    assert (theta * 3 <= 2.0 + 1e-12).all()
    assert theta.max() * 3 == pytest.approx(2.0)


def test_clip_is_where_the_activation_clips():
    theta = thresholds(activations(), "clip", timesteps=1, spike_max=15, ceiling=6.0)
    assert theta.tolist() == [0.4]
    with pytest.raises(ModelError, match="clip is for activations with an upper clip"):
        thresholds(activations(), "clip", timesteps=1, spike_max=15)


def test_an_unknown_calibration():
    with pytest.raises(ModelError, match="calibration: 'best' is unknown; use max, percentile"):
        thresholds(activations(), "best", timesteps=1, spike_max=3)


def test_samples_keep_all_values_of_small_layers():
    x = np.random.default_rng(0).normal(0, 1, (30, *SHAPE)).astype(np.float32)
    s = sample_activations(plain(), x, ["relu1", "relu2"])
    assert s["relu1"].values.shape == (6, 30 * 64)
    assert s["relu2"].values.shape == (8, 30 * 4)
    np.testing.assert_array_equal(s["relu1"].values.max(1), s["relu1"].maximum)


def test_samples_of_large_layers_are_bounded_and_repeatable(monkeypatch):
    monkeypatch.setattr("pysnn_hw.convert.sample.VALUES_PER_LAYER", 6 * 30 * 10)
    x = np.random.default_rng(0).normal(0, 1, (30, *SHAPE)).astype(np.float32)
    first, again, other = (
        sample_activations(plain(), x, ["relu1"], seed=seed)["relu1"] for seed in (1, 1, 2)
    )
    assert first.values.shape == (6, 30 * 10)
    np.testing.assert_array_equal(first.values, again.values)
    assert (first.values != other.values).any()
    np.testing.assert_array_equal(first.maximum, other.maximum)
    assert VALUES_PER_LAYER > 1e5


def test_activations_that_are_not_numbers_are_refused():
    b = Builder(0)
    b.conv("conv", 2, 3)
    b.relu("relu")
    x = np.zeros((2, *SHAPE), np.float32)
    x[1, 0, 3, 3] = np.nan
    with pytest.raises(DataError, match="relu: an activation is NaN"):
        sample_activations(b.graph(), x, ["relu"])
