# SPDX-License-Identifier: BSD-2-Clause
"""The compiled loop over images, time and populations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from pysnn_hw.golden.kernels import accumulate, arrive, fire
from pysnn_hw.golden.program import Program
from pysnn_hw.ir.snn import Array

_compiled = njit(cache=True, nogil=True, error_model="numpy")


class Output(NamedTuple):
    """Where a run leaves its results; the traces have no rows if they are not wanted.

    Attributes
    ----------
    scores
        int64 (N, classes).
    spikes
        int64 (N, populations): non-zero spikes.
    sops
        int64 (N, projections).
    spike_trace
        uint8 (N, T, neurons), each population (H, W, C).
    membrane_trace
        int64 (N, neurons), after the last step.
    """

    scores: Array
    spikes: Array
    sops: Array
    spike_trace: Array
    membrane_trace: Array


@_compiled
def run(program: Program, images: Array, block: int, output: Output) -> None:
    """Simulate ``images``, (N, H * W * C) less their zero point, in the program's type.

    Time advances in blocks of ``block`` steps: within a block a population runs through all its
    steps before the next one starts, so that its spikes are used while they are in the cache.
    """
    populations, projections = program.populations, program.projections
    dtype = program.weights.dtype
    membrane, current = np.empty_like(program.bias), np.empty_like(program.bias)
    spikes = np.zeros((block, len(membrane)), np.uint8)
    largest, line, channels = 1, 1, 1
    for p in projections:
        largest = max(largest, p.height * p.width * p.channels)
        line, channels = max(line, p.width * p.channels), max(channels, p.channels)
    scratch = np.empty(line, dtype), np.empty(largest, dtype)
    pixel = np.empty(channels + 4, np.uint64), np.empty(channels + 4, dtype)
    state = np.empty_like(program.state)
    readout = populations[-1]
    for i in range(len(images)):
        membrane[:] = program.v_init
        current[:] = program.bias
        state[:] = 0
        for k in range(len(projections)):
            p = projections[k]
            if p.source < 0:
                into = current[populations[p.target].first :]
                arrive(images[i], p, state, *scratch)
                output.sops[i, k] = accumulate(into, scratch[1], p, program.weights, *pixel)
        for j in range(readout.size):
            output.scores[i, j] = membrane[readout.first + j]
        for start in range(0, program.timesteps, block):
            steps = min(block, program.timesteps - start)
            for n in range(len(populations)):
                first, last = populations[n].first, populations[n].first + populations[n].size
                mine, constant = membrane[first:last], current[first:last]
                for t in range(steps):
                    if not populations[n].fires:
                        mine[:] = 0
                    for k in range(len(projections)):
                        p = projections[k]
                        if p.target == n and p.source >= 0:
                            source = spikes[t, p.first : p.first + p.height * p.width * p.channels]
                            arrive(source, p, state, *scratch)
                            output.sops[i, k] += accumulate(
                                mine, scratch[1], p, program.weights, *pixel
                            )
                    if populations[n].fires:
                        output.spikes[i, n] += fire(
                            mine,
                            constant,
                            program.threshold[first:last],
                            program.limits[n],
                            spikes[t, first:last],
                        )
                    else:
                        for j in range(last - first):
                            output.scores[i, j] += np.int64(mine[j] + constant[j])
            if len(output.spike_trace):
                output.spike_trace[i, start : start + steps] = spikes[:steps]
        if len(output.membrane_trace):
            for j in range(readout.first):
                output.membrane_trace[i, j] = np.int64(membrane[j])
            output.membrane_trace[i, readout.first :] = output.scores[i]
