# SPDX-License-Identifier: BSD-2-Clause
"""From a trained model to a network file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pysnn_hw import convert as passes
from pysnn_hw.api.sample import spread
from pysnn_hw.api.training import training
from pysnn_hw.config import ConvertOptions, ModelOptions
from pysnn_hw.convert import LossReport, PopulationLoss, Preprocessing
from pysnn_hw.convert.quantisation import WeightBits, check_weight_bits
from pysnn_hw.data import Dataset, load_dataset
from pysnn_hw.errors import DataError, ModelError
from pysnn_hw.frontend import ImportedModel, import_model
from pysnn_hw.ir.file import save
from pysnn_hw.ir.snn import Array, FixedNetwork, SnnNetwork
from pysnn_hw.progress import Progress, silent

ROUNDING_IMAGES = 1000
"""Most images that weights are rounded on: more of them change nothing."""


@dataclass(frozen=True)
class Conversion:
    """Answer of `convert`.

    Attributes
    ----------
    ann_accuracy, snn_accuracy, fixed_accuracy
        Fraction classified correctly by the original network, the spiking one in floating point
        and in integers.
    images
        How many test images all three classified.
    agreement
        Fraction of them that the first and the last classify alike.
    output
        The network file.
    max_abs_difference
        Largest difference between any output of the model and of its import.
    populations
        Where accuracy goes.
    warnings
        What the conversion found doubtful.
    """

    ann_accuracy: float
    snn_accuracy: float
    fixed_accuracy: float
    images: int
    agreement: float
    output: Path
    max_abs_difference: float
    populations: tuple[PopulationLoss, ...]
    warnings: tuple[str, ...]


def convert(
    model: str | Path,
    data: str | Path,
    output: str | Path,
    *,
    source: ModelOptions | None = None,
    options: ConvertOptions | None = None,
    limit: int | None = None,
    progress: Progress = silent,
) -> Conversion:
    """Import, convert and quantise ``model``, save it, and measure what was lost on the way.

    Parameters
    ----------
    model
        An ``.onnx``, ``.pt2``, ``.keras`` or ``.h5`` file, or ``file.py:factory``.
    data
        As `pysnn_hw.data.load_dataset` takes it; its training images set the thresholds.
    output
        The ``.snn`` file to write.
    source, options
        How the model sees its input, and the knobs of the conversion.
    limit
        Measure on the first so many test images only.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        If the model, the data set or the options are unusable.
    """
    source, options = source or ModelOptions(), options or ConvertOptions()
    dataset = load_dataset(data)
    progress("import", 0, 1)
    imported = import_model(model, source.input_shape)
    progress("import", 1, 1)
    progress("convert and quantize", 0, 1)
    spiking = spiking_network(imported, dataset, source, options, progress)
    fixed = fixed_network(spiking, dataset, options)
    progress("convert and quantize", 1, 1)
    save(fixed, output)
    loss = measure_loss(imported, spiking, fixed, dataset, source, progress, limit)
    return Conversion(
        ann_accuracy=loss.ann_accuracy,
        snn_accuracy=loss.snn_accuracy,
        fixed_accuracy=loss.fixed_accuracy,
        images=loss.images,
        agreement=loss.agreement,
        output=Path(output),
        max_abs_difference=imported.max_abs_difference,
        populations=loss.populations,
        warnings=tuple(map(str, fixed.provenance.get("warnings", ()))),
    )


def preprocessing(source: ModelOptions) -> Preprocessing:
    """What `ModelOptions` says, in the form that the conversion takes."""
    return Preprocessing(source.scale, source.mean, source.std, threshold=source.threshold)


def spiking_network(
    imported: ImportedModel,
    dataset: Dataset,
    source: ModelOptions,
    options: ConvertOptions,
    progress: Progress = silent,
) -> SnnNetwork:
    """The float spiking network of an imported model.

    Raises
    ------
    ModelError
        If a layer cannot be converted, or ``layer_bits`` will not be taken: a method that trains
        finds that out first.
    """
    if options.layer_bits and training(options) is not None:
        untrained = _untrained(imported, dataset, source, options)
        check_weight_bits(untrained, weight_bits(untrained, options))
    labels = None
    if options.method == "hybrid" and dataset.y_train is not None:
        labels = spread(dataset.y_train, options.calibration_images)
    return passes.convert(
        imported.graph,
        calibration_images(dataset, options.calibration_images),
        timesteps=options.timesteps,
        levels=options.levels,
        counts=options.counts,
        method=options.method,
        calibration=options.calibration,
        per_channel=options.per_channel,
        percentile=options.percentile,
        tau=options.tau,
        reset=options.reset,
        batchnorm=options.batchnorm,
        bias_correction=options.bias_correction,
        probe=options.probe,
        max_pool=options.max_pool,
        encoding=options.encoding,
        seed=options.seed,
        readout=options.readout,
        early_exit=options.early_exit,
        training=training(options),
        labels=labels,
        preprocessing=preprocessing(source),
        progress=progress,
    )


def _untrained(
    imported: ImportedModel, dataset: Dataset, source: ModelOptions, options: ConvertOptions
) -> SnnNetwork:
    """The same populations in seconds, with thresholds that are good for nothing."""
    quick = ConvertOptions(
        timesteps=options.timesteps,
        levels=options.levels,
        counts=options.counts,
        calibration_images=1,
        max_pool=options.max_pool,
        encoding=options.encoding,
        readout=options.readout,
    )
    return spiking_network(imported, dataset, source, quick)


def fixed_network(spiking: SnnNetwork, dataset: Dataset, options: ConvertOptions) -> FixedNetwork:
    """The integer network, rounded so that errors cancel on the calibration images."""
    images = calibration_images(dataset, min(options.calibration_images, ROUNDING_IMAGES))
    fixed = passes.quantize(spiking, weight_bits(spiking, options), images)
    # Rounding moves scores a little, so the margin is chosen again on what will run.
    return (
        passes.with_early_exit(fixed, images, options.early_exit) if options.early_exit else fixed
    )


def weight_bits(spiking: SnnNetwork, options: ConvertOptions) -> WeightBits:
    """The options' width of all weights, or of those into each population.

    Raises
    ------
    ModelError
        If ``layer_bits`` names a population that there is not.
    """
    if not options.layer_bits:
        return options.weight_bits
    populations = [p.name for p in spiking.populations]
    for name, _ in options.layer_bits:
        if name not in populations:
            raise ModelError(
                "layer bits", f"there is no population {name!r}", f"use {', '.join(populations)}"
            )
    return dict.fromkeys(populations, options.weight_bits) | dict(options.layer_bits)


def calibration_images(dataset: Dataset, count: int) -> Array:
    """``count`` training images at even distances; the test images must stay unseen.

    Raises
    ------
    DataError
        If the data set has none.
    """
    if dataset.x_train is None:
        raise DataError(
            dataset.name,
            "has no training images, and thresholds must not be chosen on the test images",
            "add x_train and y_train (about 1,000 images)",
        )
    return spread(dataset.x_train, count)


def measure_loss(
    imported: ImportedModel,
    spiking: SnnNetwork,
    fixed: FixedNetwork,
    dataset: Dataset,
    source: ModelOptions,
    progress: Progress,
    limit: int | None = None,
) -> LossReport:
    """The three networks side by side on the test images, or the first ``limit`` of them."""
    return passes.loss_report(
        imported.graph,
        spiking,
        fixed,
        dataset.x_test[:limit],
        dataset.y_test[:limit],
        preprocessing(source),
        progress=lambda done, total: progress("original beside spiking networks", done, total),
    )
