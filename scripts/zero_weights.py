# SPDX-License-Identifier: BSD-2-Clause
"""How many memory words hold nothing but zero weights, and so could be skipped, by lanes.

    python scripts/zero_weights.py network.snn other.snn --json zeros.json

A word holds the weights of as many consecutive output channels as a core has lanes; it can only be
skipped if all of them are zero. Prints, for each projection with weights, the share of such words
at 1, 2, 4, 8 and 16 lanes; where the channels do not divide, the last word is filled up with zeros.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from pysnn_hw.ir.file import load
from pysnn_hw.ir.snn import Array

LANES = (1, 2, 4, 8, 16)


def zero_words(weight: Array, lanes: int) -> float:
    """Share of words without a weight other than 0; ``weight`` is (channels out, ...)."""
    rows = (weight.reshape(len(weight), -1) != 0).astype(np.uint8)
    filled = np.pad(rows, ((0, -len(rows) % lanes), (0, 0)))
    return float((filled.reshape(-1, lanes, rows.shape[1]).max(1) == 0).mean())


def main(
    networks: Annotated[list[Path], typer.Argument(help="Network files.")],
    output: Annotated[Path | None, typer.Option("--json", help="Where to write figures.")] = None,
) -> None:
    """Print a table per network and write the figures as JSON."""
    console, found = Console(width=100), {}
    for file in networks:
        net = load(file)
        shares = {
            p.name: [zero_words(p.weight, lanes) for lanes in LANES]
            for p in net.projections
            if p.kind != "identity"
        }
        table = Table("projection", *(f"{n} lanes" if n > 1 else "1 lane" for n in LANES))
        for name, row in shares.items():
            table.add_row(name, *(f"{100 * share:.1f} %" for share in row))
        console.print(file.name, table)
        found[file.name] = {"lanes": LANES, "shares": shares}
    if output is not None:
        output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
