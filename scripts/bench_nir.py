# SPDX-License-Identifier: BSD-2-Clause
"""NIR graphs of other tools against NIR's own equations, and networks of ours in other tools.

    python scripts/bench_nir.py --shared ../shared --json nir.json

``--shared`` holds ``models`` and ``data`` (see its README files). Spikes are compared one by one
with `tests.nir_reference`, which evaluates the nodes of the `nir` package in float64; integers run
in the golden simulator. The exit status is 1 if a figure misses its target. Tools that are not
installed are left out.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import nir
import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pysnn_hw.convert import quantize
from pysnn_hw.data import frames
from pysnn_hw.frontend.nir import NirOptions, read_nir
from pysnn_hw.frontend.nir_export import write_nir
from pysnn_hw.golden import simulate
from pysnn_hw.ir.snn import Array, FixedNetwork, Neuron, SnnNetwork
from tests.nir_reference import run_graph, run_network
from tests.unit.frontend.nir_graphs import plain_network, random_events

BATCH = 5
"""Recordings at a time in float64."""
STEP, STEPS = 1000, 300
"""Timestep in microseconds, and how many of them."""
DT = 1e-4
"""Timestep of the traces of single neurons, in seconds."""
Reset = Literal["soft", "hard"]


@dataclass(frozen=True)
class Row:
    """One figure: ``value`` must be ``at least`` or ``at most`` so much."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None
    compared: int | None = None
    seconds: float = 0.0

    @property
    def met(self) -> bool:
        """Whether the target is."""
        low = -np.inf if self.at_least is None else self.at_least
        high = np.inf if self.at_most is None else self.at_most
        return bool(low <= self.value <= high)


def main(
    shared: Annotated[Path, typer.Option(help="Folder with models and data.")],
    output: Annotated[Path | None, typer.Option("--json", help="File to write.")] = None,
    recordings: Annotated[int, typer.Option(help="Of N-MNIST, at most.", min=1)] = 100,
) -> None:
    """Measure, print the table, and end with status 1 if a target is missed."""
    console, rows = Console(), []
    for measure in (_nmnist, _single_neurons, _other_tools):
        for row in measure(shared, recordings):
            rows.append(row)
            console.print(f"{row.name}: {row.value:g}", highlight=False)
    table = Table("figure", "value", "target", "compared", "s")
    for row in rows:
        target = "" if row.at_least is None else f">= {row.at_least:g}"
        target = target if row.at_most is None else f"<= {row.at_most:g}"
        compared = "" if row.compared is None else f"{row.compared:,}"
        missed = "" if row.met else " missed"
        table.add_row(row.name, f"{row.value:g}", target + missed, compared, f"{row.seconds:.0f}")
    console.print(table)
    if output is not None:
        output.write_text(json.dumps([asdict(row) | {"met": row.met} for row in rows], indent=2))
    raise typer.Exit(0 if all(row.met for row in rows) else 1)


# --- a convolutional network that sinabs trained ---------------------------------------------


def _nmnist(shared: Path, recordings: int) -> Iterator[Row]:
    stored = np.load(shared / "data/nmnist/nmnist_subset.npz")
    fields = {"times": "t", "channels": "p", "rows": "y", "columns": "x", "offsets": "off"}
    events = frames(
        **{name: stored[f"{key}_test"] for name, key in fields.items()},
        step=STEP,
        shape=(STEPS, 2, 34, 34),
    )[:recordings]
    labels = stored["label_test"][:recordings]
    path = shared / "models/nir/02_cnn/cnn_sinabs.nir"
    resets: tuple[tuple[Reset, float], ...] = (("soft", 98.0), ("hard", 100.0))
    for reset, published in resets:
        options = NirOptions(STEPS, reset, False, 1.0, maximum=int(events.max()))
        net = read_nir(path, options)
        yield from _float(path, net, events, labels, reset, published)
        start = time.perf_counter()
        fixed = quantize(net, 8)
        result = simulate(fixed, events, threads=1)
        accuracy = float(100 * (result.classes == labels).mean())
        seconds = time.perf_counter() - start
        name = f"N-MNIST, reset {reset}, 8-bit integers, accuracy %"
        yield Row(name, accuracy, at_least=published - 1, compared=len(labels), seconds=seconds)
        yield _round_trip(fixed, events[:10], f"N-MNIST, reset {reset}")


def _float(
    path: Path, net: SnnNetwork, events: Array, labels: Array, reset: Reset, published: float
) -> Iterator[Row]:
    start, graph = time.perf_counter(), nir.read(path)
    wrong = compared = right = 0
    what = f"NIR equations, reset {reset}"
    for first in track(range(0, len(events), BATCH), what, transient=True):
        part = slice(first, first + BATCH)
        expected = run_graph(graph, events[part], reset=reset, strict=False, dt=1.0)
        found, scores = run_network(net, events[part])
        for name, spikes in found.items():
            wrong += int((spikes.reshape(expected[name].shape) != expected[name]).sum())
            compared += spikes.size
        right += int((scores.argmax(1) == labels[part]).sum())
    seconds = time.perf_counter() - start
    accuracy = 100 * right / len(events)
    name = f"N-MNIST, reset {reset}, float"
    yield Row(f"{name}, spikes that differ", wrong, at_most=0, compared=compared, seconds=seconds)
    yield Row(f"{name}, accuracy %", accuracy, at_least=published, compared=len(events))


