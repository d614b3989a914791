# SPDX-License-Identifier: BSD-2-Clause
"""What the papers say is better than what, tried on one network and the same images.

    python scripts/bench_orderings.py --shared ../shared --json orderings.json

``--shared`` holds ``models`` and ``data`` (see its README files). The network is ResNet20 on
CIFAR-10, trained elsewhere; calibration sees training images only. Each row names two conversions
that differ in one thing; the first must be better by at least the margin, and the exit status is 1
if one is not. Fine-tuning through time has a script of its own, ``bench_hybrid.py``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from cifar10 import load_cifar10
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pysnn_hw.convert import Preprocessing, convert
from pysnn_hw.convert.float_sim import classify_float
from pysnn_hw.frontend import import_model
from pysnn_hw.ir.ann import AnnGraph
from pysnn_hw.ir.ann_nodes import BatchNorm, Conv2d

BATCH = 200
CALIBRATION_IMAGES = 1000
PREPROCESSING = Preprocessing(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SMALL = 1e-2
"""Factor on the values that batch normalisation sees, so that its epsilon matters."""
KERAS_EPSILON = 1e-3
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Relation:
    """``better`` beats ``worse`` by at least ``margin`` points; the rest they have in common."""

    name: str
    better: Options
    worse: Options
    common: Options
    margin: float = 0.5
    graphs: tuple[str, str] = field(default=("model", "model"))


BINARY = {"timesteps": 16, "levels": 1}
FAST = {"timesteps": 8, "levels": 1, "bias_correction": False}
RELATIONS = (
    Relation("soft reset > hard reset", {"reset": "soft"}, {"reset": "hard"}, BINARY),
    Relation(
        "percentile > max, short T",
        {"calibration": "percentile"},
        {"calibration": "max"},
        {**BINARY, "per_channel": False},
    ),
    Relation(
        "constant > Bernoulli input",
        {"encoding": "constant"},
        {"encoding": "bernoulli"},
        BINARY,
    ),
    Relation(
        "TRE, tau = 0.5 > floor",
        {"tau": 0.5},
        {"tau": 0.0},
        {"method": "ecc", "timesteps": 1, "levels": 5, "bias_correction": False},
    ),
    Relation(
        "right epsilon > wrong epsilon",
        {},
        {},
        {"method": "ecc", "timesteps": 1, "levels": 5, "bias_correction": False},
        graphs=("small values", "small values, wrong epsilon"),
    ),
    Relation("signed > plain", {"method": "signed"}, {"method": "rate"}, FAST),
    Relation("SRP > plain", {"method": "srp"}, {"method": "rate"}, FAST),
    Relation("COS > plain", {"method": "cos"}, {"method": "rate"}, FAST),
)


def main(
    shared: Annotated[Path, typer.Option(help="Folder with models and data.")],
    only: Annotated[str | None, typer.Option(help="Relations whose name holds this.")] = None,
    limit: Annotated[int, typer.Option(help="Test images to use.")] = 1000,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write the table.")] = None,
) -> None:
    """Print the table and write it as JSON."""
    console = Console(width=120)
    data = load_cifar10(shared / "data" / "cifar10")
    images, labels = data.x_test[:limit], data.y_test[:limit]
    train = data.x_train[:CALIBRATION_IMAGES]
    model = shared / "models" / "resnet20_cifar10" / "resnet20.py"
    graph = import_model(f"{model}:build", (3, 32, 32)).graph
    graphs = {
        "model": graph,
        "small values": with_small_values(graph, SMALL),
        "small values, wrong epsilon": with_epsilon(with_small_values(graph, SMALL), KERAS_EPSILON),
    }
    known: dict[str, float] = {}

    def accuracy(name: str, options: Options) -> float:
        key = json.dumps([name, options], sort_keys=True)
        if key not in known:
            net = convert(graphs[name], train, preprocessing=PREPROCESSING, **options)
            starts = track(range(0, len(images), BATCH), str(dict(options)), transient=True)
            found = [classify_float(net, images[k : k + BATCH]) for k in starts]
            known[key] = float(100 * (np.concatenate(found) == labels).mean())
        return known[key]

    rows = []
    for relation in RELATIONS:
        if only is not None and only not in relation.name:
            continue
        started = time.perf_counter()
        better = accuracy(relation.graphs[0], {**relation.common, **relation.better})
        worse = accuracy(relation.graphs[1], {**relation.common, **relation.worse})
        seconds = time.perf_counter() - started
        holds = better - worse >= relation.margin
        rows.append({**asdict(relation), "first": better, "second": worse, "holds": holds})
        console.print(f"{relation.name}: {better:.2f} against {worse:.2f} % ({seconds:.0f} s)")
    console.print(_table(rows, len(images)))
    if output is not None:
        output.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(0 if all(row["holds"] for row in rows) else 1)


def with_small_values(graph: AnnGraph, factor: float) -> AnnGraph:
    """The same function, with convolutions that give ``factor`` times what they gave.

    The batch normalisation behind undoes it, its epsilon unchanged (and so the larger beside a
    variance that is ``factor**2`` times what it was).
    """
    nodes = []
    for node in graph.nodes:
        if isinstance(node, BatchNorm):
            producer = graph.producer(node)
            if isinstance(producer, Conv2d):
                var = (node.var + node.eps) * factor**2 - node.eps
                node = replace(node, mean=node.mean * factor, var=np.maximum(var, 0.0))
        elif isinstance(node, Conv2d) and any(
            isinstance(reader, BatchNorm) for reader in graph.consumers(node.name)
        ):
            bias = None if node.bias is None else node.bias * factor
            node = replace(node, weight=node.weight * factor, bias=bias)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def with_epsilon(graph: AnnGraph, epsilon: float) -> AnnGraph:
    """``graph`` whose batch normalisations have another epsilon than they were trained with."""
    nodes = tuple(replace(n, eps=epsilon) if isinstance(n, BatchNorm) else n for n in graph.nodes)
    return replace(graph, nodes=nodes)


def _table(rows: list[dict[str, Any]], images: int) -> Table:
    found = Table(
        "relation", "first %", "second %", "margin, points", "holds", title=f"{images:,} images"
    )
    for row in rows:
        difference = row["first"] - row["second"]
        figures = (f"{row['first']:.2f}", f"{row['second']:.2f}", f"{difference:+.2f}")
        found.add_row(row["name"], *figures, "yes" if row["holds"] else "no")
    return found


if __name__ == "__main__":
    typer.run(main)
