# SPDX-License-Identifier: BSD-2-Clause
"""NIR graphs against a separate evaluation of them, spike for spike."""

import nir
import numpy as np
import pytest

from pysnn_hw.convert.integers import as_integers
from pysnn_hw.errors import ModelError
from pysnn_hw.frontend import import_model
from pysnn_hw.frontend.nir import NirOptions, read_nir
from pysnn_hw.golden import simulate
from tests.nir_reference import run_graph, run_network
from tests.unit.frontend.nir_graphs import (
    chain,
    conv,
    cuba,
    dyadic,
    inputs,
    integrate,
    leaky,
    output,
    pooled_cnn,
    random_events,
)

RULES = [("soft", False), ("soft", True), ("hard", False), ("hard", True)]
STEPS = 30


def options(reset="hard", strict=True, dt=1.0, **others):
    return NirOptions(timesteps=STEPS, reset=reset, strict=strict, dt=dt, **others)


def compare(graph, events, *, reset="hard", strict=True, dt=1.0, **others):
    """Import ``graph``; its spikes must be those of the reference, in float and in integers."""
    net = read_nir(graph, options(reset, strict, dt, maximum=int(events.max()), **others))
    expected = run_graph(graph, events, reset=reset, strict=strict, dt=dt)
    events = events.reshape(*events.shape[:2], *net.input.shape)
    found, scores = run_network(net, events)
    for name, spikes in found.items():
        assert 0.01 < spikes.mean() < 0.99, f"{name} is silent or saturated: a weak test"
        np.testing.assert_array_equal(spikes.reshape(expected[name].shape), expected[name], name)
    fixed = as_integers(net)
    if fixed is not None:
        result = simulate(fixed, events, trace=True, threads=1)
        for name, spikes in result.trace.spikes.items():
            np.testing.assert_array_equal(spikes, found[name], name)
        if net.readout.mode == "count":
            np.testing.assert_array_equal(result.scores, scores)
    return net, fixed


@pytest.mark.parametrize("neuron", [integrate, leaky, cuba])
@pytest.mark.parametrize(("reset", "strict"), RULES)
def test_spikes_are_those_of_the_graph(reset, strict, neuron):
    rng = np.random.default_rng(3)
    graph = pooled_cnn(rng, neuron)
    events = random_events(rng, 4, STEPS, 2, 9, 9, largest=2)
    net, fixed = compare(graph, events, reset=reset, strict=strict)
    assert net.readout.mode == "count"
    assert (fixed is None) == (neuron is not integrate), "a leak is never exact in integers"


def test_reset_and_compare_make_a_difference():
    """Else the test above could not tell them apart."""
    rng = np.random.default_rng(3)
    graph, events = pooled_cnn(rng), random_events(rng, 4, STEPS, 2, 9, 9, largest=2)
    seen = {
        run_graph(graph, events, reset=reset, strict=strict, dt=1.0)["n9"].tobytes()
        for reset, strict in RULES
    }
    assert len(seen) == 4


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_constant_input(scale):
    rng = np.random.default_rng(1)
    graph = chain(inputs(6), nir.Linear(dyadic(rng, 5, 6)), integrate((5,), 4.0), output(5))
    net = read_nir(graph, options(encoding="constant", maximum=15, scale=scale))
    images = rng.integers(0, 16, (3, 6, 1, 1))
    events = np.repeat(images[:, None, :, 0, 0], STEPS, axis=1)
    expected = run_graph(graph, events / scale, reset="hard", strict=True, dt=1.0)["n2"]
    result = simulate(as_integers(net), images, trace=True)
    np.testing.assert_array_equal(result.trace.spikes["n2"][..., 0, 0], expected)


@pytest.mark.parametrize(
    ("dt", "parameters"),
    [
        (1.0, {"v_leak": 0.5}),
        (1.0, {"v_reset": 0.25}),
        (1.0, {"v_reset": -0.5, "v_leak": 0.25, "v_threshold": 1.5}),
        (2.0**-10, {"tau": 2.0**-7, "r": 4.0}),
        (1.0, {"r": 6.0, "tau": 4.0}),
    ],
)
def test_parameters_of_the_leaky_neuron(dt, parameters):
    rng = np.random.default_rng(2)
    graph = chain(
        inputs(6),
        nir.Affine(dyadic(rng, 5, 6), np.full(5, 0.25)),
        leaky((5,), **parameters),
        output(5),
    )
    compare(graph, random_events(rng, 4, STEPS, 6), dt=dt)


