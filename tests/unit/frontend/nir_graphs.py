# SPDX-License-Identifier: BSD-2-Clause
"""NIR graphs for the tests, built with the `nir` package."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import nir
import numpy as np

from pysnn_hw.ir.snn import (
    Array,
    Input,
    Neuron,
    Pool,
    Population,
    Projection,
    Readout,
    SnnNetwork,
)


def dyadic(rng: np.random.Generator, *shape: int, places: int = 3) -> Array:
    """Weights that are whole multiples of ``2**-places``, a little more positive than negative."""
    return rng.integers(-6, 9, shape) / 2.0**places


def chain(*nodes: Any, **named: Any) -> nir.NIRGraph:
    """A graph of nodes one after the other, named n0, n1, ...; shapes are not checked."""
    by_name = {f"n{i}": node for i, node in enumerate(nodes)} | named
    names = list(by_name)
    return nir.NIRGraph(by_name, list(pairwise(names)), type_check=False)


def inputs(*shape: int) -> nir.Input:
    return nir.Input({"input": np.array(shape)})


def output(*shape: int) -> nir.Output:
    return nir.Output({"output": np.array(shape)})


def conv(weight: Array, bias: Array | None = None, **settings: Any) -> nir.Conv2d:
    defaults = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    bias = np.zeros(len(weight)) if bias is None else bias
    settings = {"input_shape": None} | defaults | settings
    return nir.Conv2d(weight=weight, bias=bias, **settings)


def integrate(shape: tuple[int, ...], threshold: float = 1.0, **parameters: float) -> nir.IF:
    settings = {"r": 1.0, "v_threshold": threshold, "v_reset": 0.0} | parameters
    return nir.IF(**{name: np.full(shape, value) for name, value in settings.items()})


def leaky(shape: tuple[int, ...], **parameters: float) -> nir.LIF:
    settings = {"tau": 8.0, "r": 8.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
    settings |= parameters
    return nir.LIF(**{name: np.full(shape, value) for name, value in settings.items()})


def cuba(shape: tuple[int, ...], **parameters: float) -> nir.CubaLIF:
    settings = {"tau_syn": 1.0, "tau_mem": 8.0, "r": 8.0, "v_leak": 0.0, "w_in": 1.0}
    settings |= {"v_threshold": 1.0, "v_reset": 0.0} | parameters
    return nir.CubaLIF(**{name: np.full(shape, value) for name, value in settings.items()})


def pooled_cnn(rng: np.random.Generator, neuron: Any = integrate) -> nir.NIRGraph:
    """Convolutions with stride, padding, groups and bias, both poolings, scales, two linear layers.

    All numbers are whole multiples of powers of two. Input (2, 9, 9), five classes.
    """
    return chain(
        inputs(2, 9, 9),
        conv(
            dyadic(rng, 4, 2, 3, 3),
            dyadic(rng, 4),
            stride=(2, 2),
            padding=(1, 1),
            input_shape=(9, 9),
        ),
        neuron((4, 5, 5)),
        nir.Scale(np.array([0.5, 1.0, 2.0, 0.25]).reshape(4, 1, 1) * np.ones((4, 5, 5))),
        conv(dyadic(rng, 8, 2, 3, 3), padding=(1, 1), groups=2, input_shape=(5, 5)),
        nir.Scale(np.full((8, 5, 5), 0.5)),
        neuron((8, 5, 5)),
        nir.SumPool2d(np.array([2, 2]), np.array([1, 1]), np.array([0, 0])),
        conv(dyadic(rng, 6, 8, 1, 3, places=5), input_shape=(4, 4)),
        neuron((6, 4, 2)),
        nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        nir.Flatten({"input": np.array([6, 2, 1])}, start_dim=0),
        nir.Affine(dyadic(rng, 7, 12, places=1), dyadic(rng, 7)),
        neuron((7,)),
        nir.Linear(dyadic(rng, 5, 7)),
        neuron((5,)),
        output(5),
    )


def random_events(rng: np.random.Generator, *shape: int, largest: int = 1) -> Array:
    """Events (N, T, ...), a third of all values."""
    values = rng.integers(1, largest + 1, shape)
    return np.where(rng.random(shape) < 1 / 3, values, 0)


def plain_network(
    rng: np.random.Generator, neuron: Neuron, *, timesteps: int = 40, bias: bool = True
) -> SnnNetwork:
    """A small network that other tools can run, in whole multiples of powers of two."""

    def population(name: str, *shape: int) -> Population:
        biases = rng.integers(-2, 3, shape[0]) / 8.0 * bias
        one, zero = np.ones(1), np.zeros(1)
        return Population(name, "fire", (*shape,), biases, one, zero, 1, neuron=neuron)  # type: ignore[arg-type]

    zero, none = np.zeros(1), np.zeros(0)
    pool = Pool("sum", (2, 2), (2, 2))
    around = (1, 1, 1, 1)
    return SnnNetwork(
        timesteps,
        Input((2, 8, 8), (0, 0), 0, 1, "events"),
        (
            population("first", 4, 8, 8),
            population("second", 6, 4, 4),
            population("third", 10, 1, 1),
            population("last", 5, 1, 1),
            Population("readout", "readout", (5, 1, 1), zero, none, zero, 0),
        ),
        (
            Projection("a", "input", "first", "conv2d", dyadic(rng, 4, 2, 3, 3), padding=around),
            Projection(
                *("b", "first", "second", "conv2d", dyadic(rng, 6, 4, 3, 3, places=5)),
                padding=around,
                pool=pool,
            ),
            Projection("c", "second", "third", "linear", dyadic(rng, 10, 96, places=5) - 2.0**-5),
            Projection("d", "third", "last", "linear", dyadic(rng, 5, 10)),
            Projection("e", "last", "readout", "identity", np.ones(5)),
        ),
        Readout("count"),
    )
