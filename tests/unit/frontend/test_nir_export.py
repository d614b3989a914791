# SPDX-License-Identifier: BSD-2-Clause
"""Networks written as NIR: the same bits back, and the same spikes in other hands."""

import dataclasses

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from snntorch.import_nir import import_from_nir

from pysnn_hw.convert import quantize
from pysnn_hw.convert.integers import as_integers
from pysnn_hw.errors import ModelError, NetworkError
from pysnn_hw.frontend.nir import NirOptions, is_ours, read_nir
from pysnn_hw.frontend.nir_export import write_nir
from pysnn_hw.golden import simulate
from pysnn_hw.ir.snn import Input, Neuron, Pool, Probe, Readout
from tests.networks import random_images, random_network
from tests.nir_reference import run_graph, run_network
from tests.unit.frontend.nir_graphs import dyadic, plain_network, random_events

HARD, SOFT = Neuron(reset="hard"), Neuron(reset="soft")
LEAKY = Neuron(reset="hard", strict=True, leak=3)


def assert_same(mine, other, path="net"):
    """Equal in every field, arrays in dtype, shape and bits."""
    assert type(mine) is type(other), path
    if dataclasses.is_dataclass(mine):
        for field in dataclasses.fields(mine):
            name = field.name
            assert_same(getattr(mine, name), getattr(other, name), f"{path}.{name}")
    elif isinstance(mine, np.ndarray):
        assert (mine.dtype, mine.shape) == (other.dtype, other.shape), path
        assert mine.tobytes() == other.tobytes(), path
    elif isinstance(mine, tuple):
        assert len(mine) == len(other), path
        for index, pair in enumerate(zip(mine, other, strict=True)):
            assert_same(*pair, f"{path}[{index}]")
    else:
        assert mine == other, path


# --- our files -----------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dt=st.sampled_from([1.0, 1e-3, 1e-4, 3.7e-5]))
def test_random_networks_come_back_bit_by_bit(tmp_path_factory, seed, dt):
    """All kinds of neurons, paddings, groups, skips and clamps; in integers."""
    rng = np.random.default_rng(seed)
    net = random_network(rng, pools=("sum",))
    path = tmp_path_factory.mktemp("nir") / "net.nir"
    write_nir(net, path, dt=dt, extensions=True)
    back = read_nir(path)
    assert_same(net, back)
    images = random_images(rng, net, 3)
    one, two = (simulate(n, images, trace=True, threads=1) for n in (net, back))
    for name, spikes in one.trace.spikes.items():
        np.testing.assert_array_equal(spikes, two.trace.spikes[name])


@pytest.mark.parametrize("neuron", [HARD, SOFT, LEAKY])
@pytest.mark.parametrize("pooling", ["sum", "average"])
def test_float_networks_come_back_bit_by_bit(neuron, pooling, tmp_path):
    net = plain_network(np.random.default_rng(0), neuron)
    weights = [dataclasses.replace(p, weight=p.weight * 0.1) for p in net.projections[:-1]]
    net = dataclasses.replace(net, projections=(*weights, net.projections[-1]))
    write_nir(net, tmp_path / "net.nir", pooling=pooling)
    assert_same(net, read_nir(tmp_path / "net.nir"))


def test_settings_of_the_network_come_back(tmp_path):
    net = random_network(np.random.default_rng(3), neurons=[SOFT], pools=())
    net = dataclasses.replace(
        net,
        readout=Readout("potential", margin=7),
        probe=Probe(2, "mask"),
        provenance={"source": "x", "nested": [1, {"a": 0.5}]},
        populations=(
            *(dataclasses.replace(p, v_init=np.zeros(1, np.int64)) for p in net.populations[:-1]),
            net.populations[-1],
        ),
    )
    write_nir(net, tmp_path / "net.nir", extensions=True)
    assert_same(net, read_nir(tmp_path / "net.nir"))


def test_one_start_per_neuron_comes_back(tmp_path):
    net = as_integers(plain_network(np.random.default_rng(0), SOFT))
    first = net.populations[0]
    start = np.arange(first.size).reshape(first.shape) % 5
    first = dataclasses.replace(first, v_init=start, v_max=max(first.v_max, 5))
    net = dataclasses.replace(net, populations=(first, *net.populations[1:]))
    with pytest.raises(ModelError, match=r"population 'first': starts at a membrane other than 0"):
        write_nir(net, tmp_path / "net.nir")
    write_nir(net, tmp_path / "net.nir", extensions=True)
    assert_same(net, read_nir(tmp_path / "net.nir"))


