# SPDX-License-Identifier: BSD-2-Clause
"""The arguments and options that several verbs share, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pysnn_hw.config import Backend, Calibration, Method, ModelOptions, Ports, Reset

Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="An .onnx, .pt2, .keras or .h5 file, or file.py:factory."),
]
Network = Annotated[
    Path, typer.Argument(metavar="NET.snn", help="A network file, as written by convert.")
]
Data = Annotated[
    str,
    typer.Option(
        help="mnist (bundled), an .npz with x_test, y_test (x_train, y_train), or an image folder."
    ),
]
OptionalData = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Sample images for predictions; by default the bundled ones, if they fit.",
    ),
]
Board = Annotated[str, typer.Option(help="A board of `pysnn-hw boards`, or a .toml file.")]
OptionalBoard = Annotated[
    str | None, typer.Option(help="A board of `pysnn-hw boards`, or a .toml file.")
]
BackendChoice = Annotated[
    Backend, typer.Option(help="golden: integers. verilator: the hardware, cycle by cycle.")
]
ScheduleFile = Annotated[
    Path | None, typer.Option("--schedule", help="A schedule.json to follow; else plan anew.")
]
PortsChoice = Annotated[Ports, typer.Option(help="Plain streams, or AXI4-Stream.")]
Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder to write to.")]
SimulatedImages = Annotated[
    int, typer.Option("--simulate", min=1, help="Test images simulated cycle by cycle, per board.")
]
Timesteps = Annotated[int, typer.Option(min=1, max=4096, help="Timesteps T.")]
Levels = Annotated[int, typer.Option(min=1, max=8, help="Bits n of one spike: values 0..2^n-1.")]
WeightBits = Annotated[int, typer.Option(min=2, max=8, help="Bits of one weight, sign included.")]
CalibrationChoice = Annotated[
    Calibration, typer.Option(help="How thresholds are chosen from the training images.")
]
MethodChoice = Annotated[
    Method,
    typer.Option(
        help="rate: plain spikes. signed: spikes that can be taken back. qcfs: trained a little."
    ),
]
ResetChoice = Annotated[
    Reset, typer.Option(help="soft: subtract what was fired. hard: back to zero.")
]
BiasCorrection = Annotated[
    bool, typer.Option(help="Let biases make up for what channels lose on average.")
]
CalibrationImages = Annotated[
    int, typer.Option(min=1, help="Training images that thresholds are chosen on.")
]
Scale = Annotated[float, typer.Option(help="The model sees pixel / SCALE.")]
Mean = Annotated[str, typer.Option(metavar="A,B,C", help="... minus MEAN, per channel")]
Std = Annotated[str, typer.Option(metavar="A,B,C", help="... divided by STD, per channel.")]
InputShape = Annotated[
    str, typer.Option(metavar="C,H,W", help="Shape of one image, where the model leaves it open.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON on stdout.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Use the first N test images only.")]


def source(scale: float, mean: str, std: str, input_shape: str) -> ModelOptions:
    """What the options say about the model's input."""
    shape = _numbers(input_shape, "--input-shape")
    return ModelOptions(
        scale,
        _numbers(mean, "--mean") or (0.0,),
        _numbers(std, "--std") or (1.0,),
        tuple(int(n) for n in shape) or None,
    )


def _numbers(text: str, option: str) -> tuple[float, ...]:
    """The numbers of ``a,b,c``; an empty text gives none.

    Raises
    ------
    typer.BadParameter
        If one of them is no number.
    """
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as e:
        raise typer.BadParameter(f"{option} takes numbers such as 0.13,0.2, not {text!r}") from e
