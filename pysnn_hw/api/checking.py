# SPDX-License-Identifier: BSD-2-Clause
"""Whether a model can become an accelerator on a board, before anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pysnn_hw import plan as planner
from pysnn_hw.api.conversion import (
    fixed_network,
    measure_loss,
    preprocessing,
    spiking_network,
)
from pysnn_hw.api.planning import Planning, planning, sample_activity
from pysnn_hw.api.sample import random_images
from pysnn_hw.config import ConvertOptions, ModelOptions
from pysnn_hw.data import Dataset, load_dataset
from pysnn_hw.frontend import ImportedModel, Unsupported, import_model, list_unsupported
from pysnn_hw.ir.snn import FixedNetwork, Input
from pysnn_hw.plan import Plan, load_board
from pysnn_hw.plan.network_cost import unit_cost
from pysnn_hw.progress import Progress, silent

ACCURACY_IMAGES = 1000
"""Test images of the expected accuracy: a check takes seconds."""


@dataclass(frozen=True)
class ExpectedAccuracy:
    """Fractions of ``images`` test images that each form of the network classifies correctly."""

    ann_accuracy: float
    snn_accuracy: float
    fixed_accuracy: float
    images: int


@dataclass(frozen=True)
class LayerNeeds:
    """What the core of a layer takes of the board, and its cycles per image.

    Layers that share a core are one entry, with the shape of the last.
    """

    name: str
    shape: tuple[int, int, int]
    lanes: int
    lut: int
    bram: int
    dsp: int
    spram: int
    predicted_cycles: float


@dataclass(frozen=True)
class Check:
    """Answer of `check`.

    Attributes
    ----------
    ok
        Whether ``compile`` would get through.
    unsupported
        Every node that cannot be imported, with what to do about it.
    layers, plan
        What each layer and the whole need of the board; None if something is unsupported.
    accuracy
        None without a data set.
    """

    ok: bool
    unsupported: tuple[Unsupported, ...]
    layers: tuple[LayerNeeds, ...]
    plan: Planning | None
    accuracy: ExpectedAccuracy | None


def check(
    model: str | Path,
    board: str,
    *,
    data: str | Path | None = None,
    source: ModelOptions | None = None,
    options: ConvertOptions | None = None,
    progress: Progress = silent,
) -> Check:
    """Find out what ``compile`` would meet.

    Parameters
    ----------
    model
        An ``.onnx``, ``.pt2``, ``.keras`` or ``.h5`` file, or ``file.py:factory``.
    board
        A name of `boards`, or a ``.toml`` file.
    data
        As for `convert`; without it resources and cycles are estimated on random images, and no
        accuracy is given.
    source, options
        As for `convert`.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        If the model, the board, the data set or the options are unusable.
    """
    source, options = source or ModelOptions(), options or ConvertOptions()
    target = load_board(board)
    progress("read the model", 0, 1)
    unsupported = list_unsupported(model, source.input_shape)
    progress("read the model", 1, 1)
    if unsupported:
        return Check(False, unsupported, (), None, None)
    progress("import and convert", 0, 1)
    imported = import_model(model, source.input_shape)
    dataset = _dataset(imported, source, data)
    spiking = spiking_network(imported, dataset, source, options)
    fixed = fixed_network(spiking, dataset, options)
    progress("import and convert", 1, 1)
    progress(f"plan {target.name}", 0, 1)
    planned = planner.plan(fixed, target, sample_activity(fixed, dataset))
    progress(f"plan {target.name}", 1, 1)
    accuracy = None
    if data is not None:
        loss = measure_loss(
            imported, spiking, fixed, dataset, source, progress, limit=ACCURACY_IMAGES
        )
        accuracy = ExpectedAccuracy(
            loss.ann_accuracy, loss.snn_accuracy, loss.fixed_accuracy, loss.images
        )
    return Check(
        planned.fits, (), _layers(fixed, planned), planning(planned, dataset.name), accuracy
    )


def _dataset(imported: ImportedModel, source: ModelOptions, data: str | Path | None) -> Dataset:
    if data is not None:
        return load_dataset(data)
    limits, shape = preprocessing(source), imported.graph.input.shape
    zero_point = limits.zero_point(shape[0])
    return random_images(Input(shape, zero_point, limits.minimum, limits.maximum))


def _layers(net: FixedNetwork, planned: Plan) -> tuple[LayerNeeds, ...]:
    needs = []
    for core, cycles in zip(planned.schedule.cores, planned.cycles, strict=True):
        cost = unit_cost(net, planned.schedule, core)
        needs.append(
            LayerNeeds(
                name=core.name,
                shape=net.shape_of(core.populations[-1]),
                lanes=core.total_lanes,
                lut=round(cost.lut),
                bram=cost.bram,
                dsp=cost.dsp,
                spram=cost.spram,
                predicted_cycles=round(cycles.total, 1),
            )
        )
    return tuple(needs)
