# SPDX-License-Identifier: BSD-2-Clause
"""Everything that a report shows, as plain figures; who fills it knows where they come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One population.

    Attributes
    ----------
    shape
        (C, H, W).
    firing
        Fraction of the neurons, 0..1, that fire in one timestep (mean over images and steps);
        ``None`` for the readout, which never does.
    spikes_per_image
        Non-zero spikes, mean over the images; ``None`` for the readout.
    correlation
        Pearson correlation of spike rate and activation of the original network, if measured.
    membrane_bits
        Proven width of the membrane.
    """

    name: str
    shape: tuple[int, int, int]
    firing: float | None
    spikes_per_image: float | None
    correlation: float | None
    membrane_bits: int


@dataclass(frozen=True)
class Synapses:
    """One projection: synaptic operations per image as measured, and run densely in one pass."""

    name: str
    weights: int
    sops_per_image: float
    dense_macs: int


@dataclass(frozen=True)
class Core:
    """One core: SOPs per cycle at full width, and cycles per image by prediction."""

    name: str
    lanes: int
    cycles: float


@dataclass(frozen=True)
class LayerTime:
    """When a layer has its core, in predicted cycles after the core begins with an image.

    ``core`` counts cores from 0; a core of one layer begins with it.
    """

    core: int
    layer: str
    start: float
    accumulate: float
    fire: float
    overhead: float


@dataclass(frozen=True)
class MemoryUse:
    """Memory blocks of a core for one purpose; without a name: of the design around the cores."""

    core: str
    purpose: str
    blocks: int


@dataclass(frozen=True)
class PlanPicture:
    """What the planner decided, and why.

    Attributes
    ----------
    times
        All layers, core by core, in the order in which they run.
    interval
        Predicted cycles between images.
    memories, blocks_available
        Where memory blocks went, and how many there are.
    worth
        (resource, how many times as fast the fastest design would be with a tenth more of it).
    advice
        The planner's sentences.
    """

    times: tuple[LayerTime, ...]
    interval: float
    memories: tuple[MemoryUse, ...]
    blocks_available: int
    worth: tuple[tuple[str, float], ...]
    advice: tuple[str, ...]


@dataclass(frozen=True)
class Use:
    """How much of one kind of resource is taken."""

    name: str
    used: int
    available: int

    @property
    def fraction(self) -> float:
        """Share of what there is, 0 where there is none."""
        return self.used / self.available if self.available else 0.0


@dataclass(frozen=True)
class BoardResult:
    """One board.

    Attributes
    ----------
    fmax_mhz, clock_mhz
        What place and route says the design could run at, and what the board runs it at.
    cycles_mean, cycles_median, cycles_max
        From one result to the next, measured in cycle-accurate simulation.
    predicted_cycles, predicted_mhz
        The planner's figures for the same, and for ``fmax_mhz`` (None where it had none).
    latency_cycles
        From the first pixel of an image to its result while others are inside, if measured.
    images_per_s
        ``clock / cycles_mean``.
    spikes_compared, simulated_images, mismatches
        Verification: spikes held against golden one by one, whole images, disagreements in both.
    plan
        What the planner decided.
    bitstream
        File name, relative to the report.
    """

    name: str
    title: str
    uses: tuple[Use, ...]
    fmax_mhz: float
    clock_mhz: float
    cycles_mean: float
    cycles_median: float
    cycles_max: int
    predicted_cycles: float
    predicted_mhz: float | None
    latency_cycles: float | None
    images_per_s: float
    spikes_compared: int
    simulated_images: int
    mismatches: int
    cores: tuple[Core, ...]
    plan: PlanPicture
    bitstream: str


@dataclass(frozen=True)
class Report:
    """The whole page.

    Attributes
    ----------
    title
        Name of the model.
    facts
        (what, value) pairs of the header: data, T, n, weights, calibration, version.
    timesteps, levels
        The two knobs T and n.
    accuracy
        (stage, fraction 0..1), from the original network to fixed point.
    images
        Number of test images behind the accuracies.
    stage_times
        (stage, seconds).
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    timesteps: int
    levels: int
    accuracy: tuple[tuple[str, float], ...]
    images: int
    layers: tuple[Layer, ...]
    synapses: tuple[Synapses, ...]
    boards: tuple[BoardResult, ...]
    stage_times: tuple[tuple[str, float], ...]

    @property
    def sops_per_image(self) -> float:
        """Synaptic operations per image, all projections."""
        return sum(s.sops_per_image for s in self.synapses)

    @property
    def dense_macs(self) -> int:
        """Multiply-accumulates of the same network run densely once."""
        return sum(s.dense_macs for s in self.synapses)
