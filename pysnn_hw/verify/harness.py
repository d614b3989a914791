# SPDX-License-Identifier: BSD-2-Clause
"""The generated C++ harness: an accelerator compiled with its stimulus and its checks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from pysnn_hw.errors import ToolError
from pysnn_hw.golden import Result
from pysnn_hw.ir.snn import Array
from pysnn_hw.resources import resource_dir
from pysnn_hw.verify.design import TOP, Design
from pysnn_hw.verify.verilator import Profile, Verilator, build_executable, run_tool
from pysnn_hw.verify.words import Words

_ALWAYS = 1 << 32

RUN_FAST = Profile("-O2")
BUILD_FAST = Profile("-O0")
TRACED = Profile("-O0", trace=True)


@dataclass(frozen=True)
class Pressure:
    """Random gaps and back-pressure: chance per cycle that an input is offered, an output taken,
    and each stream inside held up.
    """

    offer: float = 1.0
    take: float = 1.0
    pause: float = 0.0
    seed: int = 1


NO_PRESSURE = Pressure()


@dataclass(frozen=True, eq=False)
class Run:
    """What one run of the harness found.

    Attributes
    ----------
    cycles
        Length of the run.
    stalled
        Whether it ended because nothing moved any more.
    surplus
        Output transfers beyond the expected ones.
    started, finished
        int64 (N,): cycle in which each image's first integer was taken and its last score left.
    held, issued
        int64 (cores,): cycles in which the core accumulated while a queue held an event, and those
        of them in which an accumulate step started.
    output
        (N, classes, words): transfers on ``o``.
    checks
        Per stream of words: ``stream``, ``population``, ``seen``, ``items``, ``mismatches`` and
        the first one's place and words.
    """

    cycles: int
    stalled: bool
    surplus: int
    started: Array
    finished: Array
    issued: Array
    held: Array
    output: Words
    checks: Sequence[Mapping[str, Any]]

    @property
    def mismatches(self) -> int:
        """Words that differ, are missing, or are too many."""
        missing = sum(max(0, c["items"] - c["seen"]) for c in self.checks)
        return int(sum(c["mismatches"] for c in self.checks) + missing + self.surplus)


def build_harness(
    tool: Verilator, design: Design, folder: Path, *, profile: Profile = RUN_FAST
) -> Path:
    """Generate and compile the harness of ``design`` in ``folder``; return the executable."""
    verilog, source = folder / f"{TOP}.v", folder / "harness.cpp"
    design.write_verilog(verilog)
    source.write_text(harness_source(design))
    where = folder / ("traced" if profile.trace else "compiled")
    return build_executable(tool, verilog, source, where, top=TOP, profile=profile)


def harness_source(design: Design) -> str:
    """The C++ text of the harness."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource_dir("rtl_templates")),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    # Verilator spells a double underscore in a name its own way.
    environment.filters["member"] = lambda port: port.replace("__", "___05F")
    cores = [
        {"issued": f"{p.port}__issued", "holding": f"{p.port}__holding"} for p in design.probes
    ]
    cores.append({"issued": "readout_issued", "holding": "readout_holding"})
    return environment.get_template("harness.cpp.j2").render(
        classes=design.classes,
        output_words=design.output_words,
        input_words=design.input_width,
        timesteps=design.net.total_steps,
        probes=design.probes,
        streams=design.inner_streams,
        cores=cores,
        boots=len(design.boot_words) > 0,
        exits=design.exits,
    )


def write_vectors(
    design: Design,
    images: Array,
    golden: Result | None,
    path: Path,
    *,
    transfers: Sequence[Words] | None = None,
    errors: Sequence[int] | None = None,
) -> None:
    """Write the harness's vector file: inputs and, given the golden result, expected words.

    Spikes and membranes are expected too if the result has a trace.

    Parameters
    ----------
    design
        The accelerator.
    images
        Raw integers (N, C, H, W), or (N, T, C, H, W) for an input of events.
    golden
        Result of the same images; None to compare nothing.
    path
        The file.
    transfers
        Words to send for each image, if not the image's own (to send malformed ones): each
        (transfers, `Design.input_width`).
    errors
        Expected error bit of each image; None for zeros.
    """
    inputs = design.input_words(images) if transfers is None else transfers
    trace = None if golden is None else golden.trace
    boot, lengths = design.boot_words, np.array([len(row) for row in inputs])
    header = [len(inputs), golden is not None, trace is not None, trace is not None, len(boot)]
    parts: list[Array] = [np.array(header), boot, lengths, *inputs]
    if golden is not None:
        parts.append(design.expected_output(golden, errors))
        parts += [golden.steps] if design.exits else []
    if trace is not None:
        for probe in design.probes:
            parts += [probe.spikes(trace), probe.membranes(trace)]
    with path.open("wb") as file:
        for part in parts:
            file.write(np.ascontiguousarray(part, "<u4").tobytes())


def run_harness(
    design: Design,
    executable: Path,
    vectors: Path,
    images: int,
    *,
    pressure: Pressure = NO_PRESSURE,
    patience: int = 2_000_000,
    wave: tuple[Path, int, int] | None = None,
) -> Run:
    """Run a compiled harness on a vector file of so many images.

    ``wave`` is (file, first cycle, last cycle) and needs a traced executable.
    """
    report = vectors.with_suffix(".json")
    chances = [
        min(_ALWAYS, round(p * _ALWAYS)) for p in (pressure.offer, pressure.take, pressure.pause)
    ]
    numbers = [pressure.seed, *chances, patience]
    command = [str(executable), str(vectors), str(report), *map(str, numbers)]
    if wave is not None:
        command += [str(wave[0]), str(wave[1]), str(wave[2])]
    run_tool(command)
    try:
        found = json.loads(report.read_text())
    except (OSError, ValueError) as error:
        raise ToolError("harness", f"left no readable result in {report}: {error}") from error
    shape = (images, design.classes, design.output_words)
    return Run(
        cycles=found["cycles"],
        stalled=found["stalled"],
        surplus=found["surplus"],
        started=np.array(found["started"], np.int64),
        finished=np.array(found["finished"], np.int64),
        issued=np.array(found["issued"], np.int64),
        held=np.array(found["held"], np.int64),
        output=np.array(found["output"], "<u4").reshape(shape),
        checks=found["checks"],
    )