def test_names_that_a_file_cannot_have(tmp_path):
    net = plain_network(np.random.default_rng(0), SOFT)
    odd = {"first": "a/b", "second": "output", "third": "c", "last": "." * 3}
    populations = [dataclasses.replace(p, name=odd.get(p.name, p.name)) for p in net.populations]
    projections = [
        dataclasses.replace(
            p, source=odd.get(p.source, p.source), target=odd.get(p.target, p.target)
        )
        for p in net.projections
    ]
    net = dataclasses.replace(net, populations=tuple(populations), projections=tuple(projections))
    write_nir(net, tmp_path / "net.nir")
    assert_same(net, read_nir(tmp_path / "net.nir"))


def test_weights_of_the_graph_are_those_that_count(tmp_path):
    """Another tool may have trained them on, and keep the metadata."""
    net = plain_network(np.random.default_rng(0), SOFT)
    write_nir(net, tmp_path / "net.nir")
    graph = nir.read(tmp_path / "net.nir")
    graph.nodes["d"].weight = graph.nodes["d"].weight + np.float32(0.5)
    back = read_nir(graph)
    assert is_ours(graph)
    np.testing.assert_array_equal(back.projections[3].weight, net.projections[3].weight + 0.5)


def test_integers_must_stay_integers(tmp_path):
    write_nir(as_integers(plain_network(np.random.default_rng(0), SOFT)), tmp_path / "net.nir")
    graph = nir.read(tmp_path / "net.nir")
    graph.nodes["d"].weight = graph.nodes["d"].weight + np.float32(0.5)
    with pytest.raises(ModelError, match=r"does not describe this graph .*no longer of integers"):
        read_nir(graph)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"reset": "hard"}, "says itself that reset is soft, not hard"),
        ({"strict": True}, "says itself that strict is False, not True"),
        ({"dt": 0.5}, "says itself that dt is 1.0, not 0.5"),
        ({"timesteps": 3}, "says itself that timesteps is 40, not 3"),
    ],
)
def test_options_that_contradict_the_file(given_, message, tmp_path):
    write_nir(plain_network(np.random.default_rng(0), SOFT), tmp_path / "net.nir")
    with pytest.raises(ModelError, match=message):
        read_nir(tmp_path / "net.nir", NirOptions(**given_))
    same = NirOptions(timesteps=40, reset="soft", strict=False, dt=1.0)
    assert read_nir(tmp_path / "net.nir", same).timesteps == 40


# --- in other hands --------------------------------------------------------------------------


@pytest.mark.parametrize("neuron", [HARD, SOFT, LEAKY])
@pytest.mark.parametrize("pooling", ["sum", "average"])
@pytest.mark.parametrize("dt", [1.0, 2.0**-10])
def test_the_graph_means_the_network(neuron, pooling, dt, tmp_path):
    """The nodes alone, without metadata, evaluated as NIR has it."""
    net = plain_network(np.random.default_rng(1), neuron)
    written = write_nir(net, tmp_path / "net.nir", pooling=pooling, dt=dt)
    graph = nir.read(tmp_path / "net.nir")
    assert written.nodes == len(graph.nodes)
    assert ("neurons reset by subtraction of their threshold" in written.notes) == (neuron is SOFT)
    events = random_events(np.random.default_rng(2), 3, 40, 2, 8, 8)
    expected, _ = run_network(net, events)
    rules = {"reset": neuron.reset, "strict": neuron.strict, "dt": dt}
    found = run_graph(graph, events, **rules)
    for name, spikes in expected.items():
        assert 0.01 < spikes.mean() < 0.99
        np.testing.assert_array_equal(found[name].reshape(spikes.shape), spikes)
    graph.metadata = {}
    foreign = read_nir(graph, NirOptions(timesteps=40, **rules))
    again, _ = run_network(foreign, events)
    np.testing.assert_array_equal(again["last"], expected["last"])


def test_snntorch_fires_the_same_spikes(tmp_path, capsys):
    """Its neurons reset hard, to zero, where they exceed the threshold; its timestep is 1e-4."""
    net = plain_network(np.random.default_rng(1), LEAKY)
    write_nir(net, tmp_path / "net.nir", dt=1e-4, pooling="average")
    events = random_events(np.random.default_rng(2), 2, 40, 2, 8, 8)
    expected, _ = run_network(net, events)
    for recording, spikes in zip(events, expected["last"], strict=True):
        # It keeps its membranes from one call to the next, so that each recording needs a new one.
        model = import_from_nir(nir.read(tmp_path / "net.nir"))
        state = None
        with torch.inference_mode():
            for step, wanted in zip(recording, spikes, strict=True):
                found, state = model(torch.tensor(step, dtype=torch.float32), state)
                np.testing.assert_array_equal(found.numpy(), wanted[:, 0, 0])
    assert 0.05 < expected["last"].mean() < 0.95


