# SPDX-License-Identifier: BSD-2-Clause
"""Builds the NIR graph of a network, node by node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import Array, printable
from pysnn_hw.frontend.nir_metadata import DOCUMENT, INITIAL, KEY, Metadata, NodeNames
from pysnn_hw.ir.file import to_document
from pysnn_hw.ir.snn import INPUT, FixedNetwork, Population, Projection, SnnNetwork

Pooling = Literal["sum", "average"]


class Writer:
    """Builds the graph of one network.

    Parameters
    ----------
    net, dt, pooling
        See `nir_export.write_nir`.

    Members
    -------
    checked
        Whether the `nir` package can check the graph's shapes; known once it is built.
    """

    def __init__(self, net: SnnNetwork, dt: float, pooling: Pooling) -> None:
        try:
            import nir
        except ImportError as error:
            hint = "pip install 'pysnn-hw[nir]'"
            raise ModelError("NIR", "the package 'nir' is needed to write it", hint) from error
        self._nir: Any = nir
        self._net, self._dt, self._average = net, dt, pooling == "average"
        self._nodes: dict[str, Any] = {}
        self._edges: list[tuple[str, str]] = []
        self.checked = True
        self._maps = _maps(net)
        counts = net.readout.mode == "count"
        self._counted = net.into(net.populations[-1].name)[0] if counts else None
        # Names of nodes by those of populations and projections, which may have one in common.
        self._names: dict[tuple[str, str], str] = {}
        self._used = {"input", "output"}
        for kind, parts in (("population", net.populations), ("projection", net.projections)):
            for part in parts:
                self._names[kind, part.name] = _fresh(part.name, self._used)

    def graph(self) -> Any:
        """The `nir.NIRGraph`."""
        net = self._net
        self._nodes["input"] = self._nir.Input({"input": np.array(self._sizes(INPUT))})
        for population in net.populations:
            self._population(population)
        last = net.populations[-1].name if self._counted is None else self._counted.source
        end = self._names["population", last]
        if last in self._maps:
            end = self._flattened(end, "output", net.shape_of(last))
        self._nodes["output"] = self._nir.Output({"output": np.array([net.shape_of(last)[0]])})
        self._edges.append((end, "output"))
        initial = {f"n{j}": p.v_init for j, p in enumerate(net.populations)}
        metadata = {KEY: {DOCUMENT: self._metadata(), INITIAL: initial}}
        # When nir 1.0 checks shapes, it takes every kernel for square, and ungrouped.
        layers = [node for node in self._nodes.values() if hasattr(node, "groups")]
        kernels = [layer.weight.shape[2:] for layer in layers]
        square = all(rows == columns for rows, columns in kernels)
        self.checked = square and all(layer.groups == 1 for layer in layers)
        return self._nir.NIRGraph(
            self._nodes, self._edges, metadata=metadata, type_check=self.checked
        )

    def _metadata(self) -> str:
        net = self._net
        populations = [
            NodeNames(node=self._names["population", p.name], single=list(_single(p)))
            for p in net.populations
        ]
        projections = [
            NodeNames(node="" if p is self._counted else self._names["projection", p.name])
            for p in net.projections
        ]
        return Metadata(
            format=1,
            dt=self._dt,
            integers=isinstance(net, FixedNetwork),
            populations=populations,
            projections=projections,
            network=to_document(net),
        ).model_dump_json()

    def _sizes(self, name: str) -> tuple[int, ...]:
        """Shape of a population, or of the input, in the graph."""
        shape = self._net.shape_of(name)
        return shape if name in self._maps else shape[:1]

    def _population(self, population: Population) -> None:
        into = self._net.into(population.name)
        if population.kind == "readout" and self._counted is not None:
            return
        name = self._names["population", population.name]
        self._nodes[name] = self._neurons(population)
        bias = population.per_channel("bias").astype(np.float64)
        for projection in sorted(into, key=lambda p: p.kind == "identity"):
            end = self._projection(projection, population, bias)
            bias = np.zeros(len(bias))
            self._edges.append((end, name))

    def _neurons(self, population: Population) -> Any:
        sizes = self._sizes(population.name)

        def filled(value: float) -> Array:
            return _compact(np.full(sizes, value))

        if population.kind == "readout":
            return self._nir.I(r=filled(1 / self._dt))
        theta = population.per_neuron("threshold").reshape(sizes).astype(np.float64)
        v = {"v_threshold": _compact(theta), "v_reset": filled(0.0)}
        if not population.neuron.leak:
            return self._nir.IF(r=filled(1 / self._dt), **v)
        steps = 2.0**population.neuron.leak
        tau = filled(steps * self._dt)
        return self._nir.LIF(tau=tau, r=filled(steps), v_leak=filled(0.0), **v)

    def _projection(self, projection: Projection, target: Population, bias: Array) -> str:
        """Adds the nodes of a projection and returns the last of them."""
        net, name = self._net, self._names["projection", projection.name]
        shape = net.shape_of(projection.source)
        end = "input"
        if projection.source != INPUT:
            end = self._names["population", projection.source]
        weight = projection.weight.astype(np.float64)
        if projection.pool is not None:
            pool = _fresh(f"{name}.pool", self._used)
            weight = weight * self._pool(projection, pool, end)
            end = pool
        c, h, w = projection.in_shape(shape)
        flat = target.name not in self._maps
        is_map = projection.source in self._maps
        biased = bool(bias.any())
        if projection.kind == "identity" and not biased:
            sizes = (c, h, w) if is_map else (c,)
            column = weight.reshape(-1, *[1] * (len(sizes) - 1))
            self._add(name, end, self._nir.Scale(_compact(np.broadcast_to(column, sizes).copy())))
        elif projection.kind == "linear" and flat:
            if is_map:
                end = self._flattened(end, name, (c, h, w))
            matrix = _compact(weight)
            node = self._nir.Affine(matrix, _compact(bias)) if biased else self._nir.Linear(matrix)
            self._add(name, end, node)
            return name
        else:
            self._convolution(projection, name, end, weight, bias)
        if flat and is_map:
            return self._flattened(name, name, target.shape)
        return name

    def _convolution(
        self, projection: Projection, name: str, end: str, weight: Array, bias: Array
    ) -> None:
        view = projection.as_conv(self._net.shape_of(projection.source))
        top, left, bottom, right = view.padding
        rows, columns = max(top, bottom), max(left, right)
        # Uneven padding becomes even padding of a kernel with zeros around it.
        around = ((rows - top, rows - bottom), (columns - left, columns - right))
        kernel = np.pad(weight.reshape(view.weight.shape), ((0, 0), (0, 0), *around))
        node = self._nir.Conv2d(
            input_shape=view.in_shape[1:],
            weight=_compact(kernel),
            stride=view.stride,
            padding=(rows, columns),
            dilation=(1, 1),
            groups=view.groups,
            bias=_compact(bias),
        )
        self._add(name, end, node)

    def _pool(self, projection: Projection, name: str, end: str) -> float:
        """Adds the pooling of a projection; returns the factor that its weights make up for."""
        pool = projection.pool
        if pool is None or pool.mode != "sum":
            problem = "pools by maximum, which NIR cannot say"
            raise ModelError(f"projection {projection.name!r}", problem, "use average pooling")
        kernel, stride, none = np.array(pool.kernel), np.array(pool.stride), np.zeros(2, np.int64)
        window = int(kernel.prod())
        if not self._average:
            self._add(name, end, self._nir.SumPool2d(kernel, stride, none))
            return 1.0
        if window & (window - 1):
            problem = f"pools windows of {window}, whose mean is not exact in binary"
            raise ModelError(f"projection {projection.name!r}", problem, "write sums")
        self._add(name, end, self._nir.AvgPool2d(kernel, stride, none))
        return float(window)

    def _flattened(self, end: str, name: str, shape: tuple[int, ...]) -> str:
        flat = _fresh(f"{name}.flatten", self._used)
        node = self._nir.Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1)
        self._add(flat, end, node)
        return flat

    def _add(self, name: str, end: str, node: Any) -> None:
        self._nodes[name] = node
        self._edges.append((end, name))


def _maps(net: SnnNetwork) -> set[str]:
    """Populations (and the input) that the graph has as maps, not as vectors."""
    found = {p.name for p in net.populations if max(p.shape[1:]) > 1}
    found |= {INPUT} if max(net.input.shape[1:]) > 1 else set()
    for population in reversed(net.populations):
        into = net.into(population.name)
        # A bias needs a layer to sit in.
        if population.bias.any() and all(p.kind == "identity" for p in into):
            found.add(population.name)
        if population.kind == "fire" and not any(p.kind == "linear" for p in into):
            found.add(population.name)
        for projection in into:
            keeps = projection.kind == "identity" and population.name in found
            if projection.kind == "conv2d" or projection.pool is not None or keeps:
                found.add(projection.source)
            if projection.kind == "linear" and population.name in found:
                found.add(projection.source)
    return found


def _single(population: Population) -> Iterator[Literal["bias", "threshold"]]:
    for name in ("bias", "threshold"):
        if getattr(population, name).shape == (1,):
            yield "bias" if name == "bias" else "threshold"


def _fresh(name: str, used: set[str]) -> str:
    """A name for a node: printable, short, no path, not used before."""
    base = printable(name.replace("/", ".").replace("\0", "?").strip("."))[:60] or "node"
    fresh, count = base, 1
    while fresh in used:
        count += 1
        fresh = f"{base}_{count}"
    used.add(fresh)
    return fresh


def _compact(values: Array) -> Array:
    """``values`` in float32 where that loses nothing, as other tools have them."""
    small = values.astype(np.float32)
    return small if np.array_equal(small.astype(np.float64), values) else values
