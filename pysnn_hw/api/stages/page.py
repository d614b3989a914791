# SPDX-License-Identifier: BSD-2-Clause
"""Gathers what the stages left behind into a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pysnn_hw import __version__
from pysnn_hw.api.stages.board import BoardWork
from pysnn_hw.api.stages.network import Source
from pysnn_hw.config import ConvertOptions
from pysnn_hw.ir.file import load
from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.ir.widths import widths
from pysnn_hw.report import (
    BoardResult,
    Core,
    Layer,
    LayerTime,
    MemoryUse,
    PlanPicture,
    Report,
    Synapses,
    Use,
)

Document = dict[str, Any]

RESOURCES = (("LUT", "lut"), ("flip-flop", "ff"), ("block RAM", "bram"), ("DSP", "dsp"))
WORTH = {"lut": "LUT", "bram": "block RAM", "dsp": "DSP", "spram": "SPRAM"}


def read_report(
    source: Source,
    folder: Path,
    works: Sequence[BoardWork],
    stage_times: Sequence[tuple[str, float]],
) -> Report:
    """The report of one network, from the files in ``folder``."""
    net = load(folder / "network.snn")
    accuracy, golden = _read(folder / "accuracy.json"), _read(folder / "golden.json")
    knobs = source.options.conversion
    return Report(
        title=Path(source.options.model).stem,
        facts=(
            ("data", source.dataset.name),
            ("T", str(knobs.timesteps)),
            ("n", str(knobs.levels)),
            ("weights", _width(knobs)),
            ("method", knobs.method),
            ("thresholds by", str(net.provenance["calibration"])),
            ("pysnn-hw", __version__),
        ),
        timesteps=knobs.timesteps,
        levels=knobs.levels,
        accuracy=(
            ("original network", accuracy["ann_accuracy"]),
            ("float SNN", accuracy["snn_accuracy"]),
            ("fixed-point SNN", golden["accuracy"]),
        ),
        images=golden["images"],
        layers=_layers(net, accuracy, golden),
        synapses=tuple(
            Synapses(
                name=projection.name,
                weights=int(projection.weight.size),
                sops_per_image=golden["sops"][projection.name],
                dense_macs=projection.as_conv(net.shape_of(projection.source)).macs,
            )
            for projection in net.projections
        ),
        boards=tuple(_board(work) for work in works),
        stage_times=tuple(stage_times),
    )


def _width(options: ConvertOptions) -> str:
    others = ", ".join(f"{name} {bits}" for name, bits in options.layer_bits)
    return f"{options.weight_bits} bits" + (f" ({others})" if others else "")


def _layers(net: FixedNetwork, accuracy: Document, golden: Document) -> tuple[Layer, ...]:
    followed = {p["name"]: p["fixed_correlation"] for p in accuracy["populations"]}
    proven = widths(net)
    layers = []
    for population in net.populations:
        spikes = golden["spikes"].get(population.name)
        layers.append(
            Layer(
                name=population.name,
                shape=population.shape,
                firing=None if spikes is None else spikes / population.size / net.total_steps,
                spikes_per_image=spikes,
                correlation=followed.get(population.name),
                membrane_bits=proven[population.name].bits,
            )
        )
    return tuple(layers)


def _board(work: BoardWork) -> BoardResult:
    planned, built = _read(work.file("plan.json")), _read(work.file("build.json"))
    verified, simulated = _read(work.file("verify.json")), _read(work.file("simulation.json"))
    cycles = simulated["cycles_per_image"]
    uses = [Use(title, built[key]["used"], built[key]["available"]) for title, key in RESOURCES]
    spram = Use("SPRAM", built["spram"]["used"], built["spram"]["available"])
    return BoardResult(
        name=work.board.name,
        title=work.board.title,
        uses=(*uses, *([spram] if spram.available else [])),
        fmax_mhz=built["fmax_mhz"],
        clock_mhz=built["clock_mhz"],
        cycles_mean=cycles["mean"],
        cycles_median=cycles["median"],
        cycles_max=cycles["max"],
        predicted_cycles=planned["cycles_per_image"],
        predicted_mhz=planned["clock_mhz"],
        latency_cycles=simulated["latency_cycles"]["median"],
        images_per_s=1e6 * built["clock_mhz"] / cycles["mean"],
        spikes_compared=verified["spikes_compared"] + simulated["spikes_compared"],
        simulated_images=simulated["images"],
        mismatches=verified["mismatches"] + simulated["mismatches"],
        cores=tuple(
            Core(core["layers"][0], core["lanes"] * core["taps"], core["predicted_cycles"])
            for core in planned["cores"]
        ),
        plan=_picture(planned, built["bram"]["available"]),
        bitstream=f"{work.board.name}/{built['flash_image'] or built['bitstream']}",
    )


def _picture(planned: Document, blocks: int) -> PlanPicture:
    times = []
    for number, core in enumerate(planned["cores"]):
        start = 0.0
        for part in core["by_layer"]:
            phases = [part[f"{name}_cycles"] for name in ("accumulate", "fire", "overhead")]
            times.append(LayerTime(number, part["layer"], start, *phases))
            start += sum(phases)
    return PlanPicture(
        times=tuple(times),
        interval=planned["cycles_per_image"],
        memories=tuple(MemoryUse(**entry) for entry in planned["memories"]),
        blocks_available=blocks,
        worth=tuple((WORTH[name], gain) for name, gain in planned["worth"].items()),
        advice=tuple(planned["advice"]),
    )


def _read(path: Path) -> Document:
    document: Document = json.loads(path.read_text(encoding="utf-8"))
    return document