@pytest.mark.parametrize("parameters", [{"r": 2.0}, {"v_reset": -0.5}, {"v_threshold": 0.75}])
def test_parameters_of_the_integrator(parameters):
    rng = np.random.default_rng(2)
    neuron = integrate((5,), **parameters)
    graph = chain(inputs(6), nir.Linear(dyadic(rng, 5, 6)), neuron, output(5))
    _, fixed = compare(graph, random_events(rng, 4, STEPS, 6))
    assert fixed is not None


def test_parameters_of_the_current_based_neuron():
    rng = np.random.default_rng(2)
    neuron = cuba((5,), w_in=0.5, v_leak=0.25, r=16.0)
    graph = chain(inputs(6), nir.Linear(dyadic(rng, 5, 6)), neuron, output(5))
    compare(graph, random_events(rng, 4, STEPS, 6))


def test_the_timestep_scales_what_an_integrator_adds():
    rng = np.random.default_rng(2)
    graph = chain(inputs(6), nir.Linear(dyadic(rng, 5, 6)), integrate((5,), r=1024.0), output(5))
    compare(graph, random_events(rng, 4, STEPS, 6), dt=2.0**-10)


def test_float32_time_constants_count_as_what_they_round():
    tau, dt = np.float32(0.0032), 1e-4
    graph = chain(
        inputs(1), nir.Linear(np.ones((1, 1))), leaky((1,), tau=tau, r=tau / dt), output(1)
    )
    net = read_nir(graph, options(dt=dt))
    assert net.populations[0].neuron.leak == 5
    assert net.projections[0].weight.item() == 1.0


def test_residual_connections_add():
    rng = np.random.default_rng(6)
    nodes = {
        "input": inputs(2, 6, 6),
        "a": conv(dyadic(rng, 3, 2, 3, 3), padding=(1, 1)),
        "x": integrate((3, 6, 6)),
        "b": conv(dyadic(rng, 3, 3, 3, 3), dyadic(rng, 3), padding=(1, 1)),
        "s": nir.Scale(np.full((3, 6, 6), 0.5)),
        "y": integrate((3, 6, 6)),
        "p": nir.SumPool2d(np.array([3, 3]), np.array([3, 3]), np.array([0, 0])),
        "f": nir.Flatten({"input": np.array([3, 2, 2])}, start_dim=0),
        "c": nir.Linear(dyadic(rng, 4, 12)),
        "z": integrate((4,)),
        "output": output(4),
    }
    edges = [("input", "a"), ("a", "x"), ("x", "b"), ("x", "s"), ("b", "y"), ("s", "y")]
    edges += [("y", "p"), ("x", "p"), ("p", "f"), ("f", "c"), ("c", "z"), ("z", "output")]
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    net, fixed = compare(graph, random_events(rng, 3, STEPS, 2, 6, 6), reset="soft")
    assert {(p.source, p.target, p.kind) for p in net.into("y")} == {
        ("x", "y", "conv2d"),
        ("x", "y", "identity"),
    }
    assert len(net.into("z")) == 2
    assert len({p.name for p in net.projections}) == len(net.projections)
    assert fixed is not None


def test_graphs_inside_graphs():
    rng = np.random.default_rng(7)
    weight = dyadic(rng, 5, 6)
    inner = chain(inputs(6), nir.Linear(weight), integrate((5,)), output(5))
    nodes = {"input": inputs(6), "block": inner, "output": output(5)}
    graph = nir.NIRGraph(nodes, [("input", "block"), ("block", "output")], type_check=False)
    flat = chain(inputs(6), nir.Linear(weight), integrate((5,)), output(5))
    events = random_events(rng, 3, STEPS, 6)
    (mine, _), (other, _) = (
        run_network(read_nir(g, options()), events[..., None, None]) for g in (graph, flat)
    )
    np.testing.assert_array_equal(mine["block.n2"], other["n2"])
    assert other["n2"].any()


