# SPDX-License-Identifier: BSD-2-Clause
"""Our own designs for ``bench_accelerators.py``, each figure measured by the tool that gives it.

What has been measured lies in a folder as JSON, with a digest of all it depends on but our code,
and is not measured again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.back import rtlil

from pysnn_hw.api import build, convert, plan, simulate
from pysnn_hw.build.families import FAMILIES
from pysnn_hw.build.flow import reading_script, synthesis_script, without_brackets
from pysnn_hw.build.reports import count_cells
from pysnn_hw.build.toolchain import find_toolchain
from pysnn_hw.config import ConvertOptions, ModelOptions
from pysnn_hw.errors import PlanError, ToolError
from pysnn_hw.golden import simulate as simulate_golden
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.ir.file import load
from pysnn_hw.ir.snn import Array, FixedNetwork, Population
from pysnn_hw.pipeline.files import write_json
from pysnn_hw.plan import Activity, Schedule, load_board
from pysnn_hw.plan.cycles import chain_timing
from pysnn_hw.progress import Progress
from pysnn_hw.resources import resource

BOARD = "ulx3s-85f"
DENSE_IMAGES = 4
"""All alike, so a few say how long each takes."""

LUTS_OF = {
    **{f"LUT{n}": 1 for n in range(1, 7)},
    **{"INV": 1, "SRL16E": 1, "SRLC32E": 1},
    **{"RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4},
    **{"RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM32M": 4, "RAM64M": 4},
}
"""Look-up tables of a 7-series device that each cell takes (AMD UG474 and UG953)."""


@dataclass(frozen=True)
class Case:
    """A bundled network at one setting; ``target_cycles``: the pace that the planner is asked for.

    ``threshold``: see `ModelOptions`. ``placed``: it is also packed and placed for the board.
    """

    model: str
    network: str
    levels: int
    weight_bits: int
    threshold: int | None = None
    target_cycles: float | None = None
    placed: bool = False


CASES = (
    Case("mnist_mlp", "FC 784-128-10, T=1, n=3, 4 bits", 3, 4, 192, 1500, placed=True),
    Case("mnist_cnn", "conv 16C5/2-32C3/2-10, T=1, n=4, 8 bits", 4, 8),
)


@dataclass(frozen=True)
class Measured:
    """All figures of one design.

    Attributes
    ----------
    case
        What it is.
    golden
        ``images``, ``accuracy`` in percent, ``sops`` per image, ``dense_macs``.
    rtl
        Of Verilator: ``images``, ``cycles`` between them (mean), ``spikes`` compared with golden,
        ``mismatches``.
    dense
        ``cycles`` of the same cores where no value is 0, by `pysnn_hw.plan.cycles`, which equals
        Verilator cycle for cycle.
    lanes
        Additions per cycle, all cores together.
    macs
        Multiply-accumulates per image by core, and its lanes.
    xilinx
        ``lut``, ``ff``, ``bram36``, ``dsp``, ``tool``: the accelerator, synthesised.
    alone
        ``cells``, ``bram``, ``dsp``, ``tool``: the accelerator, packed for the board's ECP5; empty
        for a case that is not placed.
    board
        Placed and routed with link and clock: ``cells``, ``bram``, ``dsp``, ``fmax_mhz``,
        ``clock_mhz``, ``tool``; empty if that was not asked for.
    """

    case: Case
    golden: Mapping[str, Any]
    rtl: Mapping[str, Any]
    dense: Mapping[str, Any]
    lanes: int
    macs: tuple[tuple[int, int], ...]
    xilinx: Mapping[str, Any]
    alone: Mapping[str, Any]
    board: Mapping[str, Any]


def measure(
    case: Case, folder: Path, images: int, simulated: int, place: bool, progress: Progress
) -> Measured:
    """Every figure of ``case``.

    Parameters
    ----------
    case
        The design.
    folder
        Where network, schedule, netlists and figures are kept.
    images, simulated
        Test images for golden and for Verilator.
    place
        Whether it is built for the board.
    progress
        Told how far the work is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network, plan_file = folder / "network.snn", folder / "schedule.json"

    def lay_out() -> dict[str, Any]:
        options = ConvertOptions(levels=case.levels, weight_bits=case.weight_bits)
        source, model = ModelOptions(threshold=case.threshold), f"{case.model}.onnx"
        convert(
            *(resource("bundled", model), "mnist", network),
            source=source,
            options=options,
            limit=100,
            progress=progress,
        )
        found = plan(network, BOARD, target_cycles=case.target_cycles, output=plan_file)
        return {"predicted_cycles": found.cycles_per_image, "predicted_lut": found.lut}

    _stage(folder / "plan.json", json.dumps(asdict(case)), lay_out)
    net = load(network)
    schedule = Schedule.from_json(json.loads(plan_file.read_text(encoding="utf-8")))
    key = hashlib.sha256(network.read_bytes() + plan_file.read_bytes()).hexdigest()

    def simulated_figures() -> dict[str, Any]:
        return _simulated(network, plan_file, simulated, progress)

    return Measured(
        case=case,
        golden=_stage(folder / "golden.json", f"{key} {images}", lambda: _golden(network, images)),
        rtl=_stage(folder / "rtl.json", f"{key} {simulated}", simulated_figures),
        dense=_stage(folder / "dense.json", key, lambda: dense_figures(net, schedule)),
        lanes=sum(core.total_lanes for core in schedule.cores),
        macs=_macs(net, schedule),
        xilinx=_stage(folder / "xilinx.json", key, lambda: _xilinx(net, schedule, folder)),
        alone=_stage(folder / "alone.json", key, lambda: _alone(net, schedule, folder))
        if case.placed
        else {},
        board=_stage(folder / "board.json", key, lambda: _board(network, plan_file, progress))
        if case.placed and place
        else {},
    )


