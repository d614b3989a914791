# SPDX-License-Identifier: BSD-2-Clause
"""Spiking networks in and out as NIR graphs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pysnn_hw.convert import quantize
from pysnn_hw.convert.integers import as_integers
from pysnn_hw.data import Dataset, load_dataset
from pysnn_hw.errors import DataError
from pysnn_hw.frontend.nir import NirOptions as NirOptions
from pysnn_hw.frontend.nir import is_ours, read_nir
from pysnn_hw.frontend.nir_export import write_nir
from pysnn_hw.frontend.nir_writer import Pooling
from pysnn_hw.golden import simulate
from pysnn_hw.ir.file import load, save
from pysnn_hw.ir.snn import FixedNetwork, SnnNetwork
from pysnn_hw.progress import Progress, silent


@dataclass(frozen=True)
class Import:
    """Answer of `import_nir`.

    Attributes
    ----------
    output
        The network file.
    timesteps, neurons, weights
        What it holds.
    exact
        Whether its integers compute the very spikes of the graph, without any rounding.
    images, accuracy
        How many test images were run, and the fraction classified correctly; None without data.
    warnings
        What the rounding found doubtful.
    """

    output: Path
    timesteps: int
    neurons: int
    weights: int
    exact: bool
    images: int | None
    accuracy: float | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Export:
    """Answer of `export_nir`.

    Attributes
    ----------
    output
        The graph.
    nodes
        How many nodes it has.
    notes
        What other tools do not learn from it, a sentence each.
    """

    output: Path
    nodes: int
    notes: tuple[str, ...]


def import_nir(
    graph: str | Path,
    output: str | Path,
    *,
    options: NirOptions | None = None,
    weight_bits: int = 8,
    data: str | Path | None = None,
    limit: int | None = None,
    progress: Progress = silent,
) -> Import:
    """Make a network file of a NIR graph, which spikes already, so that only rounding is left.

    Parameters
    ----------
    graph
        A ``.nir`` file.
    output
        The ``.snn`` file to write.
    options
        What the graph does not say; needed unless `export_nir` wrote it. With ``data`` of events
        the number of timesteps and the range of the input default to those of the data.
    weight_bits
        2..8: bits of one weight where the graph's numbers have to be rounded.
    data, limit
        Test images to classify, as `pysnn_hw.data.load_dataset` takes them; how many at most.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        If the graph is unusable or ambiguous, or does not suit the data.
    """
    options = options or NirOptions()
    dataset = None if data is None else load_dataset(data)
    if dataset is not None and not is_ours(graph):
        options = _suited(options, dataset)
    progress("import", 0, 1)
    net = read_nir(graph, options)
    progress("import", 1, 1)
    fixed, exact = _integers(net, weight_bits)
    save(fixed, output)
    images, accuracy = None, None
    if dataset is not None:
        x, y = dataset.x_test[:limit], dataset.y_test[:limit]
        found = simulate(fixed, x, progress=lambda done, n: progress("golden simulation", done, n))
        images, accuracy = len(y), float(np.mean(found.classes == y))
    return Import(
        Path(output),
        fixed.timesteps,
        sum(p.size for p in fixed.populations),
        sum(p.weight.size for p in fixed.projections),
        exact,
        images,
        accuracy,
        tuple(map(str, fixed.provenance.get("warnings", ()))),
    )


def export_nir(
    network: str | Path,
    output: str | Path,
    *,
    dt: float = 1.0,
    pooling: Pooling = "sum",
    extensions: bool = False,
) -> Export:
    """Write a network file as a NIR graph; `import_nir` gives the same network back, bit by bit.

    Parameters
    ----------
    network
        A ``.snn`` file.
    output
        The ``.nir`` file to write.
    dt, pooling, extensions
        See `pysnn_hw.frontend.nir_export.write_nir`.

    Raises
    ------
    PysnnError
        If the file is unusable, or NIR cannot express the network.
    """
    written = write_nir(load(network), output, dt=dt, pooling=pooling, extensions=extensions)
    return Export(Path(output), written.nodes, written.notes)


def _integers(net: SnnNetwork, weight_bits: int) -> tuple[FixedNetwork, bool]:
    if isinstance(net, FixedNetwork):
        return net, True
    exact = as_integers(net, weight_bits)
    return (quantize(net, weight_bits), False) if exact is None else (exact, True)


def _suited(options: NirOptions, dataset: Dataset) -> NirOptions:
    """``options``, completed by what the data say."""
    x = dataset.x_test
    if options.encoding != "events":
        return options
    if x.ndim != 5:
        problem = f"holds images of shape {x.shape[1:]}, not events (T, C, H, W)"
        raise DataError(dataset.name, problem, "give encoding constant")
    parts = [x] if dataset.x_train is None else [x, dataset.x_train]
    largest = max(int(part.max()) for part in parts)
    return replace(
        options,
        timesteps=x.shape[1] if options.timesteps is None else options.timesteps,
        minimum=min(options.minimum, *(int(part.min()) for part in parts)),
        maximum=max(1, largest) if options.maximum is None else options.maximum,
    )
