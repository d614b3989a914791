# SPDX-License-Identifier: BSD-2-Clause
"""The training loop: what it learns, keeps, resumes and refuses; and the method as a whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from pysnn_hw.convert import HybridTraining, Training, convert, quantize
from pysnn_hw.convert.float_sim import classify_float
from pysnn_hw.convert.hybrid.learning import finetune
from pysnn_hw.convert.hybrid.unrolled import Unrolled
from pysnn_hw.convert.hybrid.weights import weights_of
from pysnn_hw.errors import DataError, FileFormatError, ModelError
from pysnn_hw.golden import simulate
from tests.unit.convert.ann_graphs import images, plain, residual
from tests.unit.convert.hybrid_nets import as_input, images_of, random_dense

SOME = HybridTraining(epochs=6, batch=8, rate=2e-2, held_out=0.25, patience=10)
"""Short, and quick to learn by heart."""


def case(timesteps=6):
    net = random_dense(4, sizes=(6, 12, 10, 3), timesteps=timesteps)
    return net, images_of(net, 40), np.random.default_rng(1).integers(0, 3, 40)


def loss(net, x, y):
    scores = Unrolled(net, HybridTraining()).scores(as_input(net, x), torch.Generator())
    return functional.cross_entropy(scores / net.timesteps, torch.from_numpy(y)).item()


def same(a, b):
    return all(np.array_equal(weights_of(a)[k], v) for k, v in weights_of(b).items())


@pytest.mark.parametrize("surrogate", ["linear", "stdb"])
@pytest.mark.parametrize("leak", [0, 3])
def test_c10_training_lowers_the_loss_on_a_fixed_batch(surrogate, leak):
    net = random_dense(4, sizes=(6, 12, 10, 3), timesteps=6, leak=leak)
    x, y = images_of(net, 40), case()[2]
    training = replace(SOME, epochs=30, batch=40, surrogate=surrogate, held_out=0.0)
    found = finetune(net, x, y, training)
    assert loss(found.network, x, y) < 0.95 * loss(net, x, y)


def test_soft_targets_are_learnt_too():
    net, x, y = case()
    soft = np.eye(3, dtype=np.float32)[y]
    hard, same_thing = (finetune(net, x, t, SOME).network for t in (y, soft))
    for name, values in weights_of(hard).items():
        np.testing.assert_allclose(weights_of(same_thing)[name], values, atol=1e-5)


def test_thresholds_and_absent_biases_stay():
    net, x, y = case()
    found = finetune(net, x, y, SOME).network
    for a, b in zip(net.populations, found.populations, strict=True):
        np.testing.assert_array_equal(a.threshold, b.threshold)
        assert not b.bias.any()


def test_segments_of_time_change_nothing_but_the_memory():
    net, x, y = case(timesteps=7)
    whole, parts = (finetune(net, x, y, replace(SOME, epochs=2, segment=s)) for s in (0, 3))
    for name, values in weights_of(whole.network).items():
        np.testing.assert_allclose(weights_of(parts.network)[name], values, atol=1e-5)


def test_the_best_epoch_on_the_held_out_images_is_kept(monkeypatch):
    net, x, y = case()
    shares = iter([0.2, 0.5, 0.9, 0.4, 0.3, 0.8])
    kept = []

    def measured(self):
        kept.append(self.model.trained())
        return next(shares)

    monkeypatch.setattr("pysnn_hw.convert.hybrid.learning._Finetuning.measure", measured)
    found = finetune(net, x, y, replace(SOME, epochs=20, patience=3))
    assert found.history == (0.2, 0.5, 0.9, 0.4, 0.3, 0.8)
    assert same(found.network, kept[2])
    assert not same(found.network, kept[-1])


def test_held_out_images_are_not_trained_on():
    net, x, y = case()
    order = np.random.default_rng(SOME.seed).permutation(len(x))
    changed = x.copy()
    changed[order[: len(x) // 4]] = 0
    training = replace(SOME, epochs=1)
    after = [finetune(net, images, y, training) for images in (x, changed)]
    moved = [f.network for f in after if not same(f.network, net)]
    assert len(moved) < 2 or same(*moved)


def test_what_is_measured_is_the_network(monkeypatch):
    net, x, y = case()
    found = finetune(net, x, y, replace(SOME, epochs=0))
    aside = np.random.default_rng(SOME.seed).permutation(len(x))[: len(x) // 4]
    assert found.history == ((classify_float(net, x[aside]) == y[aside]).mean(),)
    assert same(found.network, net)


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(tmp_path):
    net, x, y = case()
    training = replace(SOME, dropout=0.2, checkpoint=tmp_path / "deep" / "run.ckpt")
    whole = finetune(net, x, y, replace(training, checkpoint=None))

    class Interrupt(Exception):
        pass

    def after_three_epochs(what, done, total):
        if done == 3 * 4 + 2:
            raise Interrupt

    with pytest.raises(Interrupt):
        finetune(net, x, y, training, progress=after_three_epochs)
    steps = []
    resumed = finetune(net, x, y, training, progress=lambda *told: steps.append(told))
    assert steps[0] == ("fine-tune", 13, 24)
    assert resumed.history == whole.history
    assert same(resumed.network, whole.network)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["run.ckpt"]
    # A finished run is not begun again.
    steps.clear()
    assert same(finetune(net, x, y, training).network, whole.network)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    net, x, y = case()
    path = tmp_path / "run.ckpt"
    training = replace(SOME, epochs=1, checkpoint=path)
    finetune(net, x, y, training)
    for other in (
        (net, x, y, replace(training, rate=1e-3)),
        (net, x, (y + 1) % 3, training),
        (net, x[::-1], y, training),
        (random_dense(5, sizes=(6, 12, 10, 3), timesteps=6), x, y, training),
    ):
        with pytest.raises(FileFormatError, match="is of another network"):
            finetune(*other)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileFormatError, match="is no checkpoint of a fine-tuning"):
        finetune(net, x, y, training)
    with pytest.raises(FileFormatError, match="cannot be written"):
        finetune(net, x, y, replace(training, checkpoint=path / "below.ckpt"))


def test_the_seed_decides():
    net, x, y = case()
    one, again, other = (
        finetune(net, x, y, replace(SOME, epochs=1, held_out=0.0, seed=s)).network
        for s in (1, 1, 2)
    )
    assert same(one, again)
    assert not same(one, other)


def test_targets_that_do_not_fit():
    net, x, y = case()
    for wrong, message in (
        (y[:-1], "there are 39 for 40 images"),
        (y + 1, r"run from 1 to 3, but the network has 3 scores"),
        (y - 1, "run from -1"),
        (np.zeros((40, 4), np.float32), "are 4 for 3 scores"),
    ):
        with pytest.raises(DataError, match=message):
            finetune(net, x, wrong, SOME)
    nowhere = np.full((40, 3), np.nan, np.float32)
    with pytest.raises(ModelError, match="diverged"):
        finetune(net, x, nowhere, SOME)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", -1),
        ("batch", 0),
        ("rate", 0.0),
        ("rate", float("nan")),
        ("surrogate", "exact"),
        ("alpha", -0.3),
        ("beta", -1.0),
        ("stdb_cutoff", -1),
        ("leak", 16),
        ("scaling", 0.0),
        ("balance_steps", 0),
        ("dropout", 1.0),
        ("held_out", 1.0),
        ("patience", 0),
        ("segment", -1),
    ],
)
def test_options_out_of_range(field, value):
    with pytest.raises(ModelError, match=f"^{field}: "):
        HybridTraining(**{field: value})


@pytest.mark.parametrize("leak", [0, 3])
def test_the_method_learns_and_runs_in_integers(leak):
    graph = residual("conv")
    x, y = images(), np.arange(40) % 5
    training = HybridTraining(
        epochs=25, batch=10, rate=1e-2, scaling=0.5, held_out=0.0, leak=leak, balance_steps=20
    )
    common = {"timesteps": 8, "levels": 1, "method": "hybrid", "labels": y}
    before = convert(graph, x, training=replace(training, epochs=0), **common)
    after = convert(graph, x, training=training, **common)
    hits = [(classify_float(n, x) == y).mean() for n in (before, after)]
    assert hits[1] > hits[0]
    assert after.provenance["method"] == "hybrid"
    assert after.provenance["training"]["leak"] == leak
    assert len(after.provenance["held_out_accuracy"]) == 26
    assert all(p.neuron.strict and p.neuron.leak == leak for p in after.populations[:-1])
    fixed = quantize(after, 8, x)
    assert (simulate(fixed, x).classes == classify_float(after, x)).mean() > 0.7


def test_without_labels_the_trained_network_teaches():
    graph = residual()
    told = []
    training = HybridTraining(epochs=1, batch=8, balance_steps=5)
    net = convert(
        graph,
        images(),
        timesteps=4,
        levels=1,
        method="hybrid",
        training=training,
        progress=lambda *what: told.append(what),
    )
    assert net.timesteps == 4
    assert told[0] == ("balance thresholds", 0, 3)
    assert told[-1] == ("fine-tune", 5, 5)


def test_with_a_calibration_it_starts_from_the_rate_conversion():
    graph, x = residual(), images()
    common = {"timesteps": 6, "levels": 1, "calibration": "mse"}
    rate = convert(graph, x, **common)
    start, after = (
        convert(graph, x, method="hybrid", training=HybridTraining(epochs=e, batch=8), **common)
        for e in (0, 2)
    )
    for a, b, c in zip(rate.populations, start.populations, after.populations, strict=True):
        np.testing.assert_array_equal(a.threshold, b.threshold)
        np.testing.assert_array_equal(a.threshold, c.threshold)
        np.testing.assert_allclose(a.bias, b.bias, rtol=1e-6)
        assert b.kind == "readout" or b.neuron.strict
    assert not same(start, after)
    assert after.provenance["calibration"] == "mse"
    assert (
        "calibration"
        not in convert(
            graph,
            x,
            timesteps=6,
            levels=1,
            method="hybrid",
            training=HybridTraining(epochs=0, balance_steps=2),
        ).provenance
    )


def test_random_input_is_balanced_on_and_trained_on():
    graph, x, y = residual(), images(), np.arange(40) % 5
    training = HybridTraining(epochs=2, batch=8, balance_steps=30, scaling=1.0)
    common = {"timesteps": 6, "levels": 1, "method": "hybrid", "labels": y, "training": training}
    still, noisy = (convert(graph, x, encoding=e, **common) for e in ("constant", "bernoulli"))
    # A spike stands for the largest pixel, so currents of single steps are larger.
    assert noisy.populations[0].threshold > 1.05 * still.populations[0].threshold
    assert noisy.input.encoding == "bernoulli"
    fixed = quantize(noisy, 8)
    simulated = simulate(fixed, x[:8]).classes
    assert (simulated == classify_float(fixed, x[:8])).all()


def test_refusals():
    def refused(match, **options):
        with pytest.raises(ModelError, match=match):
            convert(plain(), images(), method="hybrid", **options)

    refused("levels: must be 1 for hybrid", timesteps=8)
    refused("soft reset", levels=1, reset="hard")
    refused("per_channel: has no meaning", levels=1, per_channel=False)
    refused("is a Training, which is not of method 'hybrid'", levels=1, training=Training())
    refused("reads through max pooling", levels=1, timesteps=4)
    with pytest.raises(ModelError, match="is a HybridTraining, which is not of method 'rate'"):
        convert(plain(), images(), training=HybridTraining())