def test_one_dimensional_convolution():
    rng = np.random.default_rng(8)
    weight, bias = dyadic(rng, 3, 2, 4), dyadic(rng, 3)
    flat = nir.Conv1d(None, weight, stride=2, padding=1, dilation=1, groups=1, bias=bias)
    graph = chain(inputs(2, 11), flat, integrate((3, 5)), output(3, 5))
    graph.nodes["n3"] = nir.Flatten({"input": np.array([3, 5])}, start_dim=0)
    graph.nodes |= {"n4": nir.Linear(dyadic(rng, 2, 15)), "n5": integrate((2,)), "n6": output(2)}
    graph.edges += [("n3", "n4"), ("n4", "n5"), ("n5", "n6")]
    square = chain(
        inputs(2, 1, 11),
        conv(weight[:, :, None, :], bias, stride=(1, 2), padding=(0, 1)),
        integrate((3, 1, 5)),
        graph.nodes["n3"],
        graph.nodes["n4"],
        graph.nodes["n5"],
        output(2),
    )
    events = random_events(rng, 3, STEPS, 2, 1, 11)
    mine, _ = run_network(read_nir(graph, options()), events)
    expected = run_graph(square, events, reset="hard", strict=True, dt=1.0)
    np.testing.assert_array_equal(mine["n2"], expected["n2"])
    np.testing.assert_array_equal(mine["n5"][..., 0, 0], expected["n5"])
    assert mine["n5"].any()


def test_same_padding_puts_the_odd_pixel_last():
    rng = np.random.default_rng(8)
    weight = dyadic(rng, 3, 2, 4, 3)
    graph = chain(
        inputs(2, 6, 6),
        conv(weight, padding="same"),
        integrate((3, 6, 6)),
        nir.Flatten({"input": np.array([3, 6, 6])}, start_dim=0),
        nir.Linear(dyadic(rng, 2, 108, places=5)),
        integrate((2,)),
        output(2),
    )
    net = read_nir(graph, options())
    assert net.projections[0].padding == (1, 1, 2, 1)


@pytest.mark.parametrize("tail", [[], [nir.I(np.full(5, 2.0))]])
def test_what_does_not_spike_at_the_end_is_added_up(tail):
    rng = np.random.default_rng(9)
    body = [nir.Linear(dyadic(rng, 8, 6)), integrate((8,))]
    last = nir.Affine(dyadic(rng, 5, 8), dyadic(rng, 5))
    graph = chain(inputs(6), *body, last, *tail, output(5))
    events = random_events(rng, 4, STEPS, 6)
    net = read_nir(graph, options())
    assert net.readout.mode == "potential"
    expected = run_graph(graph, events, reset="hard", strict=True, dt=1.0)
    total = expected["n4"][:, -1] if tail else expected["n3"].sum(axis=1)
    _, scores = run_network(net, events[..., None, None])
    np.testing.assert_array_equal(scores, total)
    result = simulate(as_integers(net), events[..., None, None])
    np.testing.assert_array_equal(result.classes, total.argmax(axis=1))


def test_scaled_spikes_are_not_counted_but_added_up():
    rng = np.random.default_rng(9)
    scale = np.array([1.0, 2.0, 0.5])
    body = [nir.Linear(dyadic(rng, 3, 6)), integrate((3,)), nir.Scale(scale)]
    graph = chain(inputs(6), *body, output(3))
    events = random_events(rng, 4, STEPS, 6)
    net = read_nir(graph, options())
    assert net.readout.mode == "potential"
    total = run_graph(graph, events, reset="hard", strict=True, dt=1.0)["n3"].sum(axis=1)
    result = simulate(as_integers(net), events[..., None, None])
    np.testing.assert_array_equal(result.scores, 2 * total)


def test_a_delay_of_nothing_is_nothing():
    graph = chain(
        inputs(2), nir.Linear(np.eye(2)), integrate((2,)), nir.Delay(np.zeros(2)), output(2)
    )
    assert read_nir(graph, options()).readout.mode == "count"


def test_names_that_a_network_cannot_have():
    nodes = {"a": inputs(2), "input": nir.Linear(np.eye(2)), "x\n": integrate((2,)), "o": output(2)}
    edges = [("a", "input"), ("input", "x\n"), ("x\n", "o")]
    net = read_nir(nir.NIRGraph(nodes, edges, type_check=False), options())
    assert [p.name for p in net.populations] == ["x?", "readout"]
    assert [p.name for p in net.projections] == ["input_2", "x?_to_readout"]


# --- what is refused -----------------------------------------------------------------------