def _round_trip(net: FixedNetwork, events: Array, name: str) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.nir"
        write_nir(net, path)
        back = read_nir(path)
    one, two = (simulate(n, events, trace=True, threads=1) for n in (net, back))
    if one.trace is None or two.trace is None:
        raise SystemExit("the simulator kept no trace")
    pairs = [(one.trace.spikes[k], two.trace.spikes[k]) for k in one.trace.spikes]
    wrong = sum(int((a != b).sum()) for a, b in pairs) + int((one.scores != two.scores).sum())
    compared = sum(a.size for a, _ in pairs)
    return Row(f"{name}, written and read again, spikes that differ", wrong, None, 0, compared)


# --- single leaky neurons, and what simulators made of them -----------------------------------


def _single_neurons(shared: Path, _recordings: int) -> Iterator[Row]:
    folder = shared / "models/nir/01_lif"
    trace = np.loadtxt(folder / "lif_norse.csv", delimiter=",")
    given = (trace[:, 0] > 0).astype(np.int64)[None, :, None]
    published = np.flatnonzero(trace[:, 2])
    rng = np.random.default_rng(0)
    busy = (rng.random((8, 4000, 1)) < 0.2).astype(np.int64)
    for name, share in (("lif_norse", 32), ("lif_norse", 16), ("two_lif_neurons", 32)):
        graph = nir.read(folder / f"{name}.nir", type_check=False)
        tau = float(next(n.tau for n in graph.nodes.values() if isinstance(n, nir.LIF))[0])
        dt = tau / share
        options = NirOptions(busy.shape[1], "hard", True, dt)
        net = read_nir(folder / f"{name}.nir", options)
        expected = run_graph(graph, busy, reset="hard", strict=True, dt=dt)
        found, _ = run_network(net, busy[..., None, None])
        wrong = sum(int((s.reshape(busy.shape) != expected[k]).sum()) for k, s in found.items())
        count = sum(s.size for s in found.values())
        spikes = int(sum(s.sum() for s in found.values()))
        what = f"{name}, dt = tau / {share}"
        yield Row(f"{what}, float, spikes that differ (of {spikes})", wrong, None, 0, count)
        result = simulate(quantize(net, 8), busy[..., None, None], trace=True, threads=1)
        if result.trace is not None:
            rate = 100 * sum(int(s.sum()) for s in result.trace.spikes.values()) / spikes
            yield Row(f"{what}, 8-bit integers, spikes in % of the graph's", rate)
    graph = nir.read(folder / "lif_norse.nir")
    spikes_ = run_graph(graph, given, reset="hard", strict=True, dt=DT)["1"]
    differ = len(set(published) ^ set(np.flatnonzero(spikes_)))
    yield Row("lif_norse, NIR equations against the trace of Norse", differ, None, 0, len(given[0]))
    options = NirOptions(len(trace), "hard", True, DT, approximate_leak=True)
    net = read_nir(folder / "lif_norse.nir", options)
    result = simulate(quantize(net, 8), given[..., None, None], trace=True, threads=1)
    if result.trace is not None:
        late = np.flatnonzero(result.trace.spikes["1"])
        what = f"lif_norse, 1/32 for a leak of 1/25, integers, spikes (trace: {len(published)})"
        yield Row(what, len(late))


# --- networks of ours in other tools ---------------------------------------------------------


def _other_tools(_shared: Path, _recordings: int) -> Iterator[Row]:
    """Hard reset, because no tool reads another one from NIR; average pooling, which they know."""
    if importlib.util.find_spec("snntorch"):
        from snntorch.import_nir import import_from_nir as snntorch

        neuron = Neuron(reset="hard", strict=True, leak=3)
        yield _elsewhere("snnTorch, LIF", neuron, lambda path: snntorch(nir.read(path)))
    if importlib.util.find_spec("spikingjelly"):
        from spikingjelly.activation_based.nir_exchange.from_nir import import_from_nir

        for name, leak in (("IF", 0), ("LIF", 3)):
            neuron = Neuron(reset="hard", leak=leak)
            yield _elsewhere(f"SpikingJelly, {name}", neuron, lambda p: import_from_nir(p, dt=DT))


def _elsewhere(name: str, neuron: Neuron, load: Callable[[Path], Any]) -> Row:
    import torch

    net = plain_network(np.random.default_rng(1), neuron, timesteps=100)
    events = random_events(np.random.default_rng(2), 10, 100, 2, 8, 8)
    expected = run_network(net, events)[0]["last"]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "net.nir"
        write_nir(net, path, dt=DT, pooling="average")
        for recording, spikes in zip(events, expected, strict=True):
            model, state = load(path), None
            with torch.inference_mode():
                for step, wanted in zip(recording, spikes, strict=True):
                    values = torch.tensor(step[None], dtype=torch.float32)
                    values = values[0] if name.startswith("snnTorch") else values
                    found, state = model(values, state)
                    wrong += int((found.numpy().ravel() != wanted.ravel()).sum())
    what = f"{name}, spikes that differ (of {int(expected.sum())})"
    return Row(what, wrong, at_most=0, compared=expected.size)


if __name__ == "__main__":
    typer.run(main)
