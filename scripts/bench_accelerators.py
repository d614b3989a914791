# SPDX-License-Identifier: BSD-2-Clause
"""Our MNIST accelerators beside published ones: cycles, cells, accuracy, measured alike.

    python scripts/bench_accelerators.py --folder peers --json peers.json --markdown peers.md

Two bundled networks are converted, planned and measured: accuracy by golden, cycles by Verilator,
cells of a 7-series Xilinx by yosys; of the fully connected one also cells of an ECP5 by nextpnr and
the clock of a bitstream for the ULX3S-85F (`--no-place` leaves that out: about ten minutes).
Beside them stand the figures of ``peers.toml``, and what a dense array of as many lanes would do.
Every row says what its figures rest on; docs/peers.md explains the columns. What is in the folder
is not measured again.
The exit status is 1 if a target is missed or hardware differs from golden.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from designs import CASES, Measured, measure
from peers import Peer, Placed, load_peers
from rich.console import Console
from rich.table import Table

from pysnn_hw.cli.console import working
from pysnn_hw.errors import PysnnError
from pysnn_hw.pipeline.files import write_json, write_text

COMMON_CLOCK_MHZ = 100.0
"""Clock at which images per second are compared."""


Model = StrEnum("Model", [case.model for case in CASES])


@dataclass(frozen=True)
class Row:
    """One line of the large table; what is not known is None.

    Attributes
    ----------
    basis
        What cycles and cells rest on.
    lut_is
        Kind of the look-up tables, and who counted them.
    sop_per_cycle_lane
        Synaptic operations (those with a spike) per cycle and lane.
    """

    name: str
    network: str
    spiking: bool
    basis: str
    accuracy: float | None = None
    cycles: float | None = None
    lut: int | None = None
    lut_is: str = ""
    bram36: float | None = None
    dsp: int | None = None
    sop_per_cycle_lane: float | None = None
    source: str = ""

    @property
    def per_klut(self) -> float | None:
        """Images per second and 1,000 LUTs at the common clock."""
        if self.cycles is None or self.lut is None:
            return None
        return COMMON_CLOCK_MHZ * 1e6 / self.cycles / (self.lut / 1000)


@dataclass(frozen=True)
class PlacedRow:
    """One line of the table of placed designs; ``cells`` are TRELLIS_COMB."""

    name: str
    basis: str
    accuracy: float
    cycles: float
    cells: int
    bram: int
    dsp: int | None
    clock_mhz: float | None
    tool: str

    @property
    def per_kcell(self) -> float:
        """Images per second and 1,000 cells at the common clock."""
        return COMMON_CLOCK_MHZ * 1e6 / self.cycles / (self.cells / 1000)

    @property
    def per_kcell_own_clock(self) -> float | None:
        """The same at the design's own clock."""
        return self.clock_mhz and self.per_kcell * self.clock_mhz / COMMON_CLOCK_MHZ


@dataclass(frozen=True)
class Target:
    """What a figure must be: at least, or at most."""

    what: str
    value: float
    bound: float
    least: bool

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.least else self.value <= self.bound


def own_rows(found: Measured) -> list[Row]:
    """A design, the same without skipping of zeros, and a dense array of as many lanes."""
    golden, cycles = found.golden, float(found.rtl["cycles"])
    xilinx = found.xilinx
    cells = {
        "lut": xilinx["lut"],
        "lut_is": f"LUT6, {xilinx['tool']}",
        "bram36": xilinx["bram36"],
        "dsp": xilinx["dsp"],
    }
    macs, dense = golden["dense_macs"], float(found.dense["cycles"])
    common = {"network": found.case.network, "accuracy": golden["accuracy"]}
    return [
        Row(
            f"pysnn_hw {found.case.model}",
            spiking=True,
            basis="measured",
            cycles=cycles,
            sop_per_cycle_lane=golden["sops"] / cycles / found.lanes,
            **common,
            **cells,
        ),
        Row(
            f"pysnn_hw {found.case.model}, no value is zero",
            spiking=False,
            basis="cycles of the same cores by the timing model, cells measured",
            cycles=dense,
            sop_per_cycle_lane=macs / dense / found.lanes,
            **common,
            **cells,
        ),
        Row(
            f"dense array, {found.lanes} lanes, {found.case.model}",
            spiking=False,
            basis="computed: multiply-accumulates / lanes, all busy in every cycle",
            cycles=macs / found.lanes,
            sop_per_cycle_lane=1.0,
            **common,
        ),
        Row(
            f"dense pipeline, the same lanes per layer, {found.case.model}",
            spiking=False,
            basis="computed: the slowest layer's multiply-accumulates / its lanes",
            cycles=max(work / lanes for work, lanes in found.macs),
            sop_per_cycle_lane=macs / max(work / lanes for work, lanes in found.macs) / found.lanes,
            **common,
        ),
    ]


