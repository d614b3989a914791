# SPDX-License-Identifier: BSD-2-Clause
"""A network laid out for the kernels: flat arrays and tables of offsets.

Maps are stored (H, W, C), so that one event touches contiguous membranes: those of all output
channels of neighbouring columns.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pysnn_hw.golden.kernels import (
    GATE_POOL,
    MASK_PROBE,
    MAX_POOL,
    MEMORY,
    NO_POOL,
    NO_PROBE,
    POSITIVE,
    SHIFT_PROBE,
    SIGNED,
    SUM_POOL,
    Row,
)
from pysnn_hw.ir.snn import INPUT, Array, ConvView, FixedNetwork, Population, Projection
from pysnn_hw.ir.widths import widths

_POOL = {"sum": SUM_POOL, "max": MAX_POOL, "gate": GATE_POOL}
_RULE = {"mask": MASK_PROBE, "shift": SHIFT_PROBE}
_POLARITY = {"positive": POSITIVE, "memory": MEMORY, "signed": SIGNED}

POPULATION = np.dtype(
    [
        ("first", np.int64),  # of its neurons, among all neurons of the network
        ("size", np.int64),
        ("fires", np.int64),  # 0 for the readout
        ("other", np.int64),  # 1 unless the neuron is plain
        ("polarity", np.int64),  # POSITIVE, MEMORY or SIGNED
        ("hard", np.int64),
        ("strict", np.int64),
        ("leak", np.int64),
    ]
)
PROJECTION = np.dtype(
    [
        ("target", np.int64),  # index of a population
        ("source", np.int64),  # index of a population; -1 for the input
        ("first", np.int64),  # of the source's neurons; 0 for the input
        ("height", np.int64),  # of the source's map, before pooling
        ("width", np.int64),
        ("channels", np.int64),
        ("pool", np.int64),  # NO_POOL, SUM_POOL, MAX_POOL or GATE_POOL
        ("pool_rows", np.int64),
        ("pool_columns", np.int64),
        ("pool_stride_y", np.int64),
        ("pool_stride_x", np.int64),
        ("pooled_height", np.int64),
        ("pooled_width", np.int64),
        ("totals", np.int64),  # first entry in the state of running maxima: totals of the source
        ("peaks", np.int64),  # and, where windows start, the largest total so far
        ("rows", np.int64),  # of the kernel
        ("columns", np.int64),
        ("stride_y", np.int64),
        ("stride_x", np.int64),
        ("top", np.int64),
        ("left", np.int64),
        ("groups", np.int64),
        ("out_height", np.int64),
        ("out_width", np.int64),
        ("out_channels", np.int64),
        ("weights", np.int64),  # first entry in the weights
    ]
)


class Program(NamedTuple):
    """Tables and parameters of one network.

    Weights, bias, threshold, v_init and limits are all float32 or all int32.

    Attributes
    ----------
    populations, projections
        Tables of `POPULATION` and `PROJECTION`, in the network's order.
    weights
        Of all projections, flat, each as `pack_weight` orders them.
    bias, threshold, v_init
        One per neuron of the network; a readout's thresholds are unused.
    limits
        Per population (0, spike_max, v_min, v_max).
    state
        int32: what running maxima remember at the start, zeros.
    steps, probe
        Timesteps in all, and those of them that are a probe.
    rule
        NO_PROBE, MASK_PROBE or SHIFT_PROBE.
    margin
        Lead that ends an image early; 0: never.
    noise, noise_seed
        int64 (256,) or empty, and where its generator starts, uint32.
    """

    populations: Array
    projections: Array
    weights: Array
    bias: Array
    threshold: Array
    v_init: Array
    limits: Array
    state: Array
    steps: int
    probe: int
    rule: int
    margin: int
    noise: Array
    noise_seed: np.uint32


class Output(NamedTuple):
    """Where a run leaves its results; the traces have no rows if they are not wanted.

    Attributes
    ----------
    scores
        int64 (N, classes): membranes of the readout.
    votes
        int64 (N, classes), for those of its modes that take votes.
    steps
        int64 (N,): timesteps that the scores are of.
    spikes
        int64 (N, populations): non-zero spikes.
    sops
        int64 (N, projections).
    spike_trace
        `spike_dtype` (N, steps, neurons), each population (H, W, C).
    membrane_trace
        int64 (N, neurons), after the last step.
    """

    scores: Array
    votes: Array
    steps: Array
    spikes: Array
    sops: Array
    spike_trace: Array
    membrane_trace: Array


def compile_program(net: FixedNetwork, dtype: npt.DTypeLike | None = None) -> Program:
    """Lay out ``net``, which must pass `check_fixed`.

    ``dtype`` is the working type; by default float32 if that is exact, as it is faster.
    """
    dtype = dtype or (np.float32 if exact_in_float32(net) else np.int32)
    index = {p.name: k for k, p in enumerate(net.populations)}
    firsts = np.cumsum([0, *(p.size for p in net.populations)])
    populations = np.zeros(len(net.populations), POPULATION)
    populations["first"] = firsts[:-1]
    populations["size"] = [p.size for p in net.populations]
    populations["fires"] = [p.kind == "fire" for p in net.populations]
    populations["other"] = [not p.neuron.plain for p in net.populations]
    populations["polarity"] = [_POLARITY[p.neuron.polarity] for p in net.populations]
    populations["hard"] = [p.neuron.reset == "hard" for p in net.populations]
    populations["strict"] = [p.neuron.strict for p in net.populations]
    populations["leak"] = [p.neuron.leak for p in net.populations]
    projections = np.zeros(len(net.projections), PROJECTION)
    weights: list[Array] = []
    state = 0
    for row, projection in zip(projections, net.projections, strict=True):
        conv = projection.as_conv(net.shape_of(projection.source))
        row["target"] = index[projection.target]
        row["source"] = index.get(projection.source, -1)
        row["first"] = 0 if projection.source == INPUT else firsts[row["source"]]
        row["weights"] = sum(w.size for w in weights)
        state = _fill_pool(row, net, projection, state)
        _fill_synapses(row, conv)
        weights.append(pack_weight(conv))
    limits = [(0, p.spike_max, p.v_min or 0, p.v_max or 0) for p in net.populations]
    return Program(
        populations,
        projections,
        np.concatenate(weights).astype(dtype),
        _per_neuron(net.populations, "bias").astype(dtype),
        _per_neuron(net.populations, "threshold").astype(dtype),
        _per_neuron(net.populations, "v_init").astype(dtype),
        np.array(limits).astype(dtype),
        np.zeros(state, np.int32),
        net.total_steps,
        0 if net.probe is None else net.probe.steps,
        NO_PROBE if net.probe is None else _RULE[net.probe.rule],
        int(net.readout.margin),
        np.array(net.readout.noise, np.int64),
        np.uint32(net.readout.seed),
    )


def exact_in_float32(net: FixedNetwork) -> bool:
    """Whether every event, current and membrane, in any order of summation, is below 2**24.

    The readout's membrane does not count: it is kept as an integer, one step added at a time.
    Thresholds and clamps beyond stay beyond when rounded, so they act alike.
    """
    proven_widths = widths(net)
    largest = max(max(map(abs, net.value_range(p))) for p in net.projections)
    for population in net.populations:
        proven = proven_widths[population.name]
        drive = np.maximum(-proven.drive_min, proven.drive_max)
        reach = drive + np.abs(population.per_channel("bias"))
        if population.kind == "fire":
            reach = reach + np.maximum(np.abs(proven.after_min), np.abs(proven.after_max))
        largest = max(largest, int(reach.max()))
    return largest < 1 << 24


def pack_weight(conv: ConvView) -> Array:
    """Weights in the order in which events meet membranes, flat.

    An event in row y meets, in ascending output rows, the kernel rows ``ky`` that equal
    (y + top) mod stride, from the largest down; columns alike. So, as an array: (C_in,
    ky mod stride, kx mod stride, ky // stride descending, kx // stride descending, C_out / groups).
    """
    co, ci, kh, kw = conv.weight.shape
    sy, sx = conv.stride
    high, wide = -(-kh // sy), -(-kw // sx)
    padded = np.zeros((co, ci, high * sy, wide * sx), np.int64)
    padded[:, :, :kh, :kw] = conv.weight
    split = padded.reshape(conv.groups, co // conv.groups, ci, high, sy, wide, sx)
    flipped = split[:, :, :, ::-1, :, ::-1]
    return flipped.transpose(0, 2, 4, 6, 3, 5, 1).reshape(-1)


def _fill_pool(row: Row, net: FixedNetwork, projection: Projection, state: int) -> int:
    channels, height, width = net.shape_of(projection.source)
    row["height"], row["width"], row["channels"] = height, width, channels
    _, row["pooled_height"], row["pooled_width"] = projection.in_shape((channels, height, width))
    pool = projection.pool
    if pool is None:
        row["pool"], row["pool_stride_x"] = NO_POOL, 1
        return state
    row["pool"] = _POOL[pool.mode]
    row["pool_rows"], row["pool_columns"] = pool.kernel
    row["pool_stride_y"], row["pool_stride_x"] = pool.stride
    if pool.mode == "sum":
        return state
    row["totals"] = state
    row["peaks"] = state + channels * height * width
    return int(row["peaks"] + row["pooled_height"] * width * channels)


def _fill_synapses(row: Row, conv: ConvView) -> None:
    row["rows"], row["columns"] = conv.weight.shape[2:]
    row["stride_y"], row["stride_x"] = conv.stride
    row["top"], row["left"] = conv.padding[:2]
    row["groups"] = conv.groups
    row["out_channels"], row["out_height"], row["out_width"] = conv.out_shape


def _per_neuron(
    populations: tuple[Population, ...], name: Literal["bias", "threshold", "v_init"]
) -> Array:
    parts = []
    for population in populations:
        if getattr(population, name).size:
            parts.append(population.per_neuron(name).transpose(1, 2, 0).reshape(-1))
        else:
            parts.append(np.ones(population.size, np.int64))
    return np.concatenate(parts)