def single(neuron, **others):
    return chain(inputs(2), nir.Linear(np.eye(2)), neuron, output(2)), others


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, ["reset: soft or hard", "strict", "dt:", "timesteps"]),
        ({"timesteps": 5, "reset": "soft", "strict": True}, ["how long a timestep is"]),
        ({"timesteps": 5, "reset": "soft", "dt": 1.0}, ["exceeded or only met"]),
        ({"timesteps": 5, "strict": False, "dt": 1.0}, ["how neurons reset"]),
        ({"reset": "soft", "strict": False, "dt": 1.0}, ["how many timesteps"]),
    ],
)
def test_ambiguous_graphs(given, missing):
    graph, _ = single(integrate((2,)))
    with pytest.raises(ModelError) as info:
        read_nir(graph, NirOptions(**given))
    message = str(info.value)
    assert message.count("how ") + message.count("whether ") == len(missing)
    assert all(text in message for text in missing)


def test_a_leak_that_is_no_power_of_two():
    graph, _ = single(leaky((2,), tau=25e-4, r=1.0))
    with pytest.raises(
        ModelError, match=r"loses 0.04 of .* 0.00015625 \(1/16\) or 7.8125e-05 \(1/32\)"
    ):
        read_nir(graph, options(dt=1e-4))
    net = read_nir(graph, options(dt=1e-4, approximate_leak=True))
    assert net.populations[0].neuron.leak == 5
    np.testing.assert_allclose(net.projections[0].weight, 0.04 * np.eye(2))


@pytest.mark.parametrize(
    ("tau", "leak"), [(25.0, 5), (21.0, 4), (1.1, 1), (2.0**15, 15), (1e9, 15), (2.0**20, 15)]
)
def test_the_nearest_leak(tau, leak):
    graph, _ = single(leaky((2,), tau=tau, r=tau))
    net = read_nir(graph, options(approximate_leak=True))
    assert net.populations[0].neuron.leak == leak


REFUSED = [
    (leaky((2,), tau=1.0), {}, "loses 1 of its membrane"),
    (leaky((2,), tau=2.0**16), {}, "loses 1.526e-05 of its membrane"),
    (leaky((2,), tau=-8.0), {}, "time constant that is not positive"),
    (nir.LIF(*(np.array(v) for v in ([8.0, 4.0], [1.0, 1], [0.0, 0], [1.0, 1], [0.0, 0]))),
     {}, "neurons of different time constants"),
    (integrate((2,), v_reset=0.5), {"reset": "soft"}, "a v_reset other than 0, .* subtraction"),
    (integrate((2,), v_threshold=0.0), {}, "v_threshold that is not above v_reset"),
    (integrate((2,), v_reset=1.0), {}, "v_threshold that is not above v_reset"),
    (integrate((2,), v_threshold=float("nan")), {}, "v_threshold has a value that is not finite"),
    (integrate((3,)), {}, r"its r has shape \(3,\), but its input has \(2,\)"),
    (cuba((2,), tau_syn=2.0), {}, r"memory of their own \(tau_syn 2\)"),
    (nir.LI(np.ones(2), np.ones(2), np.zeros(2)), {}, "a readout of the hardware does not leak"),
    (nir.Threshold(np.ones(2)), {}, "a threshold without a membrane"),
    (nir.Delay(np.ones(2)), {}, "delays cannot be had"),
    (integrate((2,)), {"dt": 0.0}, "dt: 0.0 is not a positive number"),
    (integrate((2,)), {"dt": float("nan")}, "dt: nan is not"),
    (integrate((2,)), {"scale": 0.0}, "scale: 0.0 is not"),
    (integrate((2,)), {"reset": "zero"}, "reset: 'zero' is neither soft nor hard"),
    (integrate((2,)), {"encoding": "rate"}, "encoding: 'rate' is neither"),
]  # fmt: skip


@pytest.mark.parametrize(("neuron", "others", "message"), REFUSED)
def test_neurons_that_the_hardware_has_not(neuron, others, message):
    graph, _ = single(neuron)
    with pytest.raises(ModelError, match=message):
        read_nir(graph, options(**others))


def maps(*nodes):
    return chain(inputs(2, 6, 6), *nodes, output(3))


