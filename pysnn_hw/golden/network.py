# SPDX-License-Identifier: BSD-2-Clause
"""Bit-exact simulation of a `FixedNetwork` on batches of images."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from pysnn_hw.errors import DataError
from pysnn_hw.golden.kernels import draw, run
from pysnn_hw.golden.program import Output, Program, compile_program
from pysnn_hw.golden.result import Result, Trace, classes_of, concatenate, spike_dtype
from pysnn_hw.ir.check import check_fixed
from pysnn_hw.ir.snn import Array, FixedNetwork, Population

_BATCH_VALUES = 1 << 26  # of input held in one batch, all timesteps counted
_BLOCK_BYTES = 1 << 20  # spikes in flight per thread: what a second-level cache holds


def simulate(
    net: FixedNetwork,
    images: Array,
    *,
    trace: bool = False,
    batch: int = 256,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Simulate ``images`` and return scores, classes and activity.

    Parameters
    ----------
    net
        The network.
    images
        Raw integers (N, C, H, W), N >= 1, of any integer dtype, in the input's declared range;
        (N, T, C, H, W) for an input of encoding ``events``.
    trace
        Also keep every spike and every final membrane (memory grows with N * T * neurons).
    batch
        Images at a time: what bounds the working memory, without effect on the result.
    threads
        Number of threads; None for one per available processor. Without effect on the result.
    progress
        Called as ``progress(images done, images in all)`` after each batch.

    Raises
    ------
    NetworkError
        If the network breaks a rule of `check_fixed`.
    DataError
        If the images do not suit the network's input.
    """
    parts = []
    done = 0
    for part in simulate_batches(net, images, trace=trace, batch=batch, threads=threads):
        parts.append(part)
        done += len(part.classes)
        if progress is not None:
            progress(done, len(images))
    return concatenate(parts)


def simulate_batches(
    net: FixedNetwork,
    images: Array,
    *,
    trace: bool = False,
    batch: int = 256,
    threads: int | None = None,
) -> Iterator[Result]:
    """`simulate`, handing out the result of each batch as it is done.

    Memory stays bounded if the caller lets go of results, even with traces; ``images`` may be a
    memory map.
    """
    program = _checked_program(net)
    check_images(net, images)
    frames = 1 if net.input.encoding == "constant" else net.timesteps
    batch = max(1, min(batch, _BATCH_VALUES // (frames * math.prod(net.input.shape))))
    workers = threads or available_processors()
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(images), batch):
            part = np.asarray(images[start : start + batch])
            check_range(net, part)
            slices = np.array_split(part, min(workers, len(part)))
            done = pool.map(lambda piece: run_program(net, program, piece, trace), slices)
            yield concatenate(list(done))


@lru_cache(maxsize=4)
def _checked_program(net: FixedNetwork) -> Program:
    """Checked and laid out once per network: they are immutable, and compared by identity."""
    check_fixed(net)
    return compile_program(net)


def available_processors() -> int:
    """Processors that this process may use; fewer than there are in a container, say."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_images(net: FixedNetwork, images: Array) -> None:
    """Refuse images of the wrong shape or dtype with a `DataError`."""
    shape: tuple[int, ...] = net.input.shape
    if net.input.encoding == "events":
        shape = net.timesteps, *shape
    if images.shape[1:] != shape:
        raise DataError(
            "images",
            f"shape {images.shape} does not fit the network's input",
            f"expected (N, {', '.join(map(str, shape))})",
        )
    if len(images) == 0:
        raise DataError("images", "there are none", "give at least one image")
    if not np.issubdtype(images.dtype, np.integer):
        raise DataError(
            "images",
            f"dtype {images.dtype} is not an integer type",
            "give raw integers; scaling is part of the network",
        )


def check_range(net: FixedNetwork, images: Array) -> None:
    """Refuse integers outside the input's declared range with a `DataError`."""
    low, high = int(images.min()), int(images.max())
    if low < net.input.minimum or high > net.input.maximum:
        raise DataError(
            "images",
            f"values {low}..{high} leave the input's range "
            f"{net.input.minimum}..{net.input.maximum}",
        )


def run_program(
    net: FixedNetwork, program: Program, images: Array, trace: bool, block: int | None = None
) -> Result:
    """Simulate valid ``images`` in this thread; ``block`` is how many steps to run at a time."""
    n, neurons, kept = len(images), len(program.bias), len(images) if trace else 0
    classes = net.populations[-1].size
    output = Output(
        scores=np.zeros((n, classes), np.int64),
        votes=np.zeros((n, classes), np.int64),
        steps=np.zeros(n, np.int64),
        spikes=np.zeros((n, len(net.populations)), np.int64),
        sops=np.zeros((n, len(net.projections)), np.int64),
        spike_trace=np.empty((kept, net.total_steps, neurons), spike_dtype(net)),
        membrane_trace=np.empty((kept, neurons), np.int64),
    )
    block = block or max(1, _BLOCK_BYTES // neurons)
    run(program, input_frames(net, program, images), min(net.total_steps, block), output)
    scores = output.votes if net.readout.mode == "sampled" else output.scores
    return Result(
        scores,
        classes_of(net, scores),
        {p.name: output.spikes[:, k] for k, p in enumerate(net.populations) if p.kind == "fire"},
        {p.name: output.sops[:, k] for k, p in enumerate(net.projections)},
        output.steps,
        _trace(net, program, output) if trace else None,
    )


def input_frames(net: FixedNetwork, program: Program, images: Array) -> Array:
    """What enters the network in each step, int32 (N, S, H * W * C); S is 1 if that is constant."""
    n, size = len(images), math.prod(net.input.shape)
    values = np.moveaxis(net.input.values(images), -3, -1).reshape(n, -1, size).astype(np.int32)
    if net.input.encoding != "bernoulli":
        return values
    frames = np.empty((n, net.timesteps, size), np.int32)
    draw(values[:, 0], net.input.peak.bit_length(), np.uint32(net.input.seed), frames)
    return frames


def _trace(net: FixedNetwork, program: Program, output: Output) -> Trace:
    def cut(values: Array, index: int, population: Population) -> Array:
        first = program.populations[index]["first"]
        c, h, w = population.shape
        mine = values[..., first : first + population.size].reshape(*values.shape[:-1], h, w, c)
        return np.ascontiguousarray(np.moveaxis(mine, -1, -3))

    fires = [(k, p) for k, p in enumerate(net.populations) if p.kind == "fire"]
    return Trace(
        {p.name: cut(output.spike_trace, k, p) for k, p in fires},
        {p.name: cut(output.membrane_trace, k, p) for k, p in enumerate(net.populations)},
    )