def _stage(file: Path, key: str, make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """What ``file`` holds if it was made for ``key``, else what ``make`` gives, which is kept."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    if file.is_file():
        known: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if known["digest"] == digest:
            return known
    write_json(file, {**make(), "digest": digest})
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _golden(network: Path, images: int) -> dict[str, Any]:
    found = simulate(network, "mnist", limit=images)
    return {
        "images": found.images,
        "accuracy": 100 * found.accuracy,
        "sops": found.sops_per_image,
        "dense_macs": found.dense_macs,
    }


def _simulated(network: Path, schedule: Path, images: int, progress: Progress) -> dict[str, Any]:
    found = simulate(
        *(network, "mnist"),
        backend="verilator",
        limit=images,
        board=BOARD,
        schedule=schedule,
        progress=progress,
    )
    if found.cycles_per_image is None:
        raise ToolError("verilator", "simulated no cycles")
    return {
        "images": found.images,
        "cycles": found.cycles_per_image.mean,
        "spikes": found.spikes_compared,
        "mismatches": found.mismatches,
    }


def all_nonzero(net: FixedNetwork) -> FixedNetwork:
    """A network of the same shape whose every neuron fires a 1 if every input is at least 1."""

    def busy(population: Population) -> Population:
        changed = replace(
            population,
            bias=np.zeros_like(population.bias),
            v_init=np.zeros_like(population.v_init),
            threshold=np.ones_like(population.threshold),
            spike_max=min(population.spike_max, 1),
        )
        return changed if population.kind == "readout" else replace(changed, v_min=0, v_max=1 << 24)

    return replace(
        net,
        populations=tuple(busy(p) for p in net.populations),
        projections=tuple(replace(p, weight=np.ones_like(p.weight)) for p in net.projections),
    )


def dense_figures(net: FixedNetwork, schedule: Schedule) -> dict[str, Any]:
    """Cycles between images of which the cores of ``net`` can skip nothing."""
    busy, images = all_nonzero(net), nonzero_images(net)
    result = simulate_golden(busy, images, trace=True)
    if result.trace is None or not all((s == 1).all() for s in result.trace.spikes.values()):
        raise PlanError("network", "a neuron of it stays silent even if all others fire")
    activity = Activity.of(busy, images, result.trace.spikes, result.steps)
    return {"cycles": float(np.mean(chain_timing(busy, schedule, activity).interval))}


def nonzero_images(net: FixedNetwork) -> Array:
    """Images every integer of which is an event of value 1."""
    entry = net.input
    ones = np.array(entry.zero_point) + 1 if entry.threshold is None else entry.threshold
    shown = np.broadcast_to(np.reshape(ones, (-1, 1, 1)), entry.shape)
    return np.repeat(shown[None].astype(np.int64), DENSE_IMAGES, axis=0)


def _macs(net: FixedNetwork, schedule: Schedule) -> tuple[tuple[int, int], ...]:
    return tuple(
        (
            sum(
                p.as_conv(net.shape_of(p.source)).macs
                for name in core.populations
                for p in net.into(name)
            ),
            core.total_lanes,
        )
        for core in schedule.cores
    )


def _xilinx(net: FixedNetwork, schedule: Schedule, folder: Path) -> dict[str, Any]:
    """The accelerator in cells of the 7 series, whose blocks have the shapes of the ECP5's."""
    source = _written(net, schedule, folder)
    yosys = find_toolchain("ecp5").yosys
    synth = "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top top"
    script = f"{reading_script(source.name)}; {synth}; write_json xilinx.netlist.json"
    yosys.run(["-p", script], folder=folder, log=folder / "xilinx.log")
    netlist = json.loads((folder / "xilinx.netlist.json").read_text(encoding="utf-8"))
    return {**xilinx_resources(count_cells(netlist)), "tool": f"yosys {yosys.version}"}


def xilinx_resources(cells: Counter[str]) -> dict[str, Any]:
    """Resources of the 7 series that the cells of a netlist take.

    Raises
    ------
    ToolError
        If there is a memory among them of which it is not known what it takes.
    """
    for cell in cells:
        if cell.startswith(("RAM", "SRL")) and cell not in (*LUTS_OF, "RAMB18E1", "RAMB36E1"):
            raise ToolError("yosys", f"made a cell {cell}, of which we do not know its LUTs")
    return {
        "lut": sum(count * LUTS_OF.get(cell, 0) for cell, count in cells.items()),
        "ff": sum(n for cell, n in cells.items() if cell.startswith("FD")),
        "bram36": cells["RAMB36E1"] + cells["RAMB18E1"] / 2,
        "dsp": cells["DSP48E1"],
    }


def _alone(net: FixedNetwork, schedule: Schedule, folder: Path) -> dict[str, Any]:
    """The accelerator in cells of the board's FPGA, as nextpnr packs them."""
    source, board = _written(net, schedule, folder), load_board(BOARD)
    family, tools = FAMILIES[board.device.family], find_toolchain(board.device.family)
    script = synthesis_script(board.device, source.name, "alone.mapped.json")
    tools.yosys.run(["-p", script], folder=folder, log=folder / "alone.log")
    netlist = json.loads((folder / "alone.mapped.json").read_text(encoding="utf-8"))
    family.refine(netlist)
    (folder / "alone.netlist.json").write_text(json.dumps(netlist), encoding="utf-8")
    arguments = ["--json", "alone.netlist.json", "--out-of-context", "--pack-only"]
    log = folder / "alone.nextpnr.log"
    tools.nextpnr.run([*family.device_arguments(board.device), *arguments], folder=folder, log=log)
    used = packed(log.read_text(encoding="utf-8"))
    return {
        "cells": sum(each * used[cell] for cell, each in family.lut.items()),
        "bram": used[family.bram],
        "dsp": sum(each * used[cell] for cell, each in family.dsp.items()),
        "tool": f"yosys {tools.yosys.version}, nextpnr {tools.nextpnr.version}",
    }


def packed(log: str) -> dict[str, int]:
    """Used resources by name, from what nextpnr says after packing."""
    rows = re.findall(r"^Info:\s+(\w+):\s+(\d+)/\s*\d+\s+\d+%$", log, re.MULTILINE)
    return {name: int(count) for name, count in rows}


def _written(net: FixedNetwork, schedule: Schedule, folder: Path) -> Path:
    source = folder / "accelerator.il"
    text = rtlil.convert(Accelerator(net, schedule), name="top", emit_src=False)
    source.write_text(without_brackets(text), encoding="utf-8")
    return source


def _board(network: Path, schedule: Path, progress: Progress) -> dict[str, Any]:
    found = build(
        network, network.parent / "build", board=BOARD, schedule=schedule, progress=progress
    )
    tools = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    return {
        "cells": found.lut.used,
        "bram": found.bram.used,
        "dsp": found.dsp.used,
        "fmax_mhz": found.fmax_mhz,
        "clock_mhz": found.clock_mhz,
        "tool": tools,
        "bitstream": found.bitstream.name,
    }
