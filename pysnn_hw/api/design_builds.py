# SPDX-License-Identifier: BSD-2-Clause
"""Design points of a search, built and measured by the stages of ``compile``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pysnn_hw.api.planning import planning
from pysnn_hw.api.searching import Job, network_of, subject
from pysnn_hw.api.stages.board import BoardWork, build_stage, generate_stage
from pysnn_hw.api.stages.network import Source
from pysnn_hw.build.toolchain import find_toolchain
from pysnn_hw.config import CompileOptions
from pysnn_hw.errors import ToolError, VerificationError
from pysnn_hw.explore import Attempt, Built, DesignPoint, Tally
from pysnn_hw.explore.design import ACTIVITY_IMAGES, activity_of, sample_of
from pysnn_hw.ir.file import save
from pysnn_hw.pipeline.files import write_json
from pysnn_hw.pipeline.runner import StageTime, run_stages
from pysnn_hw.pipeline.stage import Stage
from pysnn_hw.plan import load_board, plan
from pysnn_hw.progress import Progress
from pysnn_hw.resources import resource_dir
from pysnn_hw.verify import run_dataset
from pysnn_hw.verify.verilator import find_verilator

LONE_IMAGES = 8
"""Images that are sent one by one, to measure the latency."""


@dataclass(frozen=True)
class DesignBuilder:
    """Builds design points of a search, each in a folder of its own below ``folder``.

    Attributes
    ----------
    job
        The search.
    folder
        Where designs go.
    boards
        How the user named each board, by its name.
    simulated_images
        Test images that cycles are measured on.
    progress
        Told how far the work is.
    """

    job: Job
    folder: Path
    boards: Mapping[str, str]
    simulated_images: int
    progress: Progress

    def check_tools(self) -> None:
        """Raise ToolError if what builds for one of the boards, or simulates, is missing."""
        find_verilator()
        for spec in self.boards.values():
            find_toolchain(load_board(spec).device.family)

    def work(self, point: DesignPoint) -> BoardWork:
        """The files of a design point."""
        job, design = self.job, point.design
        options = CompileOptions(job.model, job.data, (self.boards[design.board],), job.source)
        folder = self.folder / f"{point.trial}-{design.objective}"
        return BoardWork(Source(options, label=f"trial {point.trial}"), folder, options.boards[0])

    def lay_out(self, point: DesignPoint) -> BoardWork:
        """Network and schedule of a design point, in its folder."""
        work = self._prepared(point)
        _raise_first(self._run(work, [_plan_stage(work, point, self.job)]))
        return work

    def __call__(self, point: DesignPoint) -> Attempt:
        """Place, route and simulate a design point; what was done before is not done again.

        Raises
        ------
        PysnnError
            If hardware and golden differ, or a tool fails other than at placing and routing.
        """
        work = self._prepared(point)
        stages = [_plan_stage(work, point, self.job), generate_stage(work), build_stage(work)]
        times = self._run(work, stages)
        # That a design cannot be placed or routed is an answer; the tools are known to be there.
        if isinstance(times[-1].error, ToolError):
            _raise_first(times[:-1])
            return Attempt(point, None, str(times[-1].error))
        _raise_first(times)
        _raise_first(self._run(work, [_measure_stage(work, self.simulated_images)]))
        built, done = read(work, "build.json"), read(work, "measured.json")
        clock_hz, image = 1e6 * built["clock_mhz"], built["flash_image"]
        facts = {
            **{name: built[name] for name in ("fmax_mhz", "lut", "ff", "bram", "dsp", "spram")},
            "bitstream": work.file(built["bitstream"]),
            "flash_image": None if image is None else work.file(image),
        }
        return Attempt(
            point, Built(clock_hz, done["cycles_per_image"], done["latency_cycles"], facts)
        )

    def schedule(self, point: DesignPoint) -> dict[str, Any]:
        """The schedule of a design point, as `generate`, `verify` and `build` take it."""
        return read(self.lay_out(point), "schedule.json")

    def test_tally(self, point: DesignPoint) -> Tally | None:
        """What a candidate does on the test images that no choice rests on; None without any."""
        job = self.job
        what = subject(job)
        first = job.measured_images(what)
        if first == len(what.images):
            return None
        work = self.lay_out(point)
        target = work.network.parent / "test.json"

        def run(progress: Progress) -> None:
            write_json(target, what.tally(work.net, first, len(what.images)).to_json())

        stage = Stage(
            work.source.stage_name("test images"),
            run,
            (target,),
            (work.network, *work.source.model_files, *work.source.data_files),
            {"first": first, "source": asdict(job.source)},
            ("golden", "ir", "data", "frontend", "convert"),
        )
        _raise_first(self._run(work, [stage]))
        return Tally.from_json(json.loads(target.read_text(encoding="utf-8")))

    def _prepared(self, point: DesignPoint) -> BoardWork:
        work = self.work(point)
        save(network_of(self.job, point.point.candidate), work.network)
        return work

    def _run(self, work: BoardWork, stages: list[Stage]) -> list[StageTime]:
        return run_stages(stages, work.network.parent, self.progress)


def _raise_first(times: Sequence[StageTime]) -> None:
    for time in times:
        if time.error is not None:
            raise time.error


def read(work: BoardWork, name: str) -> dict[str, Any]:
    """What a stage left behind."""
    document: dict[str, Any] = json.loads(work.file(name).read_text(encoding="utf-8"))
    return document


def _plan_stage(work: BoardWork, point: DesignPoint, job: Job) -> Stage:
    """Lays the network out again as it was when the search did."""

    def run(progress: Progress) -> None:
        activity = activity_of(work.net, job.planned_images(subject(job)))
        planned = plan(work.net, work.board, activity, objective=point.design.objective)
        write_json(work.file("schedule.json"), planned.schedule.to_json())
        document = asdict(planning(planned, f"{ACTIVITY_IMAGES} validation images"))
        write_json(work.file("plan.json"), document)

    return Stage(
        work.source.stage_name("plan", work.board.name),
        run,
        (work.file("schedule.json"), work.file("plan.json")),
        (work.network, work.board_file, *work.source.data_files),
        {"objective": point.design.objective, "validation_share": job.validation_share},
        rooms=("ir", "plan", "golden", "data", "explore"),
    )


def _measure_stage(work: BoardWork, count: int) -> Stage:
    """Test images through the cycle-accurate model, every word compared: cycles, latency."""
    target = work.file("measured.json")

    def run(progress: Progress) -> None:
        def told(what: str, done: int, total: int) -> None:
            progress(work.source.stage_name(what, work.board.name), done, total)

        # Data sets may be sorted, by class or by writer: images from everywhere.
        images = sample_of(work.source.dataset.x_test, count)
        folder, lone = work.file("verify"), sample_of(images, LONE_IMAGES)
        found = run_dataset(work.net, work.schedule, images, folder=folder, progress=told)
        # As many runs as images: each finds its accelerator idle.
        alone = run_dataset(work.net, work.schedule, lone, folder=folder, jobs=len(lone))
        for result in (found, alone):
            if result.mismatches:
                raise VerificationError(f"{work.board.name}, harness", str(result.first))
        write_json(
            target,
            {
                "images": len(images),
                "cycles_per_image": float(found.intervals.mean()),
                "lone_images": len(lone),
                "latency_cycles": float(alone.latency.mean()),
                "spikes_compared": found.spikes_compared + alone.spikes_compared,
                "mismatches": 0,
            },
        )

    return Stage(
        work.source.stage_name("measure", work.board.name),
        run,
        (target,),
        (
            *(work.network, work.file("schedule.json"), *work.source.data_files),
            resource_dir("rtl_templates"),
        ),
        {"images": count, "lone_images": LONE_IMAGES},
        ("ir", "plan", "hdl", "golden", "verify", "data"),
    )
