# SPDX-License-Identifier: BSD-2-Clause
"""The options of a run, as one frozen value that is written next to its output."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Calibration = Literal["max", "percentile", "mse", "clip"]
Method = Literal["rate", "ecc", "signed", "srp", "cos", "qcfs", "hybrid"]
MaxPooling = Literal["running", "gate"]
Encoding = Literal["constant", "bernoulli"]
Reading = Literal["potential", "count", "first", "sampled"]
BatchNormForm = Literal["folded", "kept"]
Reset = Literal["soft", "hard"]
Surrogate = Literal["linear", "stdb"]
Backend = Literal["golden", "verilator"]
Ports = Literal["stream", "axi"]
Price = Literal["sops", "cycles"]
Objective = Literal["balanced", "throughput", "latency", "smallest"]
Goal = Literal["accuracy", "throughput", "latency", "smallest"]


@dataclass(frozen=True)
class ModelOptions:
    """What the model file does not say about its input.

    Attributes
    ----------
    scale, mean, std
        The model sees ``(pixel / scale - mean) / std``; mean and std per channel, or one for all.
    input_shape
        (C, H, W), where the file leaves it open.
    threshold
        If not None, the model sees the largest pixel (255) in place of those from here on, and 0
        in place of smaller ones. The hardware's input then sends unit events.
    """

    scale: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    input_shape: tuple[int, ...] | None = None
    threshold: int | None = None


@dataclass(frozen=True)
class ConvertOptions:
    """How a trained network becomes a spiking one.

    Attributes
    ----------
    timesteps, levels, counts
        T, the bits n of one spike, or (in place of n) its largest value.
    weight_bits
        Bits of one weight, sign included.
    layer_bits
        Populations with a width of their own: (name, bits) for all weights that end there.
    calibration, per_channel, percentile
        How thresholds are chosen from the activations of the calibration images; None: as suits the
        method.
    calibration_images
        How many training images that takes (spread evenly over the set).
    method, tau, reset, batchnorm, bias_correction, probe
        See `pysnn_hw.convert.convert`.
    max_pool, encoding, seed, readout, early_exit
        See `pysnn_hw.convert.convert`.
    epochs, learning_rate
        Of the methods that train, ``qcfs`` and ``hybrid``; None: as suits the method.
    activity
        Of ``qcfs``: what synaptic operations weigh beside errors.
    surrogate, leak, threshold_scale, checkpoint
        Of ``hybrid``: slope of a spike, right shift of the leak, factor on the balanced thresholds,
        and the file that training resumes from.
    """

    timesteps: int = 1
    levels: int = 4
    weight_bits: int = 8
    layer_bits: tuple[tuple[str, int], ...] = ()
    counts: int | None = None
    calibration: Calibration | None = None
    per_channel: bool | None = None
    percentile: float = 99.9
    calibration_images: int = 1000
    method: Method = "rate"
    tau: float = 0.5
    reset: Reset = "soft"
    batchnorm: BatchNormForm = "folded"
    bias_correction: bool = True
    probe: int = 4
    max_pool: MaxPooling = "running"
    encoding: Encoding = "constant"
    seed: int = 0x9E3779B9
    readout: Reading = "potential"
    early_exit: float = 0.0
    epochs: int | None = None
    learning_rate: float | None = None
    activity: float = 0.0
    surrogate: Surrogate = "linear"
    leak: int = 0
    threshold_scale: float = 0.7
    checkpoint: str | None = None


@dataclass(frozen=True)
class SearchOptions:
    """What ``auto`` may choose from, and how thoroughly it looks.

    Attributes
    ----------
    max_cycles, max_sops
        Most that an image may cost; None leaves it open.
    max_timesteps, max_levels, max_weight_bits
        Largest T, bits of a spike and bits of a weight.
    methods
        Methods to try; None: all, those that train only with ``allow_training``.
    tolerance
        Points of accuracy that the choice may lose against the original network.
    cheapest
        What the choice among those is to be cheapest in.
    board
        Whose planner predicts cycles; None: nominal cores.
    trials, timeout
        Stop after so many candidates, or so many seconds (the measurement at the end included).
    images, final_images
        Test images that a search trial sees at most, and that the best points are measured on in
        the end; None: all.
    finalists
        How many points that are at most.
    calibration_images, training_images
        Training images for thresholds, and for methods that train.
    workers
        Processes that search side by side.
    seed
        Of the sampler: with one worker, a search is repeatable.
    """

    max_cycles: float | None = None
    max_sops: float | None = None
    max_timesteps: int = 8
    max_levels: int = 6
    max_weight_bits: int = 8
    methods: tuple[str, ...] | None = None
    allow_training: bool = False
    tolerance: float = 0.5
    cheapest: Price = "sops"
    board: str | None = None
    trials: int = 40
    timeout: float | None = None
    images: int = 1000
    final_images: int | None = None
    finalists: int = 8
    calibration_images: int = 1000
    training_images: int = 16000
    workers: int = 1
    seed: int = 0


@dataclass(frozen=True)
class ExploreOptions:
    """What ``explore`` is asked for.

    Attributes
    ----------
    boards
        Names or ``.toml`` files; any of them will do.
    objective
        What the design is to be best in: most ``accuracy``, most images per second
        (``throughput``), least ``latency``, or the ``smallest`` (board, then share of it). All but
        the first need ``min_accuracy``.
    min_images_per_s, max_latency_us, min_accuracy
        Bounds on accelerator and network; accuracy is a fraction of 1. None leaves one open.
    build
        Whether to build what is chosen, and to go on until what was built keeps the bounds.
    max_builds
        Designs to build at most.
    simulated_images
        Test images that the cycles of a built design are measured on, Verilated.
    validation_share
        Share of the test images that the choice rests on; the others say afterwards how accurate
        the chosen network is.
    search
        What to choose from, and how thoroughly; its bounds on cost, ``tolerance``, ``cheapest`` and
        ``board`` play no part.
    """

    boards: tuple[str, ...]
    objective: Goal = "accuracy"
    min_images_per_s: float | None = None
    max_latency_us: float | None = None
    min_accuracy: float | None = None
    build: bool = False
    max_builds: int = 6
    simulated_images: int = 200
    validation_share: float = 0.5
    search: SearchOptions = field(default_factory=SearchOptions)


@dataclass(frozen=True)
class CompareOptions:
    """What ``compare`` sets side by side.

    Attributes
    ----------
    methods
        None: all that need no training.
    timesteps, levels
        Every T with every n.
    weight_bits
        Of all networks.
    detail
        The (T, n) at which layers are looked at; None: where the methods differ most.
    limit
        Test images that accuracies are measured on.
    detail_images
        Those of them that layers are looked at on.
    calibration_images, training_images
        Training images for thresholds, and for methods that train.
    """

    methods: tuple[str, ...] | None = None
    timesteps: tuple[int, ...] = (1, 2, 4, 8)
    levels: tuple[int, ...] = (1, 2, 3, 4)
    weight_bits: int = 8
    detail: tuple[int, int] | None = None
    limit: int = 1000
    detail_images: int = 100
    calibration_images: int = 1000
    training_images: int = 16000


@dataclass(frozen=True)
class CompileOptions:
    """Everything that decides the output of ``compile``.

    Attributes
    ----------
    model, data
        As the frontend and `pysnn_hw.data.load_dataset` take them.
    boards
        Names or ``.toml`` files.
    simulated_images
        Test images that go through the cycle-accurate simulation of each board.
    """

    model: str
    data: str
    boards: tuple[str, ...]
    source: ModelOptions = field(default_factory=ModelOptions)
    conversion: ConvertOptions = field(default_factory=ConvertOptions)
    simulated_images: int = 1000

    def to_json(self) -> dict[str, Any]:
        """A JSON document."""
        return asdict(self)