def peer_row(peer: Peer) -> Row:
    """A row of ``peers.toml``."""
    basis = peer.basis + (f" ({', '.join(peer.derived)}: arithmetic)" if peer.derived else "")
    return Row(
        name=peer.name,
        network=peer.network,
        spiking=peer.spiking,
        basis=basis,
        accuracy=peer.accuracy,
        cycles=peer.cycles,
        lut=peer.lut,
        lut_is=", ".join(part for part in (peer.lut_is, peer.tool if peer.lut else "") if part),
        bram36=peer.bram36,
        dsp=peer.dsp,
        sop_per_cycle_lane=peer.sop_per_cycle_lane,
        source=peer.source,
    )


def placed_rows(found: Measured) -> list[PlacedRow]:
    """A design alone, and the whole chip if it was built; none if it is not placed."""
    if not found.alone:
        return []
    name, cycles = f"pysnn_hw {found.case.model}", float(found.rtl["cycles"])
    accuracy, alone, board = found.golden["accuracy"], found.alone, found.board
    clock = board.get("clock_mhz")
    rows = [
        PlacedRow(
            f"{name}, accelerator alone",
            "measured" + (", clock of the whole chip" if clock else ""),
            *(accuracy, cycles, alone["cells"], alone["bram"], alone["dsp"], clock, alone["tool"]),
        )
    ]
    if board:
        used = (board["cells"], board["bram"], board["dsp"])
        rows.append(
            PlacedRow(
                f"{name}, whole chip with UART link and clocks",
                "measured",
                *(accuracy, cycles, *used, clock, board["tool"]),
            )
        )
    return rows


def placed_peer(peer: Placed) -> PlacedRow:
    """A row of ``peers.toml``."""
    return PlacedRow(
        peer.name,
        peer.basis,
        *(peer.accuracy, peer.cycles, peer.cells, peer.bram, None, peer.clock_mhz, peer.tool),
    )