POOL = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
KERNEL = np.ones((3, 2, 3, 3))
LAYERS = [
    (maps(conv(KERNEL), conv(np.ones((3, 3, 1, 1)))), "without neurons between"),
    (maps(conv(KERNEL), POOL), "pools what no neuron has fired"),
    (maps(POOL, POOL), "pools what no neuron has fired"),
    (maps(conv(KERNEL, dilation=(2, 2))), "has dilation"),
    (maps(conv(np.ones((3, 4, 3, 3)))), "does not suit 2 channels"),
    (maps(conv(np.ones((3, 2, 7, 3)))), r"kernel \(7, 3\) does not fit"),
    (maps(conv(KERNEL, stride=(0, 1))), "does not fit"),
    (maps(conv(KERNEL, padding="same", stride=(2, 2))), "has padding 'same' with stride"),
    (maps(nir.Linear(np.ones((3, 6)))), "flatten before it"),
    (maps(nir.Flatten({"input": np.array([2, 6, 6])}, 0, 1)), "flatten all of them"),
    (maps(nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([1, 1]))), "pads its windows"),
    (maps(nir.SumPool2d(np.array([7, 2]), np.array([2, 2]), np.array([0, 0]))), "do not fit"),
    (maps(nir.Scale(np.ones((2, 3)))), r"its scale has shape \(2, 3\)"),
    (maps(integrate((2, 6, 6)), output(9)), "2 nodes of type Output"),
    (chain(inputs(2, 6, 6), integrate((2, 6, 6)), output(3)), "puts out a map of"),
    (chain(inputs(2, 6, 6), conv(KERNEL), nir.I(np.ones((3, 4, 4))), integrate((3, 4, 4)),
           output(3)), "follows an integrator"),
    (chain(integrate((2,)), output(2)), "0 nodes of type Input"),
    (chain(inputs(1, 2, 3, 4), output(2)), "at most"),
    (chain(inputs(1, -2), output(2)), "has a size below 1"),
]  # fmt: skip


@pytest.mark.parametrize(("graph", "message"), LAYERS)
def test_layers_that_do_not_become_a_projection(graph, message):
    with pytest.raises(ModelError, match=message):
        read_nir(graph, options())


def test_thresholds_that_differ_within_a_channel():
    neuron = integrate((3, 4, 4))
    neuron.v_threshold[0, 0, 0] = 2.0
    flat = nir.Flatten({"input": np.array([3, 4, 4])}, start_dim=0)
    graph = maps(conv(KERNEL), neuron, flat, nir.Linear(np.ones((3, 48))), integrate((3,)))
    with pytest.raises(ModelError, match=r"n2 .IF.: its v_threshold differs within a channel"):
        read_nir(graph, options())


def test_recurrent_graphs():
    graph = chain(inputs(2), nir.Linear(np.eye(2)), integrate((2,)), output(2))
    graph.nodes["back"] = nir.Linear(np.eye(2))
    graph.edges += [("n2", "back"), ("back", "n2")]
    with pytest.raises(ModelError, match=r"is recurrent \(.*back.* one direction only"):
        read_nir(graph, options())


def test_loose_ends():
    graph = chain(inputs(2), nir.Linear(np.eye(2)), integrate((2,)), output(2))
    graph.nodes["loose"] = nir.Linear(np.eye(2))
    with pytest.raises(ModelError, match=r"loose .Linear.: leads nowhere"):
        read_nir(graph, options())
    graph.edges.append(("loose", "n2"))
    with pytest.raises(ModelError, match=r"loose .Linear.: nothing leads to it"):
        read_nir(graph, options())
    graph.edges[-1] = ("gone", "n2")
    with pytest.raises(ModelError, match="an edge names 'gone'"):
        read_nir(graph, options())


def test_ways_do_not_multiply_without_end():
    """Each diamond doubles the ways: 2**30 of them would exhaust the memory."""
    nodes, edges, end = {"in": inputs(2)}, [], "in"
    for k in range(30):
        for side in "ab":
            nodes[f"{k}{side}"] = nir.Scale(np.ones(2))
            edges.append((end, f"{k}{side}"))
        nodes[f"{k}"] = nir.Scale(np.ones(2))
        edges += [(f"{k}a", f"{k}"), (f"{k}b", f"{k}")]
        end = f"{k}"
    nodes["out"] = output(2)
    graph = nir.NIRGraph(nodes, [*edges, (end, "out")], type_check=False)
    with pytest.raises(ModelError, match="is reached in more than 64 ways"):
        read_nir(graph, options())


def test_what_is_no_graph(tmp_path):
    with pytest.raises(ModelError, match="there is no such file"):
        read_nir(tmp_path / "none.nir")
    with pytest.raises(ModelError, match=r"dict: is neither a .nir file nor a nir.NIRGraph"):
        read_nir({})


def test_conversion_names_the_right_verb(tmp_path):
    with pytest.raises(ModelError, match="use import-nir"):
        import_model(tmp_path / "graph.nir")
