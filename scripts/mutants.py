# SPDX-License-Identifier: BSD-2-Clause
"""Break the arithmetic on purpose, one mistake at a time, and see which test notices.

    python scripts/mutants.py --json mutants.json

The mistakes are those that conversions and integrate-and-fire hardware are known for. Each is made
in a copy of the tree, in which then the tests named beside it run until one fails: the killer. The
exit status is 1 if a mistake survives. Takes about a minute a mistake.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).parents[1]
FIRST_FAILURE = re.compile(r"^FAILED (.+?)(?: - .*)?$", re.MULTILINE)
FAILED = 1
"""Exit status of pytest when tests ran and one failed; others mean that none could run."""

GOLDEN = ("tests/unit/golden", "tests/property")
CONVERT = ("tests/unit/convert", "tests/property")
HARDWARE = ("tests/cosim/test_configurations.py",)


@dataclass(frozen=True)
class Mutant:
    """One mistake: what stands in a file, exactly once, and what would be wrong instead."""

    mistake: str
    path: str
    right: str
    wrong: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant(
        ">= to > (golden)",
        "pysnn_hw/golden/kernels.py",
        "fires = u >= theta",
        "fires = u > theta",
        GOLDEN,
    ),
    Mutant(
        ">= to > (reference)",
        "pysnn_hw/golden/neuron.py",
        "(charge - neuron.strict) // theta",
        "(charge - 1) // theta",
        GOLDEN,
    ),
    Mutant(
        ">= to > (hardware)",
        "pysnn_hw/hdl/fire.py",
        "rest.eq(state.u - bound), fires.eq(~rest[-1])]",
        "rest.eq(state.u - bound), fires.eq(rest > 0)]",
        ("tests/unit/hdl/test_fire.py",),
    ),
    Mutant(
        "reset to zero (golden)",
        "pysnn_hw/golden/kernels.py",
        "min(max(u - theta if fires else u, low), high)",
        "min(max(0 if fires else u, low), high)",
        GOLDEN,
    ),
    Mutant(
        "reset to zero (hardware)",
        "pysnn_hw/hdl/fire.py",
        "later.u.eq(Mux(fires, rest, state.u))",
        "later.u.eq(Mux(fires, 0, state.u))",
        ("tests/unit/hdl/test_fire.py",),
    ),
    Mutant(
        "v(0) = 0 (conversion)",
        "pysnn_hw/convert/rate.py",
        "theta, tau * theta, spike_max",
        "theta, 0 * theta, spike_max",
        CONVERT,
    ),
    Mutant(
        "v(0) = 0 (golden)",
        "pysnn_hw/golden/kernels.py",
        "_copy(program.v_init, start_from)",
        "start_from[:] = 0",
        GOLDEN,
    ),
    Mutant(
        "bias added once",
        "pysnn_hw/golden/reference.py",
        'u = leaked(run.membranes[name], neuron) + parameter(population, "bias")',
        'u = leaked(run.membranes[name], neuron) + parameter(population, "bias") * (t == 0)',
        GOLDEN,
    ),
    Mutant(
        "bias added T - 1 times",
        "pysnn_hw/golden/reference.py",
        'u = leaked(run.membranes[name], neuron) + parameter(population, "bias")',
        'u = leaked(run.membranes[name], neuron) + parameter(population, "bias") * (t > 0)',
        GOLDEN,
    ),
    Mutant(
        "bias scaled like a weight",
        "pysnn_hw/convert/rate.py",
        "_population(layer, layer.bias + extra[layer.name]",
        "_population(layer, layer.bias * factor[INPUT].mean() + extra[layer.name]",
        CONVERT,
    ),
    Mutant(
        "lambda ratio inverted",
        "pysnn_hw/convert/rate.py",
        "return np.asarray(projection.weight * factor)",
        "return np.asarray(projection.weight / factor)",
        CONVERT,
    ),
    Mutant(
        "epsilon dropped",
        "pysnn_hw/ir/ann_nodes.py",
        "np.sqrt(self.var + self.eps)",
        "np.sqrt(self.var)",
        ("tests/unit/convert/test_fold_batchnorm.py", "tests/unit/ir", "tests/unit/frontend"),
    ),
    Mutant(
        "threshold kappa * m",
        "pysnn_hw/convert/scale.py",
        "threshold=p.threshold * factor",
        "threshold=p.threshold / factor",
        ("tests/unit/convert/test_ecc.py",),
    ),
    Mutant(
        "gate instead of running maximum",
        "pysnn_hw/golden/program.py",
        '"max": MAX_POOL',
        '"max": GATE_POOL',
        GOLDEN,
    ),
    Mutant(
        "zeros counted in the percentile",
        "pysnn_hw/convert/calibrate.py",
        "[row[row != 0] for row in values]",
        "[row for row in values]",
        ("tests/unit/convert",),
    ),
    Mutant(
        "membranes not cleared between images (golden)",
        "pysnn_hw/golden/kernels.py",
        "                _copy(start_from, membrane)\n",
        "                if i == 0:\n                    _copy(start_from, membrane)\n",
        GOLDEN,
    ),
    Mutant(
        "running maxima not cleared between images (golden)",
        "pysnn_hw/golden/kernels.py",
        "                restart = False\n                _copy(start_from, membrane)\n"
        "                _copy(program.state, state)\n",
        "                restart = False\n                _copy(start_from, membrane)\n"
        "                if i == 0:\n                    _copy(program.state, state)\n",
        GOLDEN,
    ),
    Mutant(
        "tie order reversed (golden)",
        "pysnn_hw/golden/result.py",
        "classes: Array = scores.argmax(axis=1)",
        "classes: Array = scores.shape[1] - 1 - scores[:, ::-1].argmax(axis=1)",
        ("tests/unit/golden", "tests/property", "tests/unit/api"),
    ),
    Mutant(
        "tie order reversed (gate)",
        "pysnn_hw/golden/kernels.py",
        "if totals[member] > totals[best]:",
        "if totals[member] >= totals[best]:",
        GOLDEN,
    ),
    Mutant(
        "logical shift in the leak (golden)",
        "pysnn_hw/golden/kernels.py",
        "membrane[j] = v - (v >> shift)",
        "membrane[j] = v - np.int64((v & np.int64(0xFFFFFFFF)) >> shift)",
        GOLDEN,
    ),
    Mutant(
        "logical shift in the leak (reference)",
        "pysnn_hw/golden/neuron.py",
        "membrane - (membrane >> neuron.leak)",
        "membrane - ((membrane & 0xFFFFFFFF) >> neuron.leak)",
        GOLDEN,
    ),
    Mutant(
        "bias added once (hardware)",
        "pysnn_hw/hdl/restore.py",
        "value = Mux(self.restart, start.word[p], self._leaked(self.residue[p]) + added)",
        "value = Mux(self.restart, start.word[p], self._leaked(self.residue[p]))",
        HARDWARE,
    ),
    Mutant(
        "v(0) = 0 (hardware)",
        "pysnn_hw/hdl/spec.py",
        'values = self.population.per_neuron("v_init").astype(np.int64)',
        'values = 0 * self.population.per_neuron("v_init").astype(np.int64)',
        HARDWARE,
    ),
    Mutant(
        "membranes not cleared between images (hardware)",
        "pysnn_hw/hdl/phases.py",
        "self.final.eq(self.marker == EventKind.INFERENCE)",
        "self.final.eq(0)",
        ("tests/unit/hdl/test_phases.py", *HARDWARE),
    ),
    Mutant(
        "tie order reversed (hardware)",
        "pysnn_hw/hdl/readout.py",
        "better.eq(~following | (s2_score > best))",
        "better.eq(~following | (s2_score >= best))",
        ("tests/unit/hdl/test_readout.py",),
    ),
    Mutant(
        "tie order reversed (gate, hardware)",
        "pysnn_hw/hdl/pool.py",
        "with m.If(start | (after[lane] > most[lane])):",
        "with m.If(start | (after[lane] >= most[lane])):",
        ("tests/unit/hdl/test_pool.py",),
    ),
    Mutant(
        "logical shift in the leak (hardware)",
        "pysnn_hw/hdl/restore.py",
        "membrane - (membrane >> shift) if shift else membrane",
        "membrane - (membrane.as_unsigned() >> shift) if shift else membrane",
        HARDWARE,
    ),
    Mutant(
        "a probe silences below zero only (hardware)",
        "pysnn_hw/hdl/verdict.py",
        "self.residue[p] <= 0",
        "self.residue[p] < 0",
        ("tests/unit/hdl/test_verdict.py",),
    ),
    Mutant(
        "a probe shifts what never fired (hardware)",
        "pysnn_hw/hdl/verdict.py",
        "Mux(fired[p], -theta, 0)",
        "-theta",
        ("tests/unit/hdl/test_verdict.py",),
    ),
    Mutant(
        "the upper of two products loses what the lower one borrows",
        "pysnn_hw/hdl/lanes.py",
        "raised = Cat(low[:-1], ~low[-1])",
        "raised = Cat(low[:-1], low[-1])",
        ("tests/unit/hdl/test_lanes.py",),
    ),
    Mutant(
        "a queue's reader moves on whether or not there is room",
        "pysnn_hw/hdl/queue.py",
        "moves.eq(~fetch_valid | skid.i.ready)",
        "moves.eq(1)",
        ("tests/unit/hdl/test_streams.py",),
    ),
    Mutant(
        "an event that was set aside is forgotten (shared core)",
        "pysnn_hw/hdl/shared/collector.py",
        "event.eq(Mux(waiting, aside, self.i.p))",
        "event.eq(self.i.p)",
        ("tests/unit/hdl/shared/test_collector.py",),
    ),
    Mutant(
        "spikes of the word before stay in a fresh one (shared core)",
        "pysnn_hw/hdl/shared/collector.py",
        "with m.If((lane == p) | fresh):",
        "with m.If(lane == p):",
        ("tests/unit/hdl/shared/test_collector.py",),
    ),
    Mutant(
        "rows of weight blocks are chosen a cycle early (shared core)",
        "pysnn_hw/hdl/shared/weights.py",
        'for stage in ("spread", "read", "fetch", "bring"):',
        'for stage in ("read", "fetch", "bring"):',
        ("tests/unit/hdl/shared/test_weights.py",),
    ),
    Mutant(
        "the spikes added at firing are read a cycle late (shared core)",
        "pysnn_hw/hdl/shared/core.py",
        "with m.Elif(scan.valid):",
        "with m.Elif(selected.valid):",
        ("tests/cosim/test_shared_cores.py",),
    ),
    Mutant(
        "spikes of a layer that keeps none go into the memory (shared core)",
        "pysnn_hw/hdl/shared/core.py",
        "keep & sequencer.layer.keeps",
        "keep",
        ("tests/cosim/test_shared_cores.py",),
    ),
    Mutant(
        "weights are not turned to their banks (shared core)",
        "pysnn_hw/hdl/shared/turn.py",
        "choices = [self.slots[slots[bank]] for slots in self.turns]",
        "choices = [self.slots[bank] for slots in self.turns]",
        ("tests/unit/hdl/shared/test_turn.py",),
    ),
    Mutant(
        "groups of channels lie in one bank (shared core)",
        "pysnn_hw/hdl/shared/scan.py",
        "group_base.eq(group_base + d.group_stride)",
        "group_base.eq(group_base)",
        ("tests/unit/hdl/shared/test_scan.py",),
    ),
    Mutant(
        "v(0) is added in every step (shared core)",
        "pysnn_hw/hdl/shared/charge.py",
        "constant = Mux(self.first, start[p], bias[p])",
        "constant = start[p]",
        ("tests/unit/hdl/shared/test_charge.py",),
    ),
    Mutant(
        "the image ahead is not told from the one being read (shared core)",
        "pysnn_hw/hdl/shared/sequencer.py",
        "odd.eq(~odd)",
        "odd.eq(odd)",
        ("tests/unit/hdl/shared/test_sequencer.py", "tests/unit/hdl/shared/test_core.py"),
    ),
    Mutant(
        "rows of a kernel are walked once too often (shared core)",
        "pysnn_hw/hdl/shared/walker.py",
        "last_row.eq(y_left == 2)",
        "last_row.eq(y_left == 1)",
        ("tests/unit/hdl/shared/test_walk.py",),
    ),
    Mutant(
        "the pipeline lets in words that its queue has no room for (shared core)",
        "pysnn_hw/hdl/shared/word_queue.py",
        "queue.level < self.depth - 2 - self.under_way",
        "queue.level < self.depth - self.under_way",
        ("tests/unit/hdl/shared/test_word_queue.py",),
    ),
    Mutant(
        "the newest of two sums on one address is not the one taken",
        "pysnn_hw/hdl/membrane.py",
        "for is_newest, newest, crossing in reversed(found):",
        "for is_newest, newest, crossing in found:",
        ("tests/unit/hdl/test_membrane.py",),
    ),
    Mutant(
        "in a far memory the sum three steps ahead is taken a cycle late",
        "pysnn_hw/hdl/membrane.py",
        "found.append((met, sums[distance - 1 - crossing], crossing))",
        "found.append((met, sums[distance - 1 - (crossing and distance != 3)], crossing))",
        ("tests/unit/hdl/test_membrane.py",),
    ),
    Mutant(
        "rows of constants are chosen a cycle early",
        "pysnn_hw/hdl/rom.py",
        "Array(found)[chosen]",
        "Array(found)[self.address[inner:]]",
        ("tests/unit/hdl/test_rom.py",),
    ),
    Mutant(
        "a word that came while its reader stood still is lost",
        "pysnn_hw/hdl/read_hold.py",
        "early.eq(early + advanced - self.advance)",
        "early.eq(Mux(self.advance, early, early + advanced))",
        ("tests/unit/hdl/test_read_hold.py",),
    ),
    Mutant(
        "a word that just came is passed by",
        "pysnn_hw/hdl/read_hold.py",
        "Array(words)[early]",
        "Array([words[1], *words[1:]])[early]",
        ("tests/unit/hdl/test_read_hold.py",),
    ),
    Mutant(
        "the tail of a tree of tables is left out (GateMate)",
        "pysnn_hw/build/lookup_trees.py",
        '"parameters": {"INIT": contents["INIT_L20"]}',
        '"parameters": {"INIT": contents["INIT_L11"]}',
        ("tests/unit/build/test_lookup_trees.py",),
    ),
    Mutant(
        "two narrow weights share a multiplier that yosys builds of logic",
        "pysnn_hw/plan/multipliers.py",
        "narrowest >= self.operand",
        "narrowest >= 0",
        ("tests/synth/test_mapping.py",),
    ),
)


def main(
    only: Annotated[str | None, typer.Option(help="Mistakes whose name holds this.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="How many to try side by side.")] = 2,
    output: Annotated[Path | None, typer.Option("--json", help="Where to write the table.")] = None,
) -> None:
    """Try each mistake and print its killer."""
    console = Console(width=150)
    chosen = [m for m in MUTANTS if only is None or only in m.mistake]
    with Progress(console=console, transient=True) as progress, ThreadPoolExecutor(jobs) as pool:
        task = progress.add_task("mistakes", total=len(chosen))

        def attempt(mutant: Mutant) -> dict[str, object]:
            row = kill(mutant)
            progress.console.print(f"{row['mistake']}: {row['killer'] or 'survives'}")
            progress.advance(task)
            return row

        rows = list(pool.map(attempt, chosen))
    table = Table("mistake", "file", "killed by", "s")
    for row in rows:
        killer = str(row["killer"] or "nothing")
        table.add_row(str(row["mistake"]), str(row["path"]), killer, f"{row['seconds']:.0f}")
    console.print(table)
    if output is not None:
        output.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(1 if any(row["killer"] is None for row in rows) else 0)


def kill(mutant: Mutant) -> dict[str, object]:
    """Make the mistake in a copy of the tree and run its tests; the killer is None if all pass."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "tree")
        for name in ("pysnn_hw", "rtl_templates", "sim", "boards", "tests", "docs", "scripts"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        for file in ROOT.iterdir():
            if file.is_file():
                shutil.copy(file, copy)
        source = copy / mutant.path
        text = source.read_text()
        if text.count(mutant.right) != 1:
            raise typer.BadParameter(
                f"{mutant.mistake}: {mutant.right!r} stands {text.count(mutant.right)} times in "
                f"{mutant.path}, not once"
            )
        source.write_text(text.replace(mutant.right, mutant.wrong))
        killer = _killer(copy, mutant.tests)
    seconds = time.perf_counter() - started
    return {
        "mistake": mutant.mistake,
        "path": mutant.path,
        "killer": killer,
        "seconds": seconds,
    }


def _killer(tree: Path, tests: tuple[str, ...]) -> str | None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return None
    found = FIRST_FAILURE.search(done.stdout)
    if done.returncode != FAILED or found is None:
        raise RuntimeError(f"{' '.join(command)} did not run:\n{done.stdout}{done.stderr}")
    return found.group(1)


if __name__ == "__main__":
    typer.run(main)