def targets(found: Measured, spiker: Placed) -> list[Target]:
    """What the fully connected design must reach against Spiker+, the whole chip counted."""
    golden, cycles = found.golden, float(found.rtl["cycles"])
    goals = [
        Target("accuracy, %", golden["accuracy"], 97.5, least=True),
        Target("cycles per image", cycles, 1500, least=False),
    ]
    if not found.board:
        return goals
    cells, clock = found.board["cells"], found.board["clock_mhz"]
    gain = spiker.cycles * spiker.cells / (cycles * cells)
    return [
        *goals,
        Target("TRELLIS_COMB, whole chip", cells, spiker.cells // 3, least=False),
        Target("clock, MHz", clock, 100, least=True),
        Target("images/s per cell against Spiker+, one clock", gain, 150, least=True),
        Target(
            "images/s per cell against Spiker+, own clocks",
            gain * clock / spiker.clock_mhz,
            350,
            least=True,
        ),
    ]


Cells = list[str]


def large_table(rows: Sequence[Row]) -> tuple[Cells, list[Cells]]:
    """Heading and lines of all accelerators."""
    heading = ["design", "network", "spikes", "accuracy, %", "cycles per image", "LUT", "LUTs are"]
    heading += ["RAMB36", "DSP", f"images/s per kLUT at {COMMON_CLOCK_MHZ:.0f} MHz"]
    heading += ["SOP per cycle and lane", "basis"]
    lines = [
        [
            *(row.name, row.network, "yes" if row.spiking else "no"),
            *(_number(row.accuracy, 2), _number(row.cycles), _number(row.lut), row.lut_is or "-"),
            *(_number(row.bram36, 1), _number(row.dsp), _number(row.per_klut)),
            *(_number(row.sop_per_cycle_lane, 2), row.basis),
        ]
        for row in rows
    ]
    return heading, lines


def placed_table(rows: Sequence[PlacedRow]) -> tuple[Cells, list[Cells]]:
    """Heading and lines of what was placed on an ECP5."""
    heading = ["design", "accuracy, %", "cycles per image", "TRELLIS_COMB", "DP16KD", "MULT18X18D"]
    heading += [
        "MHz",
        f"images/s per 1,000 cells at {COMMON_CLOCK_MHZ:.0f} MHz",
        "at its own clock",
    ]
    heading += ["tools", "basis"]
    lines = [
        [
            *(row.name, _number(row.accuracy, 2), _number(row.cycles), _number(row.cells)),
            *(_number(row.bram), _number(row.dsp), _number(row.clock_mhz, 1)),
            *(_number(row.per_kcell), _number(row.per_kcell_own_clock), row.tool, row.basis),
        ]
        for row in rows
    ]
    return heading, lines


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def verdicts(designs: Sequence[Measured], rows: Sequence[Row]) -> list[str]:
    """Whether skipping zeros pays, and who is ahead."""
    said = []
    for found in designs:
        cycles, dense = float(found.rtl["cycles"]), found.golden["dense_macs"] / found.lanes
        word = "pays" if cycles < dense else "does not pay"
        said.append(
            f"{found.case.model}: skipping zeros {word}: {cycles:,.0f} cycles against "
            f"{found.dense['cycles']:,.0f} of the same cores without and {dense:,.0f} computed "
            f"for a dense array of {found.lanes} lanes ({dense / cycles:.1f} times)"
        )
        ahead = [
            row.name
            for row in rows
            if row.cycles is not None and row.cycles < cycles and not row.name.startswith("pysnn")
        ]
        said.append(f"{found.case.model}: fewer cycles per image: {', '.join(ahead) or 'none'}")
    return said


def as_markdown(title: str, heading: Cells, lines: Sequence[Cells]) -> str:
    """A table for a page."""
    rule = ["---"] * len(heading)
    body = "\n".join("| " + " | ".join(cells) + " |" for cells in (heading, rule, *lines))
    return f"## {title}\n\n{body}\n"


def as_table(title: str, heading: Cells, lines: Sequence[Cells]) -> Table:
    """A table for the terminal."""
    found = Table(title=title, show_lines=True)
    for name in heading:
        found.add_column(name, overflow="fold")
    for line in lines:
        found.add_row(*line)
    return found


def main(
    folder: Annotated[Path, typer.Option(help="Where designs and figures are kept.")],
    images: Annotated[int, typer.Option(min=1, help="Test images for golden.")] = 10_000,
    simulated: Annotated[int, typer.Option(min=2, help="Test images for Verilator.")] = 10_000,
    place: Annotated[bool, typer.Option(help="Also place and route for the ULX3S-85F.")] = True,
    only: Annotated[Model | None, typer.Option(help="Only this network of ours.")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write figures.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Where to write the tables.")] = None,
) -> None:
    """Measure our accelerators and set them beside published ones.

    Example: python scripts/bench_accelerators.py --folder peers --markdown peers.md
    """
    console = Console(width=None if sys.stdout.isatty() else 240)
    try:
        peers = load_peers()
        with working() as progress:
            designs = [
                measure(case, folder / case.model, images, simulated, place, progress)
                for case in CASES
                if only in (None, case.model)
            ]
    except PysnnError as error:
        console.print(str(error), markup=False)
        raise typer.Exit(2) from error
    rows = [row for found in designs for row in own_rows(found)] + [*map(peer_row, peers.peer)]
    placed = [row for found in designs for row in placed_rows(found)]
    placed += map(placed_peer, peers.placed)
    goals = [
        goal for found in designs if found.case.placed for goal in targets(found, peers.placed[0])
    ]
    tables = (
        ("MNIST accelerators: the basis of each row is in its last column", *large_table(rows)),
        ("On one ECP5-85F-6", *placed_table(placed)),
    )
    for table in tables:
        console.print(as_table(*table))
    for text in verdicts(designs, rows):
        console.print(text, markup=False)
    for goal in goals:
        bound = f"at {'least' if goal.least else 'most'} {goal.bound:,g}"
        console.print(f"{'met' if goal.met else 'MISSED'}: {goal.what}: {goal.value:,.1f}, {bound}")
    if markdown is not None:
        sources = "\n".join(f"* {p.name}: {p.source}" for p in (*peers.peer, *peers.placed))
        texts = [as_markdown(*table) for table in tables]
        write_text(markdown, "\n".join([*texts, f"## Sources\n\n{sources}\n"]))
    if output is not None:
        write_json(output, _document(designs, rows, placed, goals))
    equal = not any(found.rtl["mismatches"] for found in designs)
    sys.exit(0 if equal and all(goal.met for goal in goals) else 1)


def _document(
    designs: Sequence[Measured],
    rows: Sequence[Row],
    placed: Sequence[PlacedRow],
    goals: Sequence[Target],
) -> dict[str, Any]:
    return {
        "designs": [asdict(found) for found in designs],
        "rows": [{**asdict(row), "per_klut": row.per_klut} for row in rows],
        "placed": [
            {
                **asdict(row),
                "per_kcell": row.per_kcell,
                "per_kcell_own_clock": row.per_kcell_own_clock,
            }
            for row in placed
        ],
        "targets": [{**asdict(goal), "met": goal.met} for goal in goals],
    }


if __name__ == "__main__":
    typer.run(main)
