# SPDX-License-Identifier: BSD-2-Clause
"""import-nir and export-nir, as functions and as verbs."""

import json

import nir
import numpy as np
import pytest

from pysnn_hw.api import export_nir, import_nir, simulate
from pysnn_hw.api.exchange import NirOptions
from pysnn_hw.api.sample import RANDOM, images_for
from pysnn_hw.cli import main
from pysnn_hw.errors import DataError, ModelError
from pysnn_hw.frontend.nir import read_nir
from pysnn_hw.golden import simulate as golden
from pysnn_hw.ir.file import load
from pysnn_hw.ir.snn import Neuron
from tests.nir_reference import run_graph
from tests.unit.frontend.nir_graphs import leaky, pooled_cnn, random_events

STEPS = 12
MEANING = NirOptions(reset="soft", strict=False, dt=1.0)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    path = tmp_path_factory.mktemp("nir") / "graph.nir"
    nir.write(path, pooled_cnn(np.random.default_rng(3)))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory, graph):
    """Recordings labelled with what the graph says of them."""
    events = random_events(np.random.default_rng(4), 20, STEPS, 2, 9, 9, largest=2)
    loaded = nir.read(graph, type_check=False)
    counts = run_graph(loaded, events, reset="soft", strict=False, dt=1.0)["n15"].sum(axis=1)
    path = tmp_path_factory.mktemp("data") / "events.npz"
    np.savez(path, x_test=events.astype(np.uint8), y_test=counts.argmax(axis=1))
    assert len(set(counts.argmax(axis=1))) > 1
    return path


def test_import_takes_timesteps_and_range_from_the_data(graph, data, tmp_path):
    found = import_nir(graph, tmp_path / "net.snn", options=MEANING, data=data)
    assert (found.timesteps, found.exact, found.images) == (STEPS, True, 20)
    assert found.accuracy == 1.0
    net = load(tmp_path / "net.snn")
    assert (net.input.encoding, net.input.maximum) == ("events", 2)
    assert found.weights == sum(p.weight.size for p in net.projections)
    assert simulate(tmp_path / "net.snn", data).accuracy == 1.0
    assert simulate(tmp_path / "net.snn", data, limit=5).images == 5


def test_numbers_that_are_not_whole_are_rounded(data, tmp_path):
    graph = pooled_cnn(np.random.default_rng(3), leaky)
    nir.write(tmp_path / "leaky.nir", graph)
    found = import_nir(tmp_path / "leaky.nir", tmp_path / "net.snn", options=MEANING, data=data)
    assert not found.exact
    net = load(tmp_path / "net.snn")
    assert {p.neuron for p in net.populations[:-1]} == {Neuron(leak=3)}
    # Counting is not rounded.
    np.testing.assert_array_equal(net.projections[-1].weight, 1)


def test_out_and_in_again(graph, data, tmp_path):
    import_nir(graph, tmp_path / "net.snn", options=MEANING, data=data)
    written = export_nir(tmp_path / "net.snn", tmp_path / "again.nir")
    assert "neurons reset by subtraction of their threshold" in written.notes
    found = import_nir(tmp_path / "again.nir", tmp_path / "again.snn", data=data)
    assert (found.exact, found.accuracy) == (True, 1.0)
    assert (tmp_path / "again.snn").read_bytes() == (tmp_path / "net.snn").read_bytes()


def test_constant_images_do_not_set_timesteps(graph, data, tmp_path):
    images = tmp_path / "images.npz"
    np.savez(images, x_test=np.zeros((4, 9, 9, 2), np.uint8), y_test=np.zeros(4, np.int64))
    with pytest.raises(DataError, match=r"images of shape .*, not events .*encoding constant"):
        import_nir(graph, tmp_path / "net.snn", options=MEANING, data=images)
    with pytest.raises(ModelError, match="how many timesteps"):
        import_nir(graph, tmp_path / "net.snn", options=MEANING)
    options = NirOptions(7, "soft", False, 1.0, encoding="constant", maximum=255, scale=64)
    found = import_nir(graph, tmp_path / "net.snn", options=options, data=images)
    assert (found.timesteps, found.images) == (7, 4)


def test_events_may_be_negative(graph, tmp_path):
    events = random_events(np.random.default_rng(4), 3, STEPS, 2, 9, 9)
    events[:, :, 1] *= -2
    np.savez(tmp_path / "signed.npz", x_test=events, y_test=np.zeros(3, np.int64))
    import_nir(graph, tmp_path / "net.snn", options=MEANING, data=tmp_path / "signed.npz")
    net = load(tmp_path / "net.snn")
    assert (net.input.minimum, net.input.maximum) == (-2, 1)
    loaded = nir.read(graph, type_check=False)
    counts = run_graph(loaded, events, reset="soft", strict=False, dt=1.0)["n15"].sum(axis=1)
    np.testing.assert_array_equal(golden(net, events).scores, counts)


def test_random_recordings_suit_the_network(graph):
    net = read_nir(graph, NirOptions(STEPS, "soft", False, 1.0, maximum=3))
    dataset = images_for(net, None)
    assert dataset.name == RANDOM
    assert dataset.x_test.shape[1:] == (STEPS, 2, 9, 9)
    assert dataset.x_test.min() == 0 < dataset.x_test.max() <= 3
    assert 0.005 < (dataset.x_test > 0).mean() < 0.2


def run(capsys, *arguments):
    status = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_verbs(graph, data, tmp_path, capsys):
    net, again = tmp_path / "net.snn", tmp_path / "again.nir"
    meaning = ("--reset", "soft", "--not-strict", "--dt", 1, "--data", data)
    status, out, _ = run(capsys, "import-nir", graph, *meaning, "-o", net, "--json")
    assert status == 0
    assert json.loads(out)["accuracy"] == 1.0
    status, out, _ = run(capsys, "export-nir", net, "-o", again)
    assert status == 0
    assert "only in the metadata: neurons reset by subtraction" in out
    assert "again.nir written" in out
    status, out, _ = run(capsys, "import-nir", again, "-o", net)
    assert status == 0
    assert "exact" in out
    status, out, _ = run(capsys, "simulate", net, "--data", data, "--json")
    assert json.loads(out)["accuracy"] == 1.0


def test_errors_are_one_sentence(graph, tmp_path, capsys):
    status, out, err = run(capsys, "import-nir", graph, "-o", tmp_path / "net.snn")
    assert (status, out) == (2, "")
    *_, sentence = err.strip().splitlines()
    assert sentence.startswith("error: graph.nir: does not say how neurons reset")
    status, _, err = run(capsys, "convert", graph, "--data", "mnist", "-o", tmp_path / "net.snn")
    assert status == 2
    assert "use import-nir" in err


def test_golden_counts_are_the_graphs(graph, data, tmp_path):
    """The accuracy above might hide a difference that does not change the class."""
    import_nir(graph, tmp_path / "net.snn", options=MEANING, data=data)
    events = np.load(data)["x_test"]
    scores = golden(load(tmp_path / "net.snn"), events).scores
    loaded = nir.read(graph, type_check=False)
    counts = run_graph(loaded, events, reset="soft", strict=False, dt=1.0)["n15"].sum(axis=1)
    np.testing.assert_array_equal(scores, counts)
