# SPDX-License-Identifier: BSD-2-Clause
"""Small designs synthesised, placed and routed: what the planner's models are fitted to.

    python scripts/sweep_costs.py run --folder sweep
    python scripts/sweep_costs.py add --network net.snn --schedule schedule.json \
        --board ulx3s-85f --report build/accelerator.seed1.report.json --name mnist_cnn
    python scripts/sweep_costs.py fit

``run`` builds the cases below (minutes each; one whose report lies in the folder is not built
again), ``add`` takes a design that was built elsewhere. Both write what was measured, beside what
the planner's formulas say of it, to ``scripts/sweep.json``. ``fit`` makes the planner's
clock model of that, ``pysnn_hw/bundled/clock_model.json``, and prints how far each design is from
it, also with itself left out of the fit.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from pysnn_hw.build import build_accelerator
from pysnn_hw.build.families import FAMILIES
from pysnn_hw.build.reports import Report, read_report
from pysnn_hw.cli.console import working
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.ir.file import load
from pysnn_hw.ir.snn import INPUT, FixedNetwork, Input, Pool, Population, Projection
from pysnn_hw.pipeline.files import write_json
from pysnn_hw.plan import CorePlan, Schedule, load_board, simple_schedule
from pysnn_hw.plan.board import Board
from pysnn_hw.plan.budget import total_cost
from pysnn_hw.plan.clock import (
    FACTORS,
    ClockFeatures,
    ClockModel,
    clock_features,
    speed_class,
)
from pysnn_hw.plan.schedule import InputPort, LaneKind
from pysnn_hw.resources import resource_dir

ROWS = Path(__file__).with_name("sweep.json")
ALONE = 0.2
"""Band of a class of which one design was built, so that nothing is known of its spread."""
PULL = 0.15
"""How strongly factors of the clock model are drawn to zero."""
app = typer.Typer(add_completion=False, help=__doc__)


@dataclass(frozen=True)
class Case:
    """A design: 1-C-P2-2C-P2-10 on 12 x 12 pixels, one core each, or blocks on a shared one.

    ``shared``: an entry, two residual blocks of C channels on one core of so many banks, and a
    readout, in place of the chain.
    """

    board: str
    channels: int
    lanes: int
    lane_kind: LaneKind = "lut"
    banked: bool = False
    levels: int = 4
    weight_bits: int = 6
    shared: int = 0

    @property
    def name(self) -> str:
        """What its folder is called."""
        return "_".join(str(value) for value in asdict(self).values())


CASES = (
    Case("ulx3s-12f", 8, 4),
    Case("ulx3s-12f", 8, 2, banked=True),
    Case("hx8k", 8, 2, "shift", levels=3, weight_bits=4),
    Case("icebreaker", 8, 2, "shift", levels=3, weight_bits=4),
    Case("ulx3s-12f", 8, 8, shared=3),
    Case("orangecrab", 8, 4),
    Case("ulx3s-12f", 16, 8, "dsp", levels=4, weight_bits=8),
    Case("hx8k", 8, 4, "add", levels=1, weight_bits=4),
    Case("icebreaker", 4, 2, "dsp", levels=4, weight_bits=8),
    Case("ulx3s-12f", 16, 16, "add", levels=1, weight_bits=8),
    Case("hx8k", 8, 2, "lut", levels=2, weight_bits=4),
    Case("ulx3s-12f", 16, 4, "shift", levels=4, weight_bits=4),
    Case("orangecrab", 16, 8, shared=1),
    Case("ulx3s-12f", 8, 4, "add", levels=1, weight_bits=4, banked=True),
)


def network(case: Case) -> FixedNetwork:
    """Random weights of the case's widths; the thresholds suit nothing, which costs the same."""
    rng = np.random.default_rng(case.channels + case.levels)
    limit = (1 << (case.weight_bits - 1)) - 1
    spike_max, pool = (1 << case.levels) - 1, Pool("sum", (2, 2), (2, 2))
    net = FixedNetwork(1, Input((1, 12, 12), (0,)), (), ())

    def weights(*shape: int) -> np.ndarray:
        drawn = rng.integers(-limit, limit + 1, shape)
        drawn.flat[0] = -limit
        return drawn

    def fire(net: FixedNetwork, name: str, *into: Projection) -> FixedNetwork:
        shape = into[0].as_conv(net.shape_of(into[0].source)).out_shape
        reach = int(max(np.abs(p.weight).sum(axis=-1).max() for p in into))
        threshold = rng.integers(reach // 2 + 1, reach + 2, shape[0])
        bias = rng.integers(-reach, reach + 1, shape[0])
        far = 1 << 30
        added = Population(
            name, "fire", shape, bias, threshold, threshold // 2, spike_max, -far, far
        )
        return replace(
            net,
            populations=(*net.populations, added),
            projections=(*net.projections, *into),
        )

    def conv(source: str, target: str, channels: int, pool: Pool | None = None) -> Projection:
        weight = weights(channels, net.shape_of(source)[0], 3, 3)
        return Projection(
            f"{source}_{target}", source, target, "conv2d", weight, (1, 1), (1,) * 4, pool=pool
        )

    net = fire(net, "n0", conv(INPUT, "n0", case.channels))
    last = "n0"
    if case.shared:
        for k in (1, 3):
            a, b = f"n{k}", f"n{k + 1}"
            net = fire(net, a, conv(last, a, case.channels))
            factor = rng.integers(1, limit + 1, case.channels)
            skip = Projection(f"{last}_{b}_skip", last, b, "identity", factor)
            net = fire(net, b, conv(a, b, case.channels), skip)
            last = b
    else:
        net = fire(net, "n1", conv("n0", "n1", 2 * case.channels, pool))
        last = "n1"
    c, h, w = pool.out_shape(net.shape_of(last))
    readout = Projection("scores", last, "readout", "linear", weights(10, c * h * w), pool=pool)
    zero = np.zeros(1, np.int64)
    scores = Population("readout", "readout", (10, 1, 1), zero, zero[:0], zero, 0)
    return replace(
        net,
        populations=(*net.populations, scores),
        projections=(*net.projections, readout),
    )


def schedule(case: Case, net: FixedNetwork, board: Board) -> Schedule:
    """Its cores."""
    depth = 130 if board.device.family == "ice40" else 514
    simple = simple_schedule(net, lanes=case.lanes, banked=False, lane_kind=case.lane_kind)
    banked = simple_schedule(net, lanes=case.lanes, banked=case.banked, lane_kind=case.lane_kind)
    # A readout has one position: banks would only copy it.
    cores = [*banked.cores[:-1], simple.cores[-1]]
    cores = [
        replace(core, inputs=tuple(InputPort(i.projection, depth) for i in core.inputs))
        for core in cores
    ]
    if case.shared:
        inside = tuple(name for core in cores[1:-1] for name in core.populations)
        together = CorePlan(inside, (), case.lanes, (1, case.shared), case.lane_kind)
        cores = [cores[0], together, cores[-1]]
    return Schedule(tuple(cores), board.device.family)


@app.command()
def run(
    folder: Annotated[Path, typer.Option(help="Where designs go.")],
    only: Annotated[str | None, typer.Option(help="Only this board.")] = None,
) -> None:
    """Build the cases that are not in the folder yet."""
    for case in CASES:
        if only not in (None, case.board):
            continue
        board, net = load_board(case.board), network(case)
        chosen, place = schedule(case, net, board), folder / case.name
        report = place / "accelerator.seed1.report.json"
        if not report.is_file():
            # One try of the placer: a model of the typical clock, not of the luckiest.
            clock = board.clock.model_copy(update={"enough_hz": 1})
            target = board.model_copy(update={"clock": clock})
            place.mkdir(parents=True, exist_ok=True)
            with working() as progress:
                progress(f"build {case.name}", 0, 0)
                build_accelerator(Accelerator(net, chosen), target, place)
        _keep(_row(case.name, net, chosen, board, read_report(report)))


@app.command()
def add(
    name: Annotated[str, typer.Option(help="What to call it.")],
    network: Annotated[Path, typer.Option(help="A .snn file.")],
    schedule: Annotated[Path, typer.Option(help="Its schedule.")],
    board: Annotated[str, typer.Option(help="Its board.")],
    report: Annotated[Path, typer.Option(help="What nextpnr says of it.")],
) -> None:
    """Take a design that was built elsewhere."""
    chosen = Schedule.from_json(json.loads(schedule.read_text(encoding="utf-8")))
    _keep(_row(name, load(network), chosen, load_board(board), read_report(report)))


@app.command()
def fit(
    check: Annotated[bool, typer.Option(help="Fail if a design is off by more than 15 %.")] = False,
) -> None:
    """Make the planner's clock model of what is known; print how far each design is from it."""
    rows = json.loads(ROWS.read_text(encoding="utf-8"))
    model = fitted(rows)
    errors = [_unseen(rows, k) for k in range(len(rows))]
    by_class: dict[str, list[float]] = {}
    for row, error in zip(rows, errors, strict=True):
        by_class.setdefault(row["class"], []).append(error)
    bands = {
        name: ALONE if np.isnan(found).all() else round(float(np.nanmax(np.abs(found))), 4)
        for name, found in by_class.items()
    }
    counts = {name: len(found) for name, found in by_class.items()}
    model = model.model_copy(update={"error": bands, "designs": counts})
    write_json(resource_dir("bundled") / "clock_model.json", model.model_dump())
    table = Table("design", "board", "built MHz", "fitted", "unseen", "LUT", "block RAM", "DSP")
    worst = 0.0
    for row, error in zip(rows, errors, strict=True):
        mhz = 1e3 / model.period(row["class"], ClockFeatures(**row["features"]))
        pairs = [(row["formula"][k], row["measured"][k]) for k in ("lut", "bram", "dsp")]
        worst = max(worst, abs(mhz / row["fmax_mhz"] - 1))
        table.add_row(
            *(row["name"], row["board"], f"{row['fmax_mhz']:.1f}"),
            f"{mhz:.1f} ({100 * (mhz / row['fmax_mhz'] - 1):+.1f} %)",
            "-" if np.isnan(error) else f"{100 * error:+.1f} %",
            *(f"{a:,.0f} / {b:,}" for a, b in pairs),
        )
    Console(width=150).print(table)
    if check and worst > 0.15:
        raise typer.Exit(1)


def fitted(rows: list[dict[str, Any]], pull: float = PULL) -> ClockModel:
    """Least squares in the logarithm of the period; factors are drawn to zero and not below it.

    With few designs, what they do not tell apart must not be made up: hence the pull to zero. No
    factor makes a design faster by having more of something, so those that would are left out.
    """
    classes = sorted({row["class"] for row in rows})
    terms = np.array([ClockFeatures(**row["features"]).terms() for row in rows])
    member = np.array([[row["class"] == name for name in classes] for row in rows], float)
    target = np.log([1e3 / row["fmax_mhz"] for row in rows])
    used = list(range(len(FACTORS)))
    while True:
        drawn = np.hstack([np.zeros((len(used), len(classes))), np.eye(len(used)) * pull])
        matrix = np.vstack([np.hstack([member, terms[:, used]]), drawn])
        found = np.linalg.lstsq(matrix, np.append(target, np.zeros(len(used))), rcond=None)[0]
        slopes = found[len(classes) :]
        if (slopes >= 0).all():
            break
        used.remove(used[int(slopes.argmin())])
    factors = dict.fromkeys(FACTORS, 0.0)
    factors |= {FACTORS[k]: round(float(slope), 4) for k, slope in zip(used, slopes, strict=True)}
    periods = {name: round(float(np.exp(found[k])), 3) for k, name in enumerate(classes)}
    return ClockModel(period_ns=periods, factors=factors, error={})


def _unseen(rows: list[dict[str, Any]], left_out: int) -> float:
    """Relative error of a design that the fit does not see; nan if it is alone in its class."""
    row = rows[left_out]
    others = [r for k, r in enumerate(rows) if k != left_out]
    if all(r["class"] != row["class"] for r in others):
        return float("nan")
    period = fitted(others).period(row["class"], ClockFeatures(**row["features"]))
    return 1e3 / period / row["fmax_mhz"] - 1


def _row(
    name: str, net: FixedNetwork, chosen: Schedule, board: Board, report: Report
) -> dict[str, Any]:
    """What was measured of a design, and what formulas say of it."""
    family, used = FAMILIES[board.device.family], report.utilisation
    blocks = {"bram": family.bram, "spram": family.spram}
    measured = {"lut": report.usage(family.lut).used, "dsp": report.usage(family.dsp).used}
    measured |= {k: used[cell].used if cell in used else 0 for k, cell in blocks.items()}
    features = clock_features(net, chosen, board, measured["lut"])
    cost = total_cost(net, chosen)
    return {
        "name": name,
        "board": board.name,
        "class": speed_class(board.device),
        "measured": measured,
        "formula": {k: getattr(cost, k) for k in measured},
        "features": asdict(features),
        "fmax_mhz": report.fmax_of("clk") * family.believed,
    }


def _keep(row: dict[str, Any]) -> None:
    """Add a row to what is known, in place of one of the same name and board."""
    rows = json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.is_file() else []
    key = (row["name"], row["board"])
    rows = [r for r in rows if (r["name"], r["board"]) != key]
    write_json(ROWS, [*rows, row])
    Console().print(f"{row['name']} on {row['board']}: {row['fmax_mhz']:.1f} MHz")


if __name__ == "__main__":
    app()
