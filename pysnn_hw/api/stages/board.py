# SPDX-License-Identifier: BSD-2-Clause
"""The stages of one board: plan, generate, verify, simulate, build."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from pysnn_hw import plan as planner
from pysnn_hw import verify as checks
from pysnn_hw.api.generation import TOP, verilog_text
from pysnn_hw.api.planning import planning, sample_activity
from pysnn_hw.api.simulation import run_golden, run_verilated, summary, verilated_summary
from pysnn_hw.api.stages.network import Source
from pysnn_hw.api.stages.process import run_verb
from pysnn_hw.api.stages.standalone import TESTBENCH, write_verification
from pysnn_hw.api.verification import verification
from pysnn_hw.build.families import FAMILIES
from pysnn_hw.errors import PlanError, VerificationError
from pysnn_hw.ir.file import load
from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.pipeline.files import write_json, write_text
from pysnn_hw.pipeline.stage import Stage
from pysnn_hw.plan import Board, Schedule, load_board
from pysnn_hw.progress import Progress
from pysnn_hw.resources import resource_dir

VERIFIED_IMAGES = 20
"""Images of the stand-alone verification, and of the harness within the verify stage."""

HARDWARE = ("ir", "plan", "hdl")


class BoardWork:
    """The files of one board inside the output folder of a network."""

    def __init__(self, source: Source, folder: Path, board: str) -> None:
        self.source, self.network = source, folder / "network.snn"
        self.board: Board = load_board(board)
        self.spec = board
        self.folder = folder / self.board.name

    def file(self, name: str) -> Path:
        """A file of this board."""
        return self.folder / name

    @property
    def board_file(self) -> Path:
        """Where the board is described."""
        if self.spec.endswith(".toml"):
            return Path(self.spec)
        return resource_dir("boards") / f"{self.spec}.toml"

    @cached_property
    def net(self) -> FixedNetwork:
        """The network; only after its stage has run."""
        return load(self.network)

    @cached_property
    def schedule(self) -> Schedule:
        """The schedule; only after its stage has run."""
        return Schedule.from_json(json.loads(self.file("schedule.json").read_text()))


def plan_stage(work: BoardWork) -> Stage:
    """Lays the network out; stops if it does not fit."""

    def run(progress: Progress) -> None:
        activity = sample_activity(work.net, work.source.dataset)
        planned = planner.plan(work.net, work.board, activity)
        if planned.shortfalls:
            problem = "; ".join(map(str, planned.shortfalls))
            raise PlanError(f"board {work.board.name}", f"the network does not fit: {problem}")
        write_json(work.file("schedule.json"), planned.schedule.to_json())
        write_json(work.file("plan.json"), asdict(planning(planned, work.source.dataset.name)))

    return Stage(
        work.source.stage_name("plan", work.board.name),
        run,
        (work.file("schedule.json"), work.file("plan.json")),
        (work.network, work.board_file, *work.source.data_files),
        rooms=("ir", "plan", "golden", "data"),
    )


def generate_stage(work: BoardWork) -> Stage:
    """Writes the accelerator as Verilog."""

    def run(progress: Progress) -> None:
        write_text(work.file(f"{TOP}.v"), verilog_text(work.net, work.schedule))

    inputs = (work.network, work.file("schedule.json"))
    return Stage(
        work.source.stage_name("generate", work.board.name),
        run,
        (work.file(f"{TOP}.v"),),
        inputs,
        rooms=(*HARDWARE, "build"),
    )


def verify_stage(work: BoardWork) -> Stage:
    """Lint, cocotb and harness; leaves a folder that can repeat it without this package."""
    folder = work.file("verify")
    names = ("accelerator.v", "harness.cpp", "vectors.json", "vectors.bin", "Makefile")
    kept = (*(folder / n for n in names), *(folder / "sim" / n for n in TESTBENCH))

    def run(progress: Progress) -> None:
        images = work.source.dataset.x_test[:VERIFIED_IMAGES]
        report = checks.verify(
            work.net, work.schedule, images, folder, progress=_of(work, progress)
        )
        result = verification(report, work.board.name, folder)
        if result.failures:
            bad = next(check for check in result.checks if check.complaint)
            hint = "" if result.wave is None else f"waveform in {result.wave}"
            raise VerificationError(f"{work.board.name}, {bad.name}", bad.complaint, hint)
        write_verification(work.net, work.schedule, images, folder)
        write_json(work.file("verify.json"), _plain(asdict(result)))

    return Stage(
        work.source.stage_name("verify", work.board.name),
        run,
        (work.file("verify.json"), *kept),
        (
            *(work.network, work.file("schedule.json"), *work.source.data_files),
            *(resource_dir("sim"), resource_dir("rtl_templates")),
        ),
        rooms=(*HARDWARE, "golden", "verify", "data"),
    )


def simulate_stage(work: BoardWork) -> Stage:
    """Test images through the cycle-accurate model, every word compared."""
    target = work.file("simulation.json")
    count = work.source.options.simulated_images

    def run(progress: Progress) -> None:
        dataset = work.source.dataset
        images, labels = dataset.x_test[:count], dataset.y_test[:count]
        told = _of(work, progress)
        result, seconds = run_golden(work.net, images, told)
        golden = summary(work.net, result, labels, seconds)
        found, seconds = run_verilated(work.net, work.schedule, images, work.file("verify"), told)
        measured = verilated_summary(golden, found, labels, seconds, work.board.name)
        if measured.mismatches:
            raise VerificationError(f"{work.board.name}, harness", measured.first_mismatch)
        write_json(target, asdict(measured))

    return Stage(
        work.source.stage_name("simulate", work.board.name),
        run,
        (target,),
        (
            *(work.network, work.file("schedule.json"), *work.source.data_files),
            resource_dir("rtl_templates"),
        ),
        {"images": count},
        (*HARDWARE, "golden", "verify", "data"),
    )


def build_stage(work: BoardWork) -> Stage:
    """Places and routes in a process of its own, at the same time as the other boards'."""
    folder, target = work.file("build"), work.file("build.json")
    bitstream = work.file(f"{TOP}.{FAMILIES[work.board.device.family].bitstream}")

    def run(progress: Progress) -> None:
        answer = run_verb(
            [
                *("build", str(work.network), "--board", work.spec, "-o", str(folder)),
                *("--schedule", str(work.file("schedule.json"))),
                *("--data", work.source.options.data),
            ]
        )
        shutil.copyfile(answer["bitstream"], bitstream)
        # Names only: the folder may move.
        answer["bitstream"] = bitstream.name
        if answer["flash_image"] is not None:
            image = work.file(Path(answer["flash_image"]).name)
            shutil.copyfile(answer["flash_image"], image)
            answer["flash_image"] = image.name
        write_json(target, answer)

    return Stage(
        work.source.stage_name("place and route", work.board.name),
        run,
        (target, bitstream),
        (work.network, work.file("schedule.json"), work.board_file),
        rooms=(*HARDWARE, "build"),
        group="place and route",
    )


def _of(work: BoardWork, progress: Progress) -> Progress:
    """Tells which board the work is for."""

    def told(what: str, done: int, total: int) -> None:
        progress(work.source.stage_name(what, work.board.name), done, total)

    return told


def _plain(value: Any) -> Any:
    """Paths as text, for JSON."""
    return json.loads(json.dumps(value, default=str))
