# SPDX-License-Identifier: BSD-2-Clause
"""From a network file to Verilog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pysnn_hw.api.planning import chosen_schedule
from pysnn_hw.api.sample import images_for
from pysnn_hw.build.verilog import to_verilog
from pysnn_hw.config import Ports
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.axi_stream import AxiStreamTop
from pysnn_hw.hdl.link.network import fingerprint
from pysnn_hw.ir.file import load
from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.pipeline.files import write_json, write_text
from pysnn_hw.plan import Schedule, load_board
from pysnn_hw.progress import Progress, silent

TOP = "accelerator"


@dataclass(frozen=True)
class Generation:
    """Answer of `generate`: the files written, and the size of the Verilog in lines."""

    verilog: Path
    schedule: Path
    top: str
    ports: Ports
    lines: int


def generate(
    network: str | Path,
    output: str | Path,
    *,
    board: str,
    data: str | Path | None = None,
    schedule: str | Path | None = None,
    ports: Ports = "stream",
    progress: Progress = silent,
) -> Generation:
    """Write the accelerator that `plan` lays out for a board as Verilog.

    Parameters
    ----------
    network
        A ``.snn`` file.
    output
        Folder to write ``accelerator.v`` and ``schedule.json`` to.
    board
        A name of `boards`, or a ``.toml`` file.
    data
        As for `plan`.
    schedule
        A ``schedule.json`` to follow instead of planning anew.
    ports
        ``stream``: valid, ready and payload. ``axi``: AXI4-Stream.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        If file, board or data set are unusable.
    """
    net, target, folder = load(Path(network)), load_board(board), Path(output)
    dataset = images_for(net, data)
    chosen = chosen_schedule(net, target, dataset, schedule, progress)
    progress("generate", 0, 1)
    verilog, plan_file = folder / f"{TOP}.v", folder / "schedule.json"
    text = verilog_text(net, chosen, ports)
    write_text(verilog, text)
    write_json(plan_file, chosen.to_json())
    progress("generate", 1, 1)
    return Generation(verilog, plan_file, TOP, ports, text.count("\n"))


def verilog_text(net: FixedNetwork, schedule: Schedule, ports: Ports = "stream") -> str:
    """The accelerator in Verilog, without verification outputs."""
    accelerator = Accelerator(net, schedule)
    component = accelerator if ports == "stream" else AxiStreamTop(accelerator)
    return to_verilog(component, TOP, header(net, schedule))


def header(net: FixedNetwork, schedule: Schedule) -> Mapping[str, Any]:
    """What the head of the Verilog says of its origin."""
    levels = max((p.spike_max for p in net.populations), default=0).bit_length()
    cores = (
        f"{core.name} {core.lanes} x {core.banks[0] * core.banks[1]} {core.lane_kind}"
        for core in schedule.cores
    )
    return {
        "network": f"{fingerprint(net):08x}",
        "timesteps T": net.timesteps,
        "bits n of a spike": levels,
        "input (C, H, W)": " x ".join(map(str, net.input.shape)),
        "cores (lanes x taps, kind)": ", ".join(cores),
    }
