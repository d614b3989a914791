# SPDX-License-Identifier: BSD-2-Clause
"""What a NIR graph computes, node by node in float64, and the same for an `SnnNetwork`.

Neither shares code with the importer: the graph is that of the `nir` package, the equations are
those of its node classes, stepped by forward Euler.
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import Any

import nir
import numpy as np
import torch
from torch.nn import functional

from pysnn_hw.ir.snn import INPUT, Array, SnnNetwork

Tensor = torch.Tensor


def run_graph(
    graph: nir.NIRGraph, events: Array, *, reset: str, strict: bool, dt: float
) -> dict[str, Array]:
    """What each node puts out, (N, T, ...) by name, for ``events`` (N, T, ...)."""
    sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        sources[target].append(source)
    out: dict[str, Tensor] = {}
    for name in TopologicalSorter(sources).static_order():
        node = graph.nodes[name]
        if isinstance(node, nir.Input):
            out[name] = torch.from_numpy(events.astype(np.float64))
            continue
        x = sum((out[s] for s in sources[name][1:]), start=out[sources[name][0]])
        out[name] = _node(node, x, reset, strict, dt)
    return {name: value.numpy() for name, value in out.items()}


def _node(node: Any, x: Tensor, reset: str, strict: bool, dt: float) -> Tensor:
    n, t = x.shape[:2]
    each = x.reshape(n * t, *x.shape[2:])
    match node:
        case nir.Conv2d():
            y = functional.conv2d(
                each,
                _real(node.weight),
                _real(node.bias),
                stride=_ints(node.stride),
                padding=_ints(node.padding),
                groups=int(node.groups),
            )
        case nir.Affine():
            y = functional.linear(each, _real(node.weight), _real(node.bias))
        case nir.Linear():
            y = functional.linear(each, _real(node.weight))
        case nir.SumPool2d():
            y = functional.avg_pool2d(
                each, _ints(node.kernel_size), _ints(node.stride), divisor_override=1
            )
        case nir.AvgPool2d():
            y = functional.avg_pool2d(each, _ints(node.kernel_size), _ints(node.stride))
        case nir.Flatten():
            y = each.flatten(1)
        case nir.Scale():
            y = each * _real(node.scale)
        case nir.Output():
            y = each
        case nir.I():
            return x.cumsum(1) * dt * _real(node.r)
        case nir.IF() | nir.LIF() | nir.CubaLIF():
            return _spikes(node, x, reset, strict, dt)
    return y.reshape(n, t, *y.shape[1:])


def _spikes(node: Any, x: Tensor, reset: str, strict: bool, dt: float) -> Tensor:
    v, current = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0])
    theta, rest, r = (_real(p) for p in (node.v_threshold, node.v_reset, node.r))
    out = torch.empty_like(x)
    for t in range(x.shape[1]):
        if isinstance(node, nir.IF):
            v = v + dt * r * x[:, t]
        elif isinstance(node, nir.LIF):
            v = v + dt / _real(node.tau) * ((_real(node.v_leak) - v) + r * x[:, t])
        else:
            synapse = dt / _real(node.tau_syn)
            current = current + synapse * (_real(node.w_in) * x[:, t] - current)
            v = v + dt / _real(node.tau_mem) * ((_real(node.v_leak) - v) + r * current)
        fired = v > theta if strict else v >= theta
        v = v - theta * fired if reset == "soft" else torch.where(fired, rest, v)
        out[:, t] = fired
    return out


def run_network(net: SnnNetwork, events: Array) -> tuple[dict[str, Array], Array]:
    """Spikes of each fire population (N, T, C, H, W), and the readout's last membranes (N, K)."""
    n, steps = events.shape[:2]
    zero = np.reshape(net.input.zero_point, (-1, 1, 1))
    out = {INPUT: torch.from_numpy((events - zero).astype(np.float64))}
    for population in net.populations:
        shape = (n, steps, *population.shape)
        current = _real(population.per_channel("bias")).view(-1, 1, 1).expand(shape).clone()
        for projection in net.into(population.name):
            current += _projected(net, projection, out[projection.source]).view(shape)
        v = _real(population.per_neuron("v_init")).expand(n, *population.shape).clone()
        if population.kind == "readout":
            return {k: s.numpy() for k, s in out.items() if k != INPUT}, (
                (v + current.sum(1)).flatten(1).numpy()
            )
        theta = _real(population.per_channel("threshold")).view(-1, 1, 1)
        neuron, spikes = population.neuron, torch.empty(shape, dtype=torch.float64)
        for t in range(steps):
            v = v * (1 - 2.0**-neuron.leak if neuron.leak else 1.0) + current[:, t]
            quotient = v / theta
            fired = quotient.ceil() - 1 if neuron.strict else quotient.floor()
            spikes[:, t] = fired.clamp(0, population.spike_max)
            fired = spikes[:, t]
            v = torch.where(fired > 0, 0.0, v) if neuron.reset == "hard" else v - fired * theta
        out[population.name] = spikes
    raise AssertionError("a network ends in a readout")


def _projected(net: SnnNetwork, projection: Any, x: Tensor) -> Tensor:
    each = x.flatten(0, 1)
    if projection.pool is not None:
        pool = projection.pool
        each = functional.avg_pool2d(each, pool.kernel, pool.stride, divisor_override=1)
    view = projection.as_conv(net.shape_of(projection.source))
    top, left, bottom, right = view.padding
    each = functional.pad(each, (left, right, top, bottom))
    return functional.conv2d(each, _real(view.weight), stride=view.stride, groups=view.groups)


def _real(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64))


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(int(v) for v in np.ravel(values)) if np.size(values) > 1 else (int(values),) * 2
