# SPDX-License-Identifier: BSD-2-Clause
"""Schema of the JSON document inside a network file; the same models write and read it."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from pysnn_hw.ir.check import (
    INPUT_RANGE,
    MAX_LEAK,
    MAX_NEURONS,
    MAX_SEED,
    MAX_SPIKE,
    MAX_TIMESTEPS,
    NOISE_VALUES,
    PARAMETER_RANGE,
)

Size = Annotated[int, Field(ge=1, le=MAX_NEURONS)]
Pixel = Annotated[int, Field(ge=INPUT_RANGE[0], le=INPUT_RANGE[1])]
Membrane = Annotated[int, Field(ge=PARAMETER_RANGE[0], le=PARAMETER_RANGE[1])]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class InputPart(_Part):
    """The network's input."""

    shape: tuple[Size, Size, Size] = Field(description="Channels, height, width of one image.")
    zero_point: Annotated[list[Pixel], Field(min_length=1)] = Field(
        description="Per channel, the raw integer that stands for zero; padding has this value."
    )
    minimum: Pixel = Field(description="Smallest raw integer, inclusive.")
    maximum: Pixel = Field(description="Largest raw integer, inclusive.")
    encoding: Literal["constant", "bernoulli", "events"] = Field(
        description="`constant`: the same integers at every timestep; `bernoulli`: unit events at "
        "a rate proportional to them; `events`: integers of its own for every timestep."
    )
    seed: Seed = Field(default=0, description="Of `bernoulli`; 0 for the others.")
    threshold: Pixel | None = Field(
        default=None,
        description="Raw integers from here on are one unit event each, smaller ones none; only "
        "with `constant` and zero points of 0.",
    )


class NeuronPart(_Part):
    """Where a population departs from the plain neuron."""

    polarity: Literal["positive", "memory", "signed"] = Field(
        default="positive",
        description="Spikes 0..hi; or signed, `memory` never taking back more than was emitted.",
    )
    reset: Literal["soft", "hard"] = Field(
        default="soft", description="After a spike subtract what was fired, or go back to zero."
    )
    strict: bool = Field(
        default=False, description="Whether a threshold must be exceeded, not only met."
    )
    leak: int = Field(
        default=0,
        ge=0,
        le=MAX_LEAK,
        description="The membrane loses `v >> leak` before each step; 0: nothing.",
    )


class PopulationPart(_Part):
    """One population of neurons."""

    name: Name = Field(description="Unique; not `input`.")
    kind: Literal["fire", "readout"] = Field(
        description="`fire` integrates and fires, `readout` only integrates; the last is a readout."
    )
    shape: tuple[Size, Size, Size] = Field(description="Channels, height, width.")
    spike_max: int = Field(
        ge=0, le=MAX_SPIKE, description="Largest spike value; 1..255, and 0 for a readout."
    )
    v_min: Membrane | None = Field(
        description="Lower clamp of the membrane after firing; null for a readout."
    )
    v_max: Membrane | None = Field(
        description="Upper clamp of the membrane after firing; null for a readout."
    )
    neuron: NeuronPart = Field(
        default=NeuronPart(), description="How it fires; by default, and in a readout, plainly."
    )


class PoolPart(_Part):
    """Pooling of a source's spikes."""

    mode: Literal["sum", "max", "gate"] = Field(
        description="Sum or running maximum of each window, or its so far most active member."
    )
    kernel: tuple[Size, Size] = Field(description="Rows and columns of a window.")
    stride: tuple[Size, Size] = Field(description="Rows and columns between windows.")


class ProjectionPart(_Part):
    """One bundle of synapses."""

    name: Name = Field(description="Unique.")
    source: Name = Field(description="`input`, or a population before the target.")
    target: Name = Field(description="A population.")
    kind: Literal["conv2d", "linear", "identity"] = Field(description="Shape of the synapses.")
    stride: tuple[Size, Size] = Field(description="Rows and columns; 1, 1 unless conv2d.")
    padding: tuple[
        Annotated[int, Field(ge=0)],
        Annotated[int, Field(ge=0)],
        Annotated[int, Field(ge=0)],
        Annotated[int, Field(ge=0)],
    ] = Field(description="Zeros at top, left, bottom, right; each less than the kernel.")
    groups: Size = Field(description="Groups of channels; 1 unless conv2d.")
    pool: PoolPart | None = Field(description="Pooling applied first, or null.")


class ReadoutPart(_Part):
    """How the class is read."""

    mode: Literal["potential", "count", "sampled"] = Field(
        description="`potential`: argmax of the membranes, ties to the lowest index; `count`: the "
        "same of counted spikes, -1 without any; `sampled`: argmax of votes, one per step."
    )
    margin: Annotated[int, Field(ge=0, le=PARAMETER_RANGE[1])] = Field(
        default=0, description="Lead that ends an image early; 0: never."
    )
    seed: Seed = Field(default=0, description="Of `sampled`; 0 for the others.")
    noise: Annotated[list[Membrane], Field(max_length=NOISE_VALUES)] = Field(
        default=[], description="256 integers that `sampled` draws from; none for the others."
    )


class ProbePart(_Part):
    """A first run that tells how each neuron starts."""

    steps: int = Field(ge=1, le=MAX_TIMESTEPS, description="Timesteps of the probe.")
    rule: Literal["mask", "shift"] = Field(
        description="Silence neurons of no positive charge, or shift their start by a threshold."
    )


class Document(_Part):
    """The JSON document under the metadata key `pysnn_hw`."""

    format: Literal[1] = Field(description="Number of this format.")
    timesteps: int = Field(ge=1, le=MAX_TIMESTEPS, description="Timesteps per image.")
    input: InputPart
    populations: Annotated[list[PopulationPart], Field(min_length=1)]
    projections: Annotated[list[ProjectionPart], Field(min_length=1)]
    readout: ReadoutPart
    probe: ProbePart | None = Field(default=None, description="Only if there is one.")
    provenance: dict[str, JsonValue] = Field(
        description="Free-form: source model, method, calibration, accuracies."
    )

    @field_validator("provenance")
    @classmethod
    def _finite(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        json.dumps(value, allow_nan=False)  # the parser lets NaN and Infinity through
        return value