# --- what is refused -------------------------------------------------------------------------


def changed(net, **fields):
    first = dataclasses.replace(net.populations[0], **fields)
    return dataclasses.replace(net, populations=(first, *net.populations[1:]))


def integers(neuron, **fields):
    net = plain_network(np.random.default_rng(0), neuron, bias=False)
    return changed(quantize(net), **fields)


PLAIN = plain_network(np.random.default_rng(0), SOFT)
BEYOND = [
    (changed(PLAIN, spike_max=3), "has spikes of up to 3"),
    (changed(PLAIN, neuron=Neuron("signed")), "has signed spikes"),
    (changed(PLAIN, v_init=np.full(1, 0.5)), "starts at a membrane other than 0"),
    (integers(Neuron(leak=2)), "leaks whole numbers"),
    (integers(SOFT, v_min=-3), "clamps its membrane"),
    (dataclasses.replace(PLAIN, readout=Readout("count", margin=3)), "stops early"),
    (dataclasses.replace(
        PLAIN, probe=Probe(2, "mask"), input=Input((2, 8, 8), (0, 0), 0, 1)), "runs twice"),
]  # fmt: skip


@pytest.mark.parametrize(("net", "message"), BEYOND)
def test_what_nir_cannot_say_needs_extensions(net, message, tmp_path):
    with pytest.raises(ModelError, match=f"{message}, which NIR cannot say; allow extensions"):
        write_nir(net, tmp_path / "net.nir")
    assert list(tmp_path.iterdir()) == []
    written = write_nir(net, tmp_path / "net.nir", extensions=True)
    assert any(message in note for note in written.notes)
    assert_same(net, read_nir(tmp_path / "net.nir"))


def test_uneven_padding_is_written_evenly(tmp_path):
    rng = np.random.default_rng(0)
    first = dataclasses.replace(
        PLAIN.projections[0], padding=(0, 3, 1, 1), weight=dyadic(rng, 4, 2, 2, 5)
    )
    net = dataclasses.replace(PLAIN, projections=(first, *PLAIN.projections[1:]))
    write_nir(net, tmp_path / "net.nir")
    graph = nir.read(tmp_path / "net.nir", type_check=False)
    assert tuple(graph.nodes["a"].padding) == (1, 3)
    assert_same(net, read_nir(tmp_path / "net.nir"))
    events = random_events(rng, 2, 40, 2, 8, 8)
    found = run_graph(graph, events, reset="soft", strict=False, dt=1.0)
    np.testing.assert_array_equal(found["last"], run_network(net, events)[0]["last"][..., 0, 0])


@pytest.mark.parametrize("mode", ["max", "gate"])
def test_maximum_pooling(mode, tmp_path):
    pooled = dataclasses.replace(PLAIN.projections[1], pool=Pool(mode, (2, 2), (2, 2)))
    projections = (PLAIN.projections[0], pooled, *PLAIN.projections[2:])
    net = dataclasses.replace(PLAIN, projections=projections)
    with pytest.raises(ModelError, match="projection 'b': pools by maximum, which NIR cannot say"):
        write_nir(net, tmp_path / "net.nir", extensions=True)


def test_averages_that_are_not_exact(tmp_path):
    pooled = dataclasses.replace(PLAIN.projections[1], pool=Pool("sum", (3, 3), (2, 2)))
    conv = dataclasses.replace(pooled, padding=(1, 1, 2, 2), weight=np.ones((6, 4, 3, 3)))
    net = dataclasses.replace(
        PLAIN, projections=(PLAIN.projections[0], conv, *PLAIN.projections[2:])
    )
    with pytest.raises(ModelError, match="pools windows of 9, whose mean is not exact"):
        write_nir(net, tmp_path / "net.nir", pooling="average")
    write_nir(net, tmp_path / "net.nir")
    assert_same(net, read_nir(tmp_path / "net.nir"))


def test_malformed_networks_and_timesteps(tmp_path):
    with pytest.raises(ModelError, match=r"dt: 0.0 is not a positive number"):
        write_nir(PLAIN, tmp_path / "net.nir", dt=0.0)
    with pytest.raises(NetworkError, match="timesteps"):
        write_nir(dataclasses.replace(PLAIN, timesteps=0), tmp_path / "net.nir")
