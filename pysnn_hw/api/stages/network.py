# SPDX-License-Identifier: BSD-2-Clause
"""The stages before any board: import, convert, quantize, golden."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pysnn_hw.api.conversion import fixed_network, measure_loss, spiking_network
from pysnn_hw.api.simulation import run_golden, summary
from pysnn_hw.config import CompileOptions
from pysnn_hw.data import Dataset, load_dataset
from pysnn_hw.data.dataset import BUNDLED
from pysnn_hw.frontend import ImportedModel, import_model
from pysnn_hw.ir.ann import shapes
from pysnn_hw.ir.file import load, save
from pysnn_hw.ir.snn import SnnNetwork
from pysnn_hw.pipeline.files import write_json, write_whole
from pysnn_hw.pipeline.stage import Stage
from pysnn_hw.progress import Progress
from pysnn_hw.resources import resource


class Source:
    """The model and the data of a run, each loaded at most once, and not before it is needed.

    ``label`` tells the stages of several networks in one manifest apart.
    """

    def __init__(self, options: CompileOptions, label: str = "") -> None:
        self.options, self.label = options, label

    def stage_name(self, verb: str, board: str = "") -> str:
        """What a stage is called in manifest, progress and report."""
        return " ".join(part for part in (self.label and f"{self.label}:", verb, board) if part)

    @cached_property
    def dataset(self) -> Dataset:
        """The data set."""
        return load_dataset(self.options.data)

    @cached_property
    def imported(self) -> ImportedModel:
        """The model as it was imported."""
        return import_model(self.options.model, self.options.source.input_shape)

    @cached_property
    def spiking(self) -> SnnNetwork:
        """The float spiking network."""
        options = self.options
        return spiking_network(self.imported, self.dataset, options.source, options.conversion)

    @property
    def model_files(self) -> tuple[Path, ...]:
        """What the model is read from."""
        path, colon, _ = self.options.model.rpartition(":")
        return (Path(path if colon and path.endswith(".py") else self.options.model),)

    @property
    def data_files(self) -> tuple[Path, ...]:
        """What the data set is read from."""
        spec = self.options.data
        return (resource("bundled", BUNDLED[spec]) if spec in BUNDLED else Path(spec),)


def network_stages(source: Source, folder: Path) -> list[Stage]:
    """The stages that end in ``network.snn`` and its golden results."""
    network = folder / "network.snn"
    imported = folder / "import.json"
    thresholds, accuracy = folder / "convert.json", folder / "accuracy.json"
    golden, results = folder / "golden.json", folder / "golden.npz"
    options = asdict(source.options.source)
    knobs = options | asdict(source.options.conversion)
    # Only a method that trains for the bits of its weights knows them before they are rounded.
    rounding = () if source.options.conversion.method == "qcfs" else ("weight_bits", "layer_bits")
    float_knobs = {name: value for name, value in knobs.items() if name not in rounding}
    files = (*source.model_files, *source.data_files)

    def import_(progress: Progress) -> None:
        write_json(imported, _import_summary(source.imported))

    def convert(progress: Progress) -> None:
        write_json(thresholds, _thresholds(source.spiking))

    def quantize_(progress: Progress) -> None:
        fixed = fixed_network(source.spiking, source.dataset, source.options.conversion)
        save(fixed, network)
        loss = measure_loss(
            source.imported, source.spiking, fixed, source.dataset, source.options.source, progress
        )
        warnings = list(fixed.provenance.get("warnings", ()))
        write_json(accuracy, {**asdict(loss), "warnings": warnings})

    def golden_(progress: Progress) -> None:
        net = load(network)
        dataset = source.dataset
        result, seconds = run_golden(net, dataset.x_test, progress)
        write_whole(
            results,
            lambda draft: np.savez_compressed(draft, classes=result.classes, scores=result.scores),
        )
        write_json(golden, asdict(summary(net, result, dataset.y_test, seconds)))

    name = source.stage_name
    converting, simulating = ("frontend", "ir", "convert", "data"), ("golden", "ir", "data")
    return [
        Stage(
            name("import"), import_, (imported,), source.model_files, options, ("frontend", "ir")
        ),
        Stage(name("convert"), convert, (thresholds,), files, float_knobs, converting),
        Stage(
            name("quantize"),
            quantize_,
            (network, accuracy),
            (*files, thresholds),
            knobs,
            converting,
        ),
        Stage(
            name("golden"),
            golden_,
            (golden, results),
            (network, *source.data_files),
            rooms=simulating,
        ),
    ]


def _import_summary(imported: ImportedModel) -> dict[str, Any]:
    graph = imported.graph
    found = shapes(graph)
    return {
        "max_abs_difference": imported.max_abs_difference,
        "max_relative_difference": imported.max_relative_difference,
        "compared_images": imported.images,
        "layers": [
            {"name": n.name, "op": type(n).__name__, "shape": list(found[n.name])}
            for n in graph.nodes
        ],
    }


def _thresholds(net: SnnNetwork) -> dict[str, Any]:
    """The float network, as far as it is of interest: its weights stand in the model."""
    return {
        "timesteps": net.timesteps,
        "populations": [
            {
                "name": p.name,
                "kind": p.kind,
                "shape": list(p.shape),
                "spike_max": p.spike_max,
                "threshold": p.threshold.tolist(),
            }
            for p in net.populations
        ],
    }
