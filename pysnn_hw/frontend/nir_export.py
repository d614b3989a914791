# SPDX-License-Identifier: BSD-2-Clause
"""Networks out as NIR graphs, with what NIR cannot say in the metadata."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.nir_writer import Pooling, Writer
from pysnn_hw.ir.check import check_fixed, check_network
from pysnn_hw.ir.snn import FixedNetwork, SnnNetwork
from pysnn_hw.ir.widths import clamps

EXTENSIONS = "allow extensions: then only this package reads the file as it is meant"


@dataclass(frozen=True)
class NirExport:
    """What was written.

    Attributes
    ----------
    nodes
        How many nodes the graph has.
    notes
        What other tools do not learn from the graph, a sentence each.
    """

    nodes: int
    notes: tuple[str, ...]


def write_nir(
    net: SnnNetwork,
    path: str | Path,
    *,
    dt: float = 1.0,
    pooling: Pooling = "sum",
    extensions: bool = False,
) -> NirExport:
    """Write ``net`` as a ``.nir`` file, atomically.

    `read_nir` gives the same network back, bit by bit.

    Parameters
    ----------
    net, path
        What to write, and where.
    dt
        Length of a timestep that time constants and resistances are written for, in seconds; 1:
        they count in timesteps.
    pooling
        Write pooling as ``SumPool2d``, or as ``AvgPool2d``, which more tools read.
    extensions
        Also write what NIR has no words for (graded or signed spikes, initial membranes, ...): in
        the metadata, where only `read_nir` finds it.

    Raises
    ------
    ModelError
        If NIR cannot express the network; with ``extensions`` only maximum pooling is left of that.
    NetworkError
        If the network is malformed.
    """
    if not (dt > 0 and math.isfinite(dt)):
        raise ModelError("dt", f"{dt!r} is not a positive number")
    if isinstance(net, FixedNetwork):
        check_fixed(net)
    else:
        check_network(net)
    beyond = list(_beyond(net))
    if beyond and not extensions:
        where, what = beyond[0]
        raise ModelError(where, f"{what}, which NIR cannot say", EXTENSIONS)
    writer = Writer(net, dt, pooling)
    graph = writer.graph()
    _save(graph, Path(path))
    notes = [*_unsaid(net), *(f"{where}: {what}" for where, what in beyond)]
    if not writer.checked:
        notes.append("kernels are not square or in groups, so nir.read needs type_check=False")
    return NirExport(len(graph.nodes), tuple(notes))


def _unsaid(net: SnnNetwork) -> Iterator[str]:
    """What NIR leaves to the tool that reads it."""
    fires = [p.neuron for p in net.populations if p.kind == "fire"]
    if any(n.reset == "soft" for n in fires):
        yield "neurons reset by subtraction of their threshold"
    if any(not n.strict for n in fires):
        yield "neurons fire where the threshold is met"
    if net.input.encoding == "bernoulli":
        yield "the input is random events of -1, 0 or 1"
    elif net.input.threshold is not None:
        yield "the input is 1 where the image reaches a threshold, and 0 elsewhere"
    elif any(net.input.zero_point):
        yield "the input is the image minus its zero point"


def _beyond(net: SnnNetwork) -> Iterator[tuple[str, str]]:
    """(where, what) of everything that NIR has no words for."""
    for population in net.populations:
        where = f"population {population.name!r}"
        if population.v_init.any():
            yield where, "starts at a membrane other than 0"
        if population.kind == "readout":
            continue
        if population.neuron.polarity != "positive":
            yield where, "has signed spikes"
        if population.spike_max > 1:
            yield where, f"has spikes of up to {population.spike_max}"
        if isinstance(net, FixedNetwork):
            if population.neuron.leak:
                yield where, "leaks whole numbers"
            if clamps(net, population.name):
                yield where, "clamps its membrane"
    if net.readout.mode == "sampled" or net.readout.margin:
        yield "readout", "samples its classes, or stops early"
    if net.probe is not None:
        yield "probe", "runs twice"


def _save(graph: Any, path: Path) -> None:
    import nir

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        nir.write(temporary, graph)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
